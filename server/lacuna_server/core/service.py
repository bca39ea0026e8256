"""From a snapshot to suggestions: builds the engine's request and decides what of its answer to show."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lacuna_inference.api import (
    MAX_RELATED_FILES,
    CancelToken,
    CompletionResult,
    ContextFile,
    Engine,
    Fill,
    Phase,
    Request,
    RequestMetrics,
    Sampling,
    StopReason,
)
from lacuna_inference.errors import LacunaError, RequestCancelled
from lacuna_server.core.evidence import LIMITS
from lacuna_server.core.gate import Corrected, Verdict, as_fitted, judged
from lacuna_server.core.nonsense import readable
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot, with_lf
from lacuna_server.core.trigger import stop_for
from lacuna_server.core.trimming import once, trim


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings for generating suggestions. Lengths are in tokens and lines.

    `deadline_s` limits automatic suggestions. `look_ahead` lets the engine compute and read in pauses what comes next;
    then an automatic suggestion need not wait until the whole text is read. An automatic suggestion that is less likely
    to be right than `eagerness` asks for is not shown; 1 shows everything. `corrected` knows what was learned from the
    user about such chances.
    """

    max_tokens: int = 64
    max_lines: int = 12
    candidates: int = 3
    temperature: float = 0.4
    top_p: float = 0.95
    deadline_s: float | None = None
    look_ahead: bool = False
    eagerness: float = 1.0
    corrected: Corrected = as_fitted


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Suggestions, best first, or why there are none, and what they cost. `detail` is a sentence for the user.

    Of the first suggestion, `stop` is why the model ended it, `cut` whether a part of it was removed because of the
    text around it or its syntax, and `confidence` the mean probability of its tokens. `verdict` is what the gate
    decided, None where it did not. `cached` means that the answer was not computed for this request; `delay_s` is how
    long the request was delayed.
    """

    texts: tuple[str, ...] = ()
    withheld: Withheld | None = None
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    model: str = ""
    detail: str = ""
    stop: StopReason | None = None
    cut: bool = False
    confidence: float | None = None
    verdict: Verdict | None = None
    cached: bool = False
    delay_s: float = 0.0


async def complete(engine: Engine, snapshot: Snapshot, policy: Policy, invoked: bool = False) -> Suggestions:
    """What to show at the cursor. Never raises for a failure of the model. Cancelling the task cancels the request.

    Automatic requests decode one suggestion greedily; invoked ones sample several.
    """
    request = request_for(snapshot, policy, invoked)
    if request is None:
        return Suggestions(withheld=Withheld.INSIDE_WORD)
    if engine.state.phase not in (Phase.WARM, Phase.ASLEEP):
        failed = engine.state.phase in (Phase.FAILED, Phase.UNREACHABLE)
        return Suggestions(withheld=Withheld.UNAVAILABLE if failed else Withheld.LOADING, detail=engine.state.message)
    cancel = CancelToken()
    try:
        result = await asyncio.wrap_future(engine.submit(request, cancel))
    except asyncio.CancelledError:
        cancel.cancel()
        raise
    except RequestCancelled as error:
        return Suggestions(withheld=Withheld.CANCELLED, metrics=error.metrics or RequestMetrics())
    except LacunaError as error:
        return Suggestions(withheld=Withheld.UNAVAILABLE, detail=str(error))
    answer = answer_from(result, snapshot)
    return answer if invoked else gated(answer, result, snapshot, policy)


def request_for(snapshot: Snapshot, policy: Policy, invoked: bool) -> Request | None:
    """The engine's request for this cursor, or None inside a word, where nothing is suggested."""
    stop = stop_for(snapshot, policy.max_tokens, policy.max_lines)
    if stop is None:
        return None
    samples = invoked and policy.candidates > 1
    sampling = Sampling(policy.temperature, policy.top_p, seed=0) if samples else Sampling()
    return Request(
        parts=(with_lf(snapshot.prefix), with_lf(snapshot.suffix)),
        path=snapshot.path,
        stop=stop,
        sampling=sampling,
        candidates=policy.candidates if samples else 1,
        document_id=snapshot.document_id or None,
        deadline_s=None if invoked else policy.deadline_s,
        prefetch_next=policy.look_ahead,
        may_be_narrow=policy.look_ahead and not invoked,
        related_files=tuple(map(_cached_with_lf, snapshot.related_files)),
        context_files=context_files_with_lf(snapshot),
        repository=snapshot.repository or None,
        keeps_files=snapshot.keeps_files,
    )


def answer_from(result: CompletionResult, snapshot: Snapshot) -> Suggestions:
    """The engine's candidates, trimmed to what is worth showing."""
    fills = [candidate.fills[0] for candidate in result.candidates]
    outcomes = [outcome(fill, snapshot) for fill in fills]
    shown = tuple(dict.fromkeys(o for o in outcomes if not isinstance(o, Withheld)))
    reason = None if shown else next((o for o in outcomes if isinstance(o, Withheld)), Withheld.EMPTY)
    first = next((fill for fill, o in zip(fills, outcomes, strict=True) if o is reason or o in shown), fills[0])
    return Suggestions(
        shown,
        reason,
        result.metrics,
        result.model,
        stop=first.reason,
        cut=bool(shown) and shown[0] != with_lf(first.text),
        confidence=math.exp(first.mean_logprob) if shown else None,
    )


def gated(answer: Suggestions, result: CompletionResult, snapshot: Snapshot, policy: Policy) -> Suggestions:
    """`answer` with as much of its only suggestion as is likely enough to be right."""
    if not answer.texts:
        return answer
    fill = result.candidates[0].fills[0]
    text, verdict = judged(fill, answer.texts[0], snapshot, result.model, policy.eagerness, policy.corrected)
    if verdict is None or text:
        return replace(answer, texts=(text,), verdict=verdict)
    detail = (
        f"Even its beginning is right with a chance of only {verdict.chance:.0%}; at this eagerness, "
        f"suggestions are shown from {verdict.least:.0%} on."
    )
    return replace(answer, texts=(), withheld=Withheld.UNSURE, detail=detail, confidence=None, verdict=verdict)


def outcome(fill: Fill, snapshot: Snapshot) -> str | Withheld:
    """What of a fill is worth showing, or why nothing is."""
    text = once(fill.text) if fill.reason in LIMITS else fill.text
    text = text if isinstance(text, Withheld) else trim(text, snapshot)
    if isinstance(text, Withheld):
        return text
    stopped = fill.reason in LIMITS and fill.reason is not StopReason.MAX_LINES
    return readable(text, snapshot, stopped and with_lf(fill.text).rstrip() == text)


def context_files_with_lf(snapshot: Snapshot) -> tuple[ContextFile, ...]:
    """The excerpts of other files, with LF line ends."""
    return tuple(ContextFile(file.path, _cached_with_lf(file.text)) for file in snapshot.context_files)


_cached_with_lf = lru_cache(MAX_RELATED_FILES)(with_lf)
"""For texts that do not change between keystrokes."""
