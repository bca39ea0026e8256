"""Starts the engine and shows how its loading goes: `$/progress`, the client's log, one message when it fails."""

from __future__ import annotations

import asyncio
import uuid

from lsprotocol import types

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_server.lsp.language_server import LacunaServer


async def start(ls: LacunaServer) -> None:
    """Starts the session's engine; returns at once, the rest happens in a task."""
    loop = asyncio.get_running_loop()
    states: asyncio.Queue[EngineState] = asyncio.Queue()
    engine = ls.session.engine

    def pass_on(state: EngineState) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(states.put_nowait, state)

    engine.watch(pass_on)
    engine.start()
    ls.session.tasks.add(task := asyncio.ensure_future(_show(ls, engine, states)))
    task.add_done_callback(ls.session.tasks.discard)


async def _show(ls: LacunaServer, engine: Engine, states: asyncio.Queue[EngineState]) -> None:
    token = await _begin(ls)
    while True:
        state = await states.get()
        if state.phase is Phase.LOADING and token:
            report = types.WorkDoneProgressReport(message=state.message, percentage=round(100 * state.progress))
            ls.work_done_progress.report(token, report)
        if state.phase in (Phase.WARM, Phase.FAILED):
            break
    if token:
        ls.work_done_progress.end(token, types.WorkDoneProgressEnd(message=state.phase.value))
    if engine is not ls.session.engine:
        return  # another model took its place while it was loading; that one reports for itself
    if state.phase is Phase.WARM:
        ls.say(types.MessageType.Info, f"Lacuna is ready: {state.message}.")
    else:
        ls.say(types.MessageType.Error, state.message)
        ls.window_show_message(types.ShowMessageParams(types.MessageType.Error, f"Lacuna: {state.message}"))


async def _begin(ls: LacunaServer) -> str | None:
    """A progress token that the client knows, or None when it shows no progress."""
    if not ls.session.client.progress:
        return None
    token = str(uuid.uuid4())
    try:
        await asyncio.shield(ls.work_done_progress.create_async(token))
    except Exception:  # a client may refuse; loading goes on without being shown
        return None
    title = f"Lacuna: loading {ls.session.settings.model}"
    ls.work_done_progress.begin(token, types.WorkDoneProgressBegin(title, percentage=0))
    return token
