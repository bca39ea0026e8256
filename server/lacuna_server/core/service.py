"""The service: a snapshot in, suggestions out. All faces use it: language server, command line, HTTP."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from functools import lru_cache

from lacuna_inference.api import (
    MAX_RELATED_FILES,
    CancelToken,
    CompletionResult,
    Engine,
    Fill,
    Phase,
    Request,
    RequestMetrics,
    Sampling,
    StopReason,
)
from lacuna_inference.errors import LacunaError, RequestCancelled
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.core.trigger import stop_for
from lacuna_server.core.trimming import once, trim

_LIMITS = frozenset({StopReason.MAX_TOKENS, StopReason.MAX_LINES, StopReason.CONTEXT_FULL, StopReason.DEADLINE})
"""Why an answer ends that would have gone on, perhaps in a circle."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide how a suggestion is made. Lengths in tokens and lines.

    `deadline_s` bounds automatic suggestions; `look_ahead` lets the engine compute what comes after one while idle.
    """

    max_tokens: int = 64
    max_lines: int = 12
    candidates: int = 3
    temperature: float = 0.4
    top_p: float = 0.95
    deadline_s: float | None = None
    look_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Suggestions, best first, and what they cost; or none, and why. `detail` is a sentence for the user.

    `stop` is why the model ended the first one, `cut` whether a part of it was left out, `confidence` the mean
    probability of its tokens. `cached`: it was found, not computed; `delay_s`: how long it was put off.
    """

    texts: tuple[str, ...] = ()
    withheld: Withheld | None = None
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    model: str = ""
    detail: str = ""
    stop: StopReason | None = None
    cut: bool = False
    confidence: float | None = None
    cached: bool = False
    delay_s: float = 0.0


async def complete(engine: Engine, snapshot: Snapshot, policy: Policy, invoked: bool = False) -> Suggestions:
    """What to show at the cursor. Never raises for a model's failure; a cancelled task cancels the request.

    Automatic requests are greedy and have one suggestion; invoked ones sample several.
    """
    request = request_for(snapshot, policy, invoked)
    if request is None:
        return Suggestions(withheld=Withheld.INSIDE_WORD)
    if engine.state.phase not in (Phase.WARM, Phase.ASLEEP):
        failed = engine.state.phase in (Phase.FAILED, Phase.UNREACHABLE)
        return Suggestions(withheld=Withheld.UNAVAILABLE if failed else Withheld.LOADING, detail=engine.state.message)
    cancel = CancelToken()
    try:
        completions = await asyncio.wrap_future(engine.submit(request, cancel))
    except asyncio.CancelledError:
        cancel.cancel()
        raise
    except RequestCancelled as error:
        return Suggestions(withheld=Withheld.CANCELLED, metrics=error.metrics or RequestMetrics())
    except LacunaError as error:
        return Suggestions(withheld=Withheld.UNAVAILABLE, detail=str(error))
    return answer_from(completions, snapshot)


def request_for(snapshot: Snapshot, policy: Policy, invoked: bool) -> Request | None:
    """The engine's request for this cursor, or None where nothing should be suggested."""
    stop = stop_for(snapshot, policy.max_tokens, policy.max_lines)
    if stop is None:
        return None
    several = invoked and policy.candidates > 1
    sampling = Sampling(policy.temperature, policy.top_p, seed=0) if several else Sampling()
    return Request(
        parts=(with_lf(snapshot.prefix), with_lf(snapshot.suffix)),
        path=snapshot.path,
        stop=stop,
        sampling=sampling,
        candidates=policy.candidates if several else 1,
        document_id=snapshot.document_id or None,
        deadline_s=None if invoked else policy.deadline_s,
        prefetch_next=policy.look_ahead,
        related_files=tuple(map(_lf_kept, snapshot.related_files)),
    )


def answer_from(completions: CompletionResult, snapshot: Snapshot) -> Suggestions:
    """What of the engine's candidates is worth showing."""
    fills = [candidate.fills[0] for candidate in completions.candidates]
    outcomes = [_outcome(fill, snapshot) for fill in fills]
    shown = tuple(dict.fromkeys(o for o in outcomes if not isinstance(o, Withheld)))
    reason = None if shown else next((o for o in outcomes if isinstance(o, Withheld)), Withheld.EMPTY)
    first = next((fill for fill, o in zip(fills, outcomes, strict=True) if o is reason or o in shown), fills[0])
    return Suggestions(
        shown,
        reason,
        completions.metrics,
        completions.model,
        stop=first.reason,
        cut=bool(shown) and shown[0] != with_lf(first.text),
        confidence=math.exp(first.mean_logprob) if shown else None,
    )


def _outcome(fill: Fill, snapshot: Snapshot) -> str | Withheld:
    text = once(fill.text) if fill.reason in _LIMITS else fill.text
    return text if isinstance(text, Withheld) else trim(text, snapshot)


def with_lf(text: str) -> str:
    """Models have learned LF; clients turn it back."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


_lf_kept = lru_cache(MAX_RELATED_FILES)(with_lf)
"""For texts that stay what they are from key to key."""
