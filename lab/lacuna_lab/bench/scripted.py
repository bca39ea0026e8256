"""The language server with a scripted engine. Run as a program, it shows what the server costs without a model.

Each suggestion is the number of seconds that the engine took for it, plus those by which it was delayed on purpose.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NoReturn

from lacuna_inference.api import CancelToken, CompletionResult, Phase, Request
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.core.admission import Rules
from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp import app, transport
from lacuna_server.settings import load
from lacuna_server.stdio import guard

TEXT = "lacuna/bench/text"
"""A request with a document's identifier, answered with its text."""
ENGINE_S = 0.004
"""Interval at which the engine answers requests."""


class ScriptedEngine(FakeEngine):
    """Answers from a separate thread, as a real engine does. Requests that were cancelled meanwhile fail."""

    def __init__(self) -> None:
        super().__init__(self._text, phase=Phase.UNLOADED, held=True)
        self._submitted: dict[int, float] = {}
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        self._submitted[id(request)] = time.perf_counter()
        self.requests.clear()
        return super().submit(request, cancel)

    def _text(self, request: Request) -> str:
        return f"{time.perf_counter() - self._submitted.pop(id(request)):.6f}"

    def _answer(self) -> None:
        while not self.closed:
            time.sleep(ENGINE_S)
            self.release()


def main() -> NoReturn:
    """Serves over stdio."""
    streams = guard()
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # pygls logs whole messages; `lacuna lsp` silences it too
    server = app.build(load(), make_engine=lambda _: ScriptedEngine())

    session = server.session
    complete = session.complete

    async def timed(snapshot: Snapshot, invoked: bool, rules: Rules | None = None) -> Suggestions:
        answer = await complete(snapshot, invoked, rules)
        return replace(answer, texts=tuple(str(float(s) + answer.delay_s) for s in answer.texts))

    session.complete = timed  # type: ignore[method-assign]

    @server.feature(TEXT)
    def text(params: Any) -> str | None:
        document = session.documents.get(params.uri)
        return document.text if document else None

    transport.serve_stdio(server, streams)


if __name__ == "__main__":
    main()
