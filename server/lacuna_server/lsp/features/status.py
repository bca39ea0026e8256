"""`lacuna/status`: how the engine is, told to clients that asked for it in `experimental.lacuna.status`."""

from __future__ import annotations

import time
from typing import Any

from lacuna_server.lsp.language_server import LacunaServer

STATUS = "lacuna/status"
"""The notification; its parameters are what the command `lacuna.status` answers."""


def status(ls: LacunaServer) -> dict[str, Any]:
    session, state = ls.session, ls.session.engine.state
    return {
        "phase": state.phase,
        "progress": state.progress,
        "message": state.message,
        "model": state.model,
        "mode": session.settings.mode,
        "snoozed_s": round(max(0.0, session.snoozed_until - time.monotonic()), 1),
    }


def tell(ls: LacunaServer) -> None:
    """Tells the client how it is now."""
    if ls.session.client.status:
        ls.protocol.notify(STATUS, status(ls))
