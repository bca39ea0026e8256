"""A scripted engine for tests and demonstrations: the `Engine` protocol without a model or a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from lacuna_inference.api import (
    CancelToken,
    Candidate,
    CompletionResult,
    EngineState,
    Fill,
    Phase,
    Request,
    RequestMetrics,
    StopReason,
    TokenLogprob,
)
from lacuna_inference.engine.listeners import Listener, Listeners
from lacuna_inference.errors import EngineUnavailable, LacunaError, RequestCancelled

Script = Callable[[Request], str | Sequence[str] | LacunaError]


@dataclass(slots=True)
class Pending:
    """A request that a `FakeEngine` holds until the test releases it."""

    request: Request
    cancel: CancelToken
    future: Future[CompletionResult] = field(default_factory=Future)


@dataclass(slots=True)
class PendingReading:
    """What was to be read ahead; it ends at once unless the engine is held."""

    request: Request
    cancel: CancelToken
    beside: bool = False
    future: Future[bool] = field(default_factory=Future)


class FakeEngine:
    """Answers with what `script` returns: a text, several candidates, or an error.

    A tokenize request gets a token for each character. With `held`, requests wait in `pending` until `release` is
    called, so that a test can cancel or overtake them.
    """

    def __init__(
        self,
        script: str | Script = "pass",
        phase: Phase = Phase.WARM,
        held: bool = False,
        reason: StopReason = StopReason.END_OF_HOLE,
    ) -> None:
        self._script: Script = script if callable(script) else lambda _: script
        self._listeners = Listeners()
        self._state = EngineState(phase, model="fake")
        self._held = held
        self._reason = reason
        self.pending: list[Pending] = []
        self.requests: list[Request] = []
        self.read: deque[PendingReading] = deque(maxlen=64)
        """What was to be read ahead, the last ones."""
        self.closed = False

    @property
    def state(self) -> EngineState:
        return self._state

    def start(self) -> None:
        if self._state.phase is Phase.UNLOADED:
            self.enter(EngineState(Phase.WARM, 1.0, model="fake"))

    def enter(self, state: EngineState) -> None:
        """Puts the engine into `state` and notifies the listeners."""
        self._state = state
        self._listeners.notify(state)

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        pending = Pending(request, cancel or CancelToken())
        self.requests.append(request)
        if self.closed or self._state.phase is Phase.FAILED:
            pending.future.set_exception(EngineUnavailable("The engine is not available.", self._state.message))
            return pending.future
        self.pending.append(pending)
        if not self._held and self._state.phase is Phase.WARM:
            self.release()
        return pending.future

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        reading = PendingReading(request, cancel, beside)
        self.read.append(reading)
        if not self._held:
            reading.future.set_result(True)
        return reading.future

    def release(self) -> None:
        """Answers all pending requests."""
        while self.pending:
            pending = self.pending.pop(0)
            outcome = RequestCancelled() if pending.cancel.cancelled else self._script(pending.request)
            if pending.future.cancelled():
                continue
            if isinstance(outcome, LacunaError):
                pending.future.set_exception(outcome)
            else:
                pending.future.set_result(_result(pending.request, outcome, self._reason))

    def watch(self, listener: Listener) -> None:
        self._listeners.add(listener, self._state)

    def close(self, timeout: float = 2.0) -> bool:
        self.closed = True
        return True


def _result(request: Request, texts: str | Sequence[str], reason: StopReason) -> CompletionResult:
    if request.tokenize is not None:
        tokens = tuple(TokenLogprob(character, 0.0, id=ord(character)) for character in request.parts[0])
        return CompletionResult((), RequestMetrics(), "fake", tokens)
    texts = [texts] if isinstance(texts, str) else texts
    holes = max(1, len(request.parts) - 1)
    candidates = tuple(Candidate(tuple(Fill(text, reason, len(text), -0.1) for _ in range(holes))) for text in texts)
    return CompletionResult(candidates, RequestMetrics(generated_tokens=sum(map(len, texts))), "fake")
