"""Assembles the language server; `transport.py` runs it."""

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
    warnings: Sequence[str] = (),
    make_engine: MakeEngine | None = None,
) -> LacunaServer:
    """A server with all features. The engine starts at the `initialized` notification.

    `warnings` are sentences about ignored settings, for the client's log.
    """
    if make_engine is None:
        session = Session(settings, engines.make, warnings, engines.examine)
    else:
        session = Session(settings, make_engine, warnings)
    server = LacunaServer(session)
    inline_completion.register(server)
    completion.register(server)
    configuration.register(server)
    commands.register(server)
    saving.register(server)
    server.on_out_of_step_change = partial(status.report_out_of_step, server)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: LacunaServer, _: types.InitializedParams) -> None:
        _warm_up(ls)
        settings = await configuration.pull(ls)
        if settings is not None:
            await ls.session.reconfigure(settings)
        loading.start(ls)
        configuration.report_warnings(ls)
        await configuration.subscribe(ls)

    return server


def _warm_up(server: LacunaServer) -> None:
    """Builds the converters of frequent messages in advance: on first use each takes about ten milliseconds."""
    cursor = {"textDocument": {"uri": ""}, "position": {"line": 0, "character": 0}}
    requests = {
        types.TEXT_DOCUMENT_INLINE_COMPLETION: {**cursor, "context": {"triggerKind": 1}},
        types.TEXT_DOCUMENT_COMPLETION: cursor,
    }
    for method, params in requests.items():
        server.protocol.structure_message({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
