"""The language server, as `lacuna lsp`, with an engine that knows a few suggestions.

It records the client's capabilities, the files it opens, and the positions of its requests."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from lsprotocol import types

from lacuna_inference.api import Phase, Request
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp import app, capabilities, documents, transport
from lacuna_server.settings import load
from lacuna_server.stdio import guard

SUGGESTIONS = {
    "def add(a, b):": "\n    total = a + b\n    return total",
    "x📦漢字 = ": 'dict(\n    key="値",\n    emoji="🎉",\n)',
    "cafe\u0301 = ": "brew(\n    strong=True,\n)",
    "Shared.is": "absolute = dict(\n    key=True,\n)",
}
"""Suggestions by the end of the line before them; the client may have added a blank."""


def suggestion(request: Request) -> str:
    line = request.parts[0].rpartition("\n")[2]
    return next((text for end, text in SUGGESTIONS.items() if line.endswith(end)), "")


def main() -> None:
    streams = guard()
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    server = app.build(load(), make_engine=lambda _: FakeEngine(suggestion, phase=Phase.UNLOADED))
    resolve = capabilities.resolve

    def noted(params: object) -> object:
        if note := os.environ.get("LACUNA_TEST_CLIENT"):
            Path(note).write_text(json.dumps(params, indent=1), encoding="utf-8")
        return resolve(params)

    capabilities.resolve = noted  # type: ignore[assignment]
    open_document = documents.Documents.open

    def opened(self: documents.Documents, item: types.TextDocumentItem) -> None:
        open_document(self, item)
        if note := os.environ.get("LACUNA_TEST_CLIENT"):
            with Path(note).with_name("opened").open("a", encoding="utf-8") as file:
                file.write(f"{item.uri}\n")

    documents.Documents.open = opened  # type: ignore[method-assign]
    take_snapshot = server.session.snapshot

    def asked(uri: str, position: types.Position) -> Snapshot | None:
        if note := os.environ.get("LACUNA_TEST_CLIENT"):
            with Path(note).with_name("asked").open("a", encoding="utf-8") as file:
                file.write(f"{uri}:{position.line}:{position.character}\n")
        return take_snapshot(uri, position)

    server.session.snapshot = asked  # type: ignore[method-assign]
    transport.serve_stdio(server, streams)


if __name__ == "__main__":
    main()
