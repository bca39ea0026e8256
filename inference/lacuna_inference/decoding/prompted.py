"""Prompts that the caller built, and what he wants to know of them: their tokens, and how likely each was."""

from __future__ import annotations

from dataclasses import replace

from lacuna_inference.api import Raw, Request, TokenLogprob
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import Step, Steps
from lacuna_inference.prompt import raw
from lacuna_inference.prompt.planner import Prompt

_CHUNK_TOKENS = 64
"""Positions whose logits are looked at together: each has a number for every token of the vocabulary."""


def is_raw(decoder: Decoder, request: Request) -> bool:
    """Whether the prompt is taken as it is."""
    if request.raw is Raw.YES or request.ids is not None:
        return True
    built = request.raw is Raw.SENTINELS and len(request.parts) == 1
    return built and raw.has_specials(request.parts[0], decoder.tokenizer)


def prompt_for(decoder: Decoder, request: Request) -> Prompt:
    """The prompt as it is. Raises BadRequest for one that cannot be."""
    text, context, most = decoder.tokenizer, decoder.context, request.stop.max_tokens
    if request.ids is not None:
        return raw.of_ids(request.ids, text, context, most)
    return raw.of_text(request.parts, text, context, most)


def shown(decoder: Decoder, prompt: Prompt) -> str:
    """The text of `prompt` without its special tokens."""
    specials = frozenset(decoder.tokenizer.specials.values())
    return decoder.tokenizer.decode([token for token in prompt.ids if token not in specials])


def tokens(decoder: Decoder, request: Request) -> tuple[TokenLogprob, ...]:
    """The tokens that a text is made of, or those with the given ids. Nothing is read."""
    assert request.tokenize is not None
    text = decoder.tokenizer
    if request.ids is not None:
        ids = list(request.ids)
        if not all(0 <= token < text.size for token in ids):
            raise BadRequest("There is a token id that the model does not know.", "Check the tokenizer.")
    else:
        ids = list(raw.tokens(request.parts[0], text) if request.tokenize.specials else text.encode(request.parts[0]))
        ids = raw.with_begin(ids, text) if request.tokenize.begin else ids
    return tuple(TokenLogprob(piece, 0.0, id=token) for token, piece in zip(ids, text.token_texts(ids), strict=True))


def score_prompt(decoder: Decoder, state: RequestState) -> Steps[tuple[TokenLogprob, ...]]:
    """The tokens of the prompt with their log-probabilities given those before, without what was put before them.

    They are the model's own, from passes of their own. Raises BadRequest for a prompt that is not shown as it is.
    """
    request = state.request
    if not is_raw(decoder, request) or not (prompt := prompt_for(decoder, request)).whole:
        raise BadRequest("Only a whole prompt that is taken as it is can be scored.", "Send less text, and no suffix.")
    ids = list(prompt.ids)
    likelihoods = yield from _token_logprobs(decoder, ids, state)
    named = zip(ids, decoder.tokenizer.token_texts(ids), likelihoods, strict=True)
    given = len(ids) if request.ids is not None else len(raw.tokens(request.parts[0], decoder.tokenizer))
    return tuple(replace(one, text=piece, id=token) for token, piece, one in named)[len(ids) - given :]


def _token_logprobs(decoder: Decoder, ids: list[int], state: RequestState) -> Steps[list[TokenLogprob]]:
    """How likely each of `ids` was; 0 for the first. Their texts are not filled in."""
    found, slot = [TokenLogprob("", 0.0)], decoder.caches.forward.new_kv_cache()
    for start in range(0, len(ids) - 1, _CHUNK_TOKENS):
        if state.cancel.cancelled:
            raise RequestCancelled
        chunk = ids[start : min(start + _CHUNK_TOKENS, len(ids) - 1)]
        logits = yield Step(chunk, slot, len(chunk))
        state.counts.evaluated += len(chunk)
        state.counts.passes += 1
        logprobs = logits[:, : decoder.tokenizer.size].float().log_softmax(-1)
        for row, token in zip(logprobs, ids[start + 1 :], strict=False):
            likeliest = row.topk(min(state.request.prompt_logprobs or 0, len(row)))
            others = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
            named = tuple((decoder.tokenizer.decode([other]), value) for other, value in others)
            found.append(TokenLogprob("", float(row[token]), named))
    return found
