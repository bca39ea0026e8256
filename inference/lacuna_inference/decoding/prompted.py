"""Raw prompts, built by the caller: their tokens and log-probabilities."""

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
"""Positions scored at once: the logits of each are as many numbers as the vocabulary has tokens."""


def is_raw(decoder: Decoder, request: Request) -> bool:
    """Whether the prompt is used as it is."""
    if request.raw is Raw.YES or request.ids is not None:
        return True
    may_be_raw = request.raw is Raw.SENTINELS and len(request.parts) == 1
    return may_be_raw and raw.has_specials(request.parts[0], decoder.tokenizer)


def prompt_for(decoder: Decoder, request: Request) -> Prompt:
    """The prompt of a raw request. Raises BadRequest for an invalid one."""
    tokenizer, context, max_tokens = decoder.tokenizer, decoder.context, request.stop.max_tokens
    if request.ids is not None:
        return raw.of_ids(request.ids, tokenizer, context, max_tokens)
    return raw.of_text(request.parts, tokenizer, context, max_tokens)


def shown(decoder: Decoder, prompt: Prompt) -> str:
    """The text of `prompt` without its special tokens."""
    specials = frozenset(decoder.tokenizer.specials.values())
    return decoder.tokenizer.decode([token for token in prompt.ids if token not in specials])


def tokens(decoder: Decoder, request: Request) -> tuple[TokenLogprob, ...]:
    """The tokens of the request's text, or those with its ids. The model is not run."""
    assert request.tokenize is not None
    tokenizer = decoder.tokenizer
    if request.ids is not None:
        ids = list(request.ids)
        if not all(0 <= token < tokenizer.size for token in ids):
            raise BadRequest("There is a token id that the model does not know.", "Check the tokenizer.")
    else:
        text = request.parts[0]
        ids = list(raw.tokens(text, tokenizer) if request.tokenize.specials else tokenizer.encode(text))
        ids = raw.with_begin(ids, tokenizer) if request.tokenize.begin else ids
    texts = tokenizer.token_texts(ids)
    return tuple(TokenLogprob(text, 0.0, id=token) for token, text in zip(ids, texts, strict=True))


def score_prompt(decoder: Decoder, state: RequestState) -> Steps[tuple[TokenLogprob, ...]]:
    """The prompt's tokens with their log-probabilities given the tokens before, without those that Lacuna prepended.

    They are the model's own, computed in separate passes. Raises BadRequest for a prompt that is not raw, or is cut.
    """
    request = state.request
    if not is_raw(decoder, request) or not (prompt := prompt_for(decoder, request)).whole:
        raise BadRequest("Only a whole prompt that is taken as it is can be scored.", "Send less text, and no suffix.")
    ids = list(prompt.ids)
    logprobs = yield from _token_logprobs(decoder, ids, state)
    tokens = zip(ids, decoder.tokenizer.token_texts(ids), logprobs, strict=True)
    n_given = len(ids) if request.ids is not None else len(raw.tokens(request.parts[0], decoder.tokenizer))
    return tuple(replace(logprob, text=text, id=token) for token, text, logprob in tokens)[len(ids) - n_given :]


def _token_logprobs(decoder: Decoder, ids: list[int], state: RequestState) -> Steps[list[TokenLogprob]]:
    """The log-probabilities of `ids`; 0 for the first. Their texts are not set."""
    scored, kv_cache = [TokenLogprob("", 0.0)], decoder.caches.forward.new_kv_cache()
    for start in range(0, len(ids) - 1, _CHUNK_TOKENS):
        if state.cancel.cancelled:
            raise RequestCancelled
        chunk = ids[start : min(start + _CHUNK_TOKENS, len(ids) - 1)]
        logits = yield Step(chunk, kv_cache, len(chunk))
        state.counts.evaluated += len(chunk)
        state.counts.passes += 1
        logprobs = logits[:, : decoder.tokenizer.size].float().log_softmax(-1)
        for row, token in zip(logprobs, ids[start + 1 :], strict=False):
            top = row.topk(min(state.request.prompt_logprobs or 0, len(row)))
            top_ids = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            top_logprobs = tuple((decoder.tokenizer.decode([other]), logprob) for other, logprob in top_ids)
            scored.append(TokenLogprob("", float(row[token]), top_logprobs))
    return scored
