"""Answers one request with a warm model: prompts, candidates, ranking and metrics."""

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
from lacuna_inference.decoding.anchors import FilesShown
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.narrowing import narrowed
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.decoding.resuming import resume
from lacuna_inference.errors import BadRequest, RequestCancelled
from lacuna_inference.forward import Steps, run_steps
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import Prompt, PromptSpec, fills_together, hole_start, plan


def answer(decoder: Decoder, model: str, request: Request, cancel: CancelToken, queued_at: float) -> CompletionResult:
    """Runs `answer_steps` to its end; `queued_at` is a `perf_counter` time."""
    state = RequestState(request, cancel, queued_at=queued_at)
    return run_steps(answer_steps(decoder, model, state), decoder.caches.forward)


def answer_steps(decoder: Decoder, model: str, state: RequestState) -> Steps[CompletionResult]:
    """The candidates for a request, best first, without duplicates.

    Raises RequestCancelled between two tokens, with the metrics so far, and BadRequest for a request that has no valid
    prompt, or with invalid limits.
    """
    state.start()
    request = state.request
    _validate(request)
    if request.tokenize is not None:
        return CompletionResult((), _metrics(decoder, state), model, prompted.tokens(decoder, request))
    reused = decoder.reuse.rest_of(request)
    if reused is not None:
        _stream_reused(reused, state)
    try:
        prompt = () if request.prompt_logprobs is None else (yield from prompted.score_prompt(decoder, state))
        if reused is None:
            candidates, prompt_tokens, generated = yield from _candidates(decoder, state)
        else:
            candidates, prompt_tokens, generated = [Candidate((reused,))], 0, 0
    except RequestCancelled:
        metrics = _metrics(decoder, state)
        raise RequestCancelled(metrics=replace(metrics, cancelled_s=metrics.total_s)) from None
    finally:
        decoder.caches.counts.add(state.counts)
    if reused is None:
        decoder.reuse.remember(request, candidates[0].fills[0], state.prompt_is_narrow)
    if request.distinct:
        candidates.sort(key=rank, reverse=True)
    cached = max(0, prompt_tokens - state.counts.prompt_read)
    metrics = replace(
        _metrics(decoder, state), prompt_tokens=prompt_tokens, reused_tokens=cached, generated_tokens=generated
    )
    return CompletionResult(tuple(candidates), metrics, model, prompt)


def _stream_reused(fill: Fill, state: RequestState) -> None:
    state.on_first_token()
    if state.request.on_token is not None:
        state.request.on_token(StreamEvent(0, 0, TokenLogprob(fill.text, fill.mean_logprob)))


def _candidates(decoder: Decoder, state: RequestState) -> Steps[tuple[list[Candidate], int, int]]:
    """The candidates in the order they were generated; the longest prompt and the generated text, in tokens."""
    request, candidates = state.request, list[Candidate]()
    prompt_tokens = generated = 0
    for number in range(max(1, request.candidates)):
        state.candidate, state.hole = number, 0
        fills, length = yield from _fills(decoder, _sampling_of(request.sampling, number), state)
        prompt_tokens = max(prompt_tokens, length)
        generated += sum(fill.tokens for fill in fills)
        candidate = Candidate(fills)
        if not request.distinct or all(_texts(candidate) != _texts(other) for other in candidates):
            candidates.append(candidate)
    return candidates, prompt_tokens, generated


