"""The language server with a clock: run as a program, it tells how long after its sending each edit was applied."""

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
"""The request that is answered with the seconds of each edit so far."""


def stamp() -> str:
    """A text to insert that tells when; the clock is the same for all processes of a machine."""
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
