"""Answers one request with a warm model: prompts, candidates, ranking and counters."""

from __future__ import annotations

import math
from dataclasses import replace

from lacuna_inference.api import (
    CancelToken,
    Candidate,
    CompletionResult,
    Fill,
    Request,
    RequestMetrics,
    Sampling,
    StreamEvent,
    TokenLogprob,
)
from lacuna_inference.decoding import prompted
from lacuna_inference.decoding.loop import Asked, Decoder
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import Steps, run_steps
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Prompt, fills_together, plan


def answer(decoder: Decoder, model: str, request: Request, cancel: CancelToken, queued: float) -> CompletionResult:
    """As `answering`, at once."""
    return run_steps(answer_steps(decoder, model, request, Asked(cancel), queued), decoder.caches.forward)


def answer_steps(
    decoder: Decoder, model: str, request: Request, asked: Asked, queued: float
) -> Steps[CompletionResult]:
    """The candidates for `request`, best first, without duplicates; `queued` is a `perf_counter` time.

    Raises RequestCancelled between two tokens, with what was done until then, and BadRequest for a request that cannot
    be put into a prompt, or whose limits make no sense.
    """
    _validate(request)
    if request.tokenize is not None:
        return CompletionResult((), _metrics(decoder, asked, queued), model, prompted.tokens(decoder, request))
    candidates: list[Candidate] = []
    prompt: tuple[TokenLogprob, ...] = ()
    prompt_tokens = generated = 0
    if (ghost := decoder.reuse.rest_of(request)) is not None:
        candidates.append(Candidate((ghost,)))
        asked.clock.token()
        if request.on_token is not None:
            request.on_token(StreamEvent(0, 0, TokenLogprob(ghost.text, ghost.mean_logprob)))
    try:
        if request.prompt_logprobs is not None:
            prompt = yield from prompted.score_prompt(decoder, request, asked)
        for number in range(0 if candidates else max(1, request.candidates)):
            sampling = _numbered(request.sampling, number)
            asked.candidate, asked.hole = number, 0
            fills, length = yield from _fills(decoder, request, sampling, asked)
            prompt_tokens = max(prompt_tokens, length)
            generated += sum(fill.tokens for fill in fills)
            candidate = Candidate(fills)
            if not request.distinct or all(_texts(candidate) != _texts(other) for other in candidates):
                candidates.append(candidate)
    except RequestCancelled:
        counters = _metrics(decoder, asked, queued)
        raise RequestCancelled(counters=replace(counters, cancelled_s=counters.total_s)) from None
    finally:
        decoder.caches.counts.add(asked.work)
    if ghost is None:
        decoder.reuse.remember(request, candidates[0].fills[0])
    if request.distinct:
        candidates.sort(key=rank, reverse=True)
    counters = _metrics(decoder, asked, queued)
    counters = replace(counters, prompt_tokens=prompt_tokens, generated_tokens=generated)
    return CompletionResult(tuple(candidates), counters, model, prompt)


def _validate(request: Request) -> None:
    """Raises BadRequest where a number of `request` means nothing: an answer of no lines, a seed below nought."""
    stop, sampling = request.stop, request.sampling
    sound = {
        "max_tokens must be 0 or more": stop.max_tokens >= 0,
        "max_lines must be 1 or more": stop.max_lines is None or stop.max_lines >= 1,
        "the temperature must be a finite number, 0 or more": 0 <= sampling.temperature < math.inf,
        "top_p must be between 0 and 1": 0 <= sampling.top_p <= 1,
        "the seed must be 0 or more": sampling.seed is None or sampling.seed >= 0,
        "top_k must be 0 or more": sampling.top_k >= 0,
        "min_p must be between 0 and 1": 0 <= sampling.min_p <= 1,
        "penalties must be finite numbers": math.isfinite(sampling.presence_penalty + sampling.frequency_penalty),
        "a bias must be a finite number, for the id of a token": all(
            token >= 0 and math.isfinite(bias) for token, bias in sampling.logit_bias
        ),
        "the number of alternatives must be 0 or more": min(request.top_logprobs or 0, request.prompt_logprobs or 0)
        >= 0,
    }
    if wrong := [rule for rule, holds in sound.items() if not holds]:
        raise BadRequest(f"The request cannot be answered: {wrong[0]}.")