def _validate(request: Request) -> None:
    """Raises BadRequest if a number in `request` is out of range, for example a negative seed."""
    stop, sampling = request.stop, request.sampling
    rules = {
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
    if violated := [rule for rule, holds in rules.items() if not holds]:
        raise BadRequest(f"The request cannot be answered: {violated[0]}.")


def _metrics(decoder: Decoder, state: RequestState) -> RequestMetrics:
    """The cost of the request so far."""
    counts = state.counts
    return RequestMetrics(
        evaluated_tokens=counts.evaluated,
        drafted_tokens=counts.drafted,
        accepted_tokens=counts.accepted,
        forward_passes=counts.passes,
        queued_s=state.started_at - state.queued_at,
        first_token_s=state.first_token_s,
        total_s=state.elapsed_s,
        forward=decoder.forward_name,
        whole=state.prompt_is_whole,
        narrow=state.prompt_is_narrow,
        limit=state.token_limit,
        layout=decoder.layout,
        reading_speed=decoder.speed.tokens_in(1.0) or 0,
    )


def _fills(decoder: Decoder, sampling: Sampling, state: RequestState) -> Steps[tuple[tuple[Fill, ...], int]]:
    """The fills of one candidate, and the length of its last prompt in tokens."""
    request, parts = state.request, state.request.parts
    if prompted.is_raw(decoder, request):
        prompt = prompted.prompt_for(decoder, request)
        shown = (prompted.shown(decoder, prompt),)
        return (yield from decoder.fill(prompt, shown, sampling, state)), len(prompt.ids)
    if len(parts) <= 2 or fills_together(decoder.tokenizer.family):
        prompt = prompt_for(decoder, request)
        known = files_shown(decoder, request)
        state.files = known.files
        if not request.is_prefetch:
            decoder.anchors.files.put(request.document_id, known)
        return (yield from decoder.fill(prompt, parts, sampling, state)), len(prompt.ids)
    written: list[Fill] = []
    before = parts[0]
    length = 0
    for number in range(1, len(parts)):
        prefix_suffix = (before, "".join(parts[number:]))
        spec = PromptSpec(prefix_suffix, request.path, request.stop.max_tokens, decoder.layout)
        prompt = plan(spec, decoder.tokenizer, decoder.context)
        length = len(prompt.ids)
        written += yield from decoder.fill(prompt, prefix_suffix, sampling, state)
        before += written[-1].text + parts[number]
    return tuple(written), length


def prompt_for(decoder: Decoder, request: Request) -> Prompt:
    """The prompt of a request with one hole, or with several that the family fills in one prompt."""
    spec = _spec(decoder, request)
    prompt = plan(spec, decoder.tokenizer, decoder.context)
    if prompt.window is not None and not request.is_prefetch:
        decoder.anchors.windows.put(request.document_id, prompt.window)
    return narrowed(decoder, request, spec, prompt) if request.may_be_narrow else prompt


def files_shown(decoder: Decoder, request: Request) -> FilesShown:
    """What the prompt of a request shows of other files."""
    last = decoder.anchors.files.get(request.document_id) if request.keeps_files else None
    return last or FilesShown(request.context_files, request.repository)


def _spec(decoder: Decoder, request: Request) -> PromptSpec:
    """What the prompt is made of. Notes where the hole begins."""
    if len(request.parts) == 2 and (saved := decoder.caches.on_disk(request.document_id)) is not None:
        resume(decoder.anchors, request.document_id or "", saved.notes, *request.parts)
    shown = files_shown(decoder, request)
    spec = PromptSpec(
        request.parts, request.path, request.stop.max_tokens, decoder.layout,
        files=shown.files, repository=shown.repository,
    )  # fmt: skip
    if len(request.parts) == 2 and decoder.layout is Layout.ANCHORED:
        if request.relayout_on_pause:
            _relayout(decoder, request)
        before, after = request.parts
        start = hole_start(before, decoder.tokenizer.family)
        anchor = decoder.anchors.of(None if request.is_prefetch else request.document_id, before, after, start)
        spec = replace(spec, parts=(request.parts[0], anchor.suffix), anchor=len(anchor.before))
    return replace(spec, window=decoder.anchors.windows.get(request.document_id))


def _relayout(decoder: Decoder, request: Request) -> None:
    """Moves the document's anchor to the cursor, before the healed prefix."""
    before, after = request.parts
    healed_prefix = decoder.tokenizer.healed_prefix(before, decoder.tokenizer.family.trailing_blanks)
    decoder.anchors.move(request.document_id, before[: len(before) - len(healed_prefix)], after)


def _sampling_of(sampling: Sampling, number: int) -> Sampling:
    """The sampling of candidate `number`: each has its own seed, derived from the request's if there is one."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)


def _texts(candidate: Candidate) -> tuple[str, ...]:
    return tuple(fill.text for fill in candidate.fills)


def rank(candidate: Candidate) -> float:
    """Mean log-probability of a candidate's fills; minus infinity for one without text."""
    if not any(fill.text for fill in candidate.fills):
        return -float("inf")
    return sum(fill.mean_logprob for fill in candidate.fills) / len(candidate.fills)
