"""Puts the language server together; `transport.py` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lsprotocol import types

from lacuna_server import engines
from lacuna_server.lsp.engine_supervisor import MakeEngine
from lacuna_server.lsp.features import commands, completion, configuration, inline_completion, loading, saving, status
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.lsp.session import Session
from lacuna_server.settings import Settings


def build(
    settings: Settings,
    complaints: Sequence[str] = (),
    make_engine: MakeEngine | None = None,
) -> LacunaServer:
    """A server with every feature; the engine starts with the `initialized` notification.

    `complaints` are sentences about settings that were left out; the client's log gets them.
    """
    if make_engine is None:
        session = Session(settings, engines.make, complaints, engines.examine)
    else:
        session = Session(settings, make_engine, complaints)
    server = LacunaServer(session)
    inline_completion.register(server)
    completion.register(server)
    configuration.register(server)
    commands.register(server)
    saving.register(server)
    server.on_step = partial(status.tell_lost, server)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: LacunaServer, _: types.InitializedParams) -> None:
        _warm_up(ls)
        sent = await configuration.pull(ls)
        if sent is not None:
            await ls.session.reconfigure(sent)
        loading.start(ls)
        configuration.report_complaints(ls)
        await configuration.subscribe(ls)

    return server


def _warm_up(server: LacunaServer) -> None:
    """Builds the converters of the frequent messages now: on first use each takes about ten milliseconds."""
    at = {"textDocument": {"uri": ""}, "position": {"line": 0, "character": 0}}
    frequent = {
        types.TEXT_DOCUMENT_INLINE_COMPLETION: {**at, "context": {"triggerKind": 1}},
        types.TEXT_DOCUMENT_COMPLETION: at,
    }
    for method, params in frequent.items():
        server.protocol.structure_message({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
