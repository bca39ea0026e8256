"""Passes requests to the engine, limits how many wait and for how long, and cancels those of disconnected clients."""

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
    """The queue is full."""


class TooLate(LacunaError):
    """The request timed out before its answer was started."""


class NotServed(LacunaError):
    """The request names a model that is not served here."""


class CallerLeft(LacunaError):
    """The client disconnected before its answer."""


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """`waiting` requests are accepted at a time, running ones included. An answer is cut off after `timeout_s`.

    `languages` is the setting of that name.
    """

    waiting: int = 64
    timeout_s: float = 60.0
    languages: Mapping[str, bool] = field(default_factory=dict)

    @property
    def longest_s(self) -> float:
        """Seconds after which a request that has no answer fails.

        A running request ends at the end of a line after `timeout_s`, and inside a line after twice that.
        """
        return 2 * self.timeout_s + _GRACE_S


class Gateway:
    """Submits requests to the engine. Every accepted request ends with an answer or an error."""

    def __init__(self, engine: Engine, limits: GatewayLimits, metrics: Metrics, alias: str = "") -> None:
        """`alias` is the model's name for callers."""
        self._alias = alias
        self.engine, self.limits, self._metrics = engine, limits, metrics
        self._in_flight = 0
        metrics.in_flight.set_function(lambda: self._in_flight)

    @property
    def model(self) -> str:
        """The name of the served model."""
        return self._alias or self.engine.state.model

    @property
    def busy(self) -> bool:
        """Whether requests wait or run."""
        return self._in_flight > 0

    @property
    def ready(self) -> bool:
        """Whether requests are answered. The next request loads a model that was unloaded while idle."""
        return self.engine.state.phase in (Phase.WARM, Phase.ASLEEP)

    def require_language(self, language: str, path: str) -> None:
        """Raises BadRequest if the language, given or derived from the path, is not completed here."""
        rules = Rules(languages=self.limits.languages, model_languages=self.engine.state.facts.languages)
        if (refused := language_refusal(language.strip().lower(), path, rules)) is not None:
            raise BadRequest(refused.sentence, "Send neither 'language' nor 'path' to complete the text anyway.")

    async def answer(self, request: Request, http: HttpRequest) -> CompletionResult:
        """The answer. Raises Busy, TooLate, CallerLeft, and the engine's errors."""
        crlf = line_ends.uses_crlf(request)
        with self._submitted(line_ends.with_lf(request)) as (future, _):
            answer = asyncio.wrap_future(future)
            try:
                await wait_unless_disconnected(answer, http, self.limits.longest_s)
                result = self._counted(answer.result())
                return line_ends.with_crlf(result) if crlf else result
            finally:
                _ignore_outcome(answer)

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent | CompletionResult]:
        """Stream events as they come, then the whole result. Closing the generator cancels the request."""
        loop = asyncio.get_running_loop()
        crlf = line_ends.uses_crlf(request)
        events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()

        def on_token(event: StreamEvent) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        with self._submitted(replace(line_ends.with_lf(request), on_token=on_token)) as (future, started):
            answer = asyncio.wrap_future(future)
            answer.add_done_callback(lambda _: events.put_nowait(None))
            try:
                while True:
                    remaining = self.limits.longest_s - (time.monotonic() - started)
                    try:
                        event = await asyncio.wait_for(events.get(), max(0.0, remaining))
                    except TimeoutError:
                        raise _too_late() from None
                    if event is None:
                        break
                    yield line_ends.event_with_crlf(event) if crlf else event
                result = self._counted(answer.result())
                yield line_ends.with_crlf(result) if crlf else result
            finally:
                _ignore_outcome(answer)

    @contextmanager
    def _submitted(self, request: Request) -> Iterator[tuple[Future[CompletionResult], float]]:
        """Submits `request`, and cancels it at the end of the block if it is still running.

        Yields the future and when it was submitted. Raises Busy.
        """
        if self._in_flight >= self.limits.waiting:
            raise Busy("Too many requests are waiting.", "Try again in a moment.")
        cancel = CancelToken()
        deadline = min(request.deadline_s or self.limits.timeout_s, self.limits.timeout_s)
        self._in_flight += 1
        try:
            yield self.engine.submit(replace(request, deadline_s=deadline), cancel), time.monotonic()
        finally:
            cancel.cancel()
            self._in_flight -= 1

    def _counted(self, result: CompletionResult) -> CompletionResult:
        """`result` under the model's public name, after adding it to the metrics."""
        self._metrics.count(result.metrics)
        return replace(result, model=self._alias or result.model)


def _too_late() -> TooLate:
    return TooLate("The answer was not started in time.", "Try again in a moment.")


def _ignore_outcome(answer: asyncio.Future[CompletionResult]) -> None:
    """Retrieves the future's exception, so that asyncio does not log it when no caller is left."""
    answer.add_done_callback(lambda future: future.cancelled() or future.exception())


async def wait_unless_disconnected(future: asyncio.Future[Any], http: HttpRequest, seconds: float) -> None:
    """Waits for `future`. Raises CallerLeft if the client disconnects first, and TooLate after `seconds`.

    The body must have been read.
    """
    disconnected = asyncio.ensure_future(_disconnected(http))
    both: set[asyncio.Future[Any]] = {future, disconnected}
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise CallerLeft("The client disconnected.") if disconnected.done() else _too_late()
    finally:
        disconnected.cancel()


async def _disconnected(http: HttpRequest) -> None:
    """Returns when the client has closed the connection. The body must have been read."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
