"""The language server with a clock. Run as a program, it reports how long after sending each edit was applied."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NoReturn

from lacuna_server.lsp import app, transport
from lacuna_server.lsp.document import Change
from lacuna_server.lsp.documents import Documents
from lacuna_server.settings import load
from lacuna_server.stdio import guard

DELAYS = "lacuna/bench/delays"
"""A request that is answered with the delay of each edit so far, in seconds."""


def stamp() -> str:
    """A text to insert that holds the current time; all processes of a machine share the clock."""
    return f"#{time.monotonic():.6f}\n"


def main() -> NoReturn:
    """Serves over stdio."""
    streams = guard()
    delays: list[float] = []

    class Stamped(Documents):
        def edit(self, uri: str, changes: Sequence[Change], version: int | None = None) -> bool:
            applied = super().edit(uri, changes, version)
            delays.extend(time.monotonic() - float(change.text[1:]) for change in changes[:1] if change is not None)
            return applied

    server = app.build(load())
    server.session.documents = Stamped()
    server.feature(DELAYS)(lambda *_: delays)
    transport.serve_stdio(server, streams)


if __name__ == "__main__":
    main()
