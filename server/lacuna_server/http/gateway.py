"""Between HTTP and the engine: how many may wait, for how long, and what happens when a caller leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request as HttpRequest

from lacuna_inference.api import CancelToken, CompletionResult, Engine, Phase, Request, StreamEvent
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_server.core.admission import Rules, language_refusal
from lacuna_server.http import line_ends
from lacuna_server.http.metrics import Metrics

_GRACE_S = 5.0


class Busy(LacunaError):
    """As many requests wait as may."""


class TooLate(LacunaError):
    """The time for an answer was over before it was begun."""


class NotServed(LacunaError):
    """Another model is asked for than the one that is here."""


class CallerLeft(LacunaError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """`waiting` requests at a time, running ones among them; `timeout_s` for one, after which it ends where it is.

    `languages` are the setting of that name.
    """

    waiting: int = 64
    timeout_s: float = 60.0
    languages: Mapping[str, bool] = field(default_factory=dict)

    @property
    def longest_s(self) -> float:
        """A request that runs ends by itself when its time is over, inside a line when it is twice over; one that waits
        still is given up after this."""
        return 2 * self.timeout_s + _GRACE_S


class Gateway:
    """Asks the engine. Every request that is let in ends with an answer or an error."""

    def __init__(self, engine: Engine, limits: GatewayLimits, metrics: Metrics, alias: str = "") -> None:
        """`alias` is what callers know the model by."""
        self._alias = alias
        self.engine, self.limits, self._metrics = engine, limits, metrics
        self._inside = 0
        metrics.inside.set_function(lambda: self._inside)

    @property
    def model(self) -> str:
        """What the served model is called here."""
        return self._alias or self.engine.state.model

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._inside > 0

    @property
    def ready(self) -> bool:
        """Whether requests are answered: an unused model is loaded again by the next."""
        return self.engine.state.phase in (Phase.WARM, Phase.ASLEEP)

    def require_language(self, language: str, path: str) -> None:
        """Raises BadRequest where a caller names a language, itself or by a file's name, that is not completed here."""
        rules = Rules(languages=self.limits.languages, model_languages=self.engine.state.facts.languages)
        if (refused := language_refusal(language.strip().lower(), path, rules)) is not None:
            raise BadRequest(refused.sentence, "Send neither 'language' nor 'path' to complete the text anyway.")

    async def answer(self, request: Request, http: HttpRequest) -> CompletionResult:
        """The answer. Raises Busy, TooLate, CallerLeft, and what the engine fails with."""
        crlf = line_ends.uses_crlf(request)
        with self._let_in(line_ends.with_lf(request)) as (future, _):
            answered = asyncio.wrap_future(future)
            try:
                await unless_left(answered, http, self.limits.longest_s)
                completions = self._counted(answered.result())
                return line_ends.with_crlf(completions) if crlf else completions
            finally:
                _forget(answered)

    async def pieces(self, request: Request) -> AsyncGenerator[StreamEvent | CompletionResult]:
        """The pieces of the answer as they come, and at last all of it. Closing it cancels the request."""
        loop = asyncio.get_running_loop()
        crlf = line_ends.uses_crlf(request)
        told: asyncio.Queue[StreamEvent | None] = asyncio.Queue()

        def tell(piece: StreamEvent) -> None:
            loop.call_soon_threadsafe(told.put_nowait, piece)

        with self._let_in(replace(line_ends.with_lf(request), on_token=tell)) as (future, started):
            answered = asyncio.wrap_future(future)
            answered.add_done_callback(lambda _: told.put_nowait(None))
            try:
                while True:
                    left = self.limits.longest_s - (time.monotonic() - started)
                    try:
                        piece = await asyncio.wait_for(told.get(), max(0.0, left))
                    except TimeoutError:
                        raise _too_late() from None
                    if piece is None:
                        break
                    yield line_ends.piece_with_crlf(piece) if crlf else piece
                completions = self._counted(answered.result())
                yield line_ends.with_crlf(completions) if crlf else completions
            finally:
                _forget(answered)

    @contextmanager
    def _let_in(self, request: Request) -> Iterator[tuple[Future[CompletionResult], float]]:
        """Submits `request`; it is cancelled at the end of the block, if it is not over by then."""
        if self._inside >= self.limits.waiting:
            raise Busy("Too many requests are waiting.", "Try again in a moment.")
        cancel = CancelToken()
        deadline = min(request.deadline_s or self.limits.timeout_s, self.limits.timeout_s)
        self._inside += 1
        try:
            yield self.engine.submit(replace(request, deadline_s=deadline), cancel), time.monotonic()
        finally:
            cancel.cancel()
            self._inside -= 1

    def _counted(self, completions: CompletionResult) -> CompletionResult:
        self._metrics.count(completions.metrics)
        return replace(completions, model=self._alias or completions.model)


def _too_late() -> TooLate:
    return TooLate("The answer was not begun in time.", "Try again in a moment.")


def _forget(answered: asyncio.Future[CompletionResult]) -> None:
    """What becomes of a request that nobody waits for is nobody's business."""
    answered.add_done_callback(lambda future: future.cancelled() or future.exception())


async def unless_left(wanted: asyncio.Future[Any], http: HttpRequest, seconds: float) -> None:
    """Returns when `wanted` is done. Raises CallerLeft when the connection is closed before, TooLate after `seconds`.

    The body must have been read.
    """
    left = asyncio.ensure_future(_left(http))
    both: set[asyncio.Future[Any]] = {wanted, left}
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise CallerLeft("The caller left.") if left.done() else _too_late()
    finally:
        left.cancel()


async def _left(http: HttpRequest) -> None:
    """Returns when the caller has closed the connection. The body must have been read."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
