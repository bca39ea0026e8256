"""workspace/executeCommand lacuna.explain: what the last answer cost, and why nothing was shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lacuna_server.lsp.language_server import LacunaServer

COMMAND = "lacuna.explain"


def register(server: LacunaServer) -> None:
    @server.command(COMMAND)
    def explain(ls: LacunaServer, *_: Any) -> dict[str, Any] | None:
        answer = ls.session.last
        if answer is None:
            return None
        return {
            "suggestions": len(answer.suggestions),
            "withheld": answer.withheld,
            "detail": answer.detail,
            "model": answer.model,
            "counters": asdict(answer.counters),
        }