def _metrics(decoder: Decoder, asked: Asked, queued: float) -> RequestMetrics:
    """What was done for a request so far."""
    done, clock = asked.work, asked.clock
    return RequestMetrics(
        reused_tokens=done.reused,
        evaluated_tokens=done.evaluated,
        drafted_tokens=done.drafted,
        accepted_tokens=done.accepted,
        forward_passes=done.passes,
        queued_s=clock.started - queued,
        first_token_s=clock.first_token,
        total_s=clock.elapsed,
        forward=decoder.forward_name,
        whole=asked.whole,
        limit=asked.limit,
        layout=decoder.layout,
    )


def _fills(decoder: Decoder, request: Request, sampling: Sampling, asked: Asked) -> Steps[tuple[tuple[Fill, ...], int]]:
    """The fills of one candidate and the length of the (last) prompt in tokens."""
    parts, stop = request.parts, request.stop
    if prompted.is_raw(decoder, request):
        prompt = prompted.prompt_for(decoder, request)
        shown = (prompted.shown(decoder, prompt),)
        return (yield from decoder.fill(prompt, request, shown, sampling, asked)), len(prompt.ids)
    if len(parts) <= 2 or fills_together(decoder.tokenizer.family):
        prompt = prompt_for(decoder, request)
        return (yield from decoder.fill(prompt, request, parts, sampling, asked)), len(prompt.ids)
    written: list[Fill] = []
    before = parts[0]
    length = 0
    for number in range(1, len(parts)):
        around = (before, "".join(parts[number:]))
        prompt = plan(around, request.path, decoder.tokenizer, decoder.context, stop.max_tokens, decoder.layout)
        length = len(prompt.ids)
        written += yield from decoder.fill(prompt, request, around, sampling, asked)
        before += written[-1].text + parts[number]
    return tuple(written), length


def prompt_for(decoder: Decoder, request: Request) -> Prompt:
    """The prompt of a request for one hole, or for several that the family fills together."""
    parts, place = request.parts, None
    if len(parts) == 2 and decoder.layout is Layout.ANCHORED:
        if request.relayout_on_pause:
            _relayout(decoder, request)
        anchor = decoder.anchors.of(None if request.is_prefetch else request.document_id, *parts)
        parts, place = (parts[0], anchor.suffix), len(anchor.before)
    window = decoder.anchors.windows.get(request.document_id)
    made = plan(
        parts, request.path, decoder.tokenizer, decoder.context, request.stop.max_tokens, decoder.layout, place, window
    )
    if made.window is not None and not request.is_prefetch:
        decoder.anchors.windows.put(request.document_id, made.window)
    return made


def _relayout(decoder: Decoder, request: Request) -> None:
    """Moves the document's anchor to the cursor, before the word that is healed there."""
    before, after = request.parts
    healed_prefix = decoder.tokenizer.healed_prefix(before)
    decoder.anchors.move(request.document_id, before[: len(before) - len(healed_prefix)], after)


def _numbered(sampling: Sampling, number: int) -> Sampling:
    """Each candidate draws from its own seed, and each again the same when the request gives one."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)


def _texts(candidate: Candidate) -> tuple[str, ...]:
    return tuple(fill.text for fill in candidate.fills)


def rank(candidate: Candidate) -> float:
    """Mean log-probability of a candidate's fills; one without any text comes last."""
    if not any(fill.text for fill in candidate.fills):
        return -float("inf")
    return sum(fill.mean_logprob for fill in candidate.fills) / len(candidate.fills)
