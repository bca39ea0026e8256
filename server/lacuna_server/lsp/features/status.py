"""`lacuna/status`: how the engine is, told to clients that asked for it in `experimental.lacuna.status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from lsprotocol import types

from lacuna_server.core.reasons import Withheld
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.lsp.uris import uri_path

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
        "out_of_step": session.documents.out_of_step(),
    }


def tell(ls: LacunaServer) -> None:
    """Tells the client how it is now."""
    if ls.session.client.status:
        ls.protocol.notify(STATUS, status(ls))


def tell_lost(ls: LacunaServer, uris: Sequence[str]) -> None:
    """Tells the client once that documents went out of step, and how it is now."""
    for uri in uris:
        name = uri_path(uri).rpartition("/")[2]
        ls.say(types.MessageType.Warning, f"Nothing is suggested in {name}. {Withheld.OUT_OF_STEP.sentence}")
    tell(ls)
