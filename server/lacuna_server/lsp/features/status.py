"""`lacuna/status`: the engine's state, for clients that request it in `experimental.lacuna.status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from lsprotocol import types

from lacuna_server.core.notes import limited
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Suggestions
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.lsp.uris import uri_path

STATUS = "lacuna/status"
"""The notification; its parameters are the result of the command `lacuna.status`."""


def status(ls: LacunaServer) -> dict[str, Any]:
    session, state = ls.session, ls.session.engine.state
    return {
        "phase": state.phase,
        "progress": state.progress,
        "message": state.message,
        "model": state.model,
        "mode": session.settings.mode,
        "snoozed_s": round(max(0.0, session.snoozed_until - time.monotonic()), 1),
        "out_of_step": session.documents.out_of_sync(),
    }


def report_language(ls: LacunaServer, answer: Suggestions) -> None:
    """Tells the user, once in a session, that the model does not complete the document's language."""
    if answer.withheld is Withheld.MODEL_LANGUAGE and not ls.session.told_of_language:
        ls.session.told_of_language = True
        text = f"Lacuna: {Withheld.MODEL_LANGUAGE.sentence} Larger models know more languages (setting `model`)."
        ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, text))


def report_limit(ls: LacunaServer, answer: Suggestions) -> None:
    """Logs to the client, once in a session, that the model has no room for `max_tokens`."""
    if (text := limited(answer.metrics)) and not ls.session.told_of_limit:
        ls.session.told_of_limit = True
        ls.log_to_client(types.MessageType.Warning, f"{text} Set `max_tokens` to that, or less.")


def notify(ls: LacunaServer) -> None:
    """Sends the current status to a client that accepts it."""
    if ls.session.client.status:
        ls.protocol.notify(STATUS, status(ls))


def report_out_of_step(ls: LacunaServer, uris: Sequence[str]) -> None:
    """Logs the documents that went out of sync in the client's log, and sends the current status."""
    for uri in uris:
        name = uri_path(uri).rpartition("/")[2]
        ls.log_to_client(types.MessageType.Warning, f"Nothing is suggested in {name}. {Withheld.OUT_OF_STEP.sentence}")
    notify(ls)
