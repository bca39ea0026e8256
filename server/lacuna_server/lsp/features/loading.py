"""Starts the engine and shows how its loading goes: `$/progress`, the client's log, one message when it fails.

An engine that ends after it was warm is replaced by a new one, and the client is told.
"""

from __future__ import annotations

import asyncio
import gc
import uuid
from contextlib import suppress

from lsprotocol import types

from lacuna_inference.api import Engine, EngineState, Phase
from lacuna_server.lsp.features.status import tell
from lacuna_server.lsp.language_server import LacunaServer

_ANSWER_TIMEOUT_S = 3.0
_RETIRE_TIMEOUT_S = 10.0
_MAX_RESTARTS = 3


async def start(ls: LacunaServer) -> None:
    """Starts the session's engine and shows its loading, once; returns at once, the rest happens in a task."""
    session = ls.session
    if session.announced is session.engine:
        return
    session.announced = session.engine
    former, session.loading = session.loading, asyncio.ensure_future(_load(ls, session.engine))
    if former is not None and former is not asyncio.current_task():
        former.cancel()


async def _load(ls: LacunaServer, engine: Engine) -> None:
    retired = ls.session.retired
    while retired:
        closing = retired[0]
        await asyncio.shield(asyncio.to_thread(closing.close, _RETIRE_TIMEOUT_S))
        if closing in retired:
            retired.remove(closing)
    loop = asyncio.get_running_loop()
    states: asyncio.Queue[EngineState] = asyncio.Queue()

    def pass_on(state: EngineState) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(states.put_nowait, state)

    engine.watch(pass_on)
    engine.start()
    if await _show(ls, engine, states) is Phase.WARM:
        await _restart_engine(ls, engine, states)


async def _restart_engine(ls: LacunaServer, engine: Engine, states: asyncio.Queue[EngineState]) -> None:
    """Waits for the end of a warm engine, and puts another one in its place, `_MOST_HEALED` times in a session."""
    session = ls.session
    lost = False
    while engine.state.phase is not Phase.FAILED:
        state = await states.get()
        tell(ls)
        if state.phase is (Phase.WARM if lost else Phase.UNREACHABLE):
            lost = not lost
            _pop_up(ls, types.MessageType.Warning, f"Lacuna: {state.message}.")
    if engine is not session.engine:
        return
    if session.engine_restarts >= _MAX_RESTARTS:
        _pop_up(ls, types.MessageType.Error, f"Lacuna: {engine.state.message}")
        return
    session.engine_restarts += 1
    message = "Lacuna: the engine ended unexpectedly and was started again; the log says more."
    _pop_up(ls, types.MessageType.Warning, message)
    session.renew_engine()
    await start(ls)


async def _show(ls: LacunaServer, engine: Engine, states: asyncio.Queue[EngineState]) -> Phase:
    """Shows the loading until it ended; how it did."""
    token = await _begin(ls)
    state, told = engine.state, False
    try:
        while state.phase not in (Phase.WARM, Phase.FAILED):
            state = await states.get()
            tell(ls)
            if state.phase is Phase.UNREACHABLE and not told:
                told = True
                _pop_up(ls, types.MessageType.Warning, f"Lacuna: {state.message}.")
            if state.phase is Phase.LOADING and token:
                report = types.WorkDoneProgressReport(message=state.message, percentage=round(100 * state.progress))
                ls.work_done_progress.report(token, report)
    finally:  # also when another model takes its place
        if token:
            ls.work_done_progress.end(token, types.WorkDoneProgressEnd(message=state.phase.value))
    if engine is not ls.session.engine:
        return state.phase  # another model took its place while it was loading; that one reports for itself
    if state.phase is Phase.WARM:
        gc.collect()
        gc.freeze()  # the libraries' objects stay; to look through them took the interpreter a tenth of a second
        ls.say(types.MessageType.Info, f"Lacuna is ready: {state.message}.")
    else:
        ls.say(types.MessageType.Error, state.message)
        _pop_up(ls, types.MessageType.Error, f"Lacuna: {state.message}")
    return state.phase


def _pop_up(ls: LacunaServer, kind: types.MessageType, text: str) -> None:
    """Shows a message; a client that is told the status has its own, with a remedy."""
    if ls.session.client.status:
        ls.say(kind, text)
    else:
        ls.window_show_message(types.ShowMessageParams(kind, text))


async def _begin(ls: LacunaServer) -> str | None:
    """A progress token that the client knows, or None when it shows no progress."""
    if not ls.session.client.progress:
        return None
    token = str(uuid.uuid4())
    try:
        created = asyncio.ensure_future(ls.work_done_progress.create_async(token))
        await asyncio.wait_for(asyncio.shield(created), _ANSWER_TIMEOUT_S)
    except Exception:  # a client may refuse, or not answer; loading goes on without being shown
        return None
    title = f"Lacuna: loading {ls.session.settings.model}"
    ls.work_done_progress.begin(token, types.WorkDoneProgressBegin(title, percentage=0))
    return token
