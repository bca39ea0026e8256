"""Shows the engine's state in the editor: `$/progress`, the client's log, and messages about failures."""

from __future__ import annotations

import asyncio
import gc
import uuid

from lsprotocol import types

from lacuna_inference.api import Engine, Phase
from lacuna_server.lsp.engine_supervisor import States
from lacuna_server.lsp.features import status
from lacuna_server.lsp.language_server import LacunaServer

_ANSWER_TIMEOUT_S = 3.0


def start(ls: LacunaServer) -> None:
    """Starts the session's engine, once, and shows what happens to it."""
    ls.session.supervisor.start(LoadingReporter(ls))


class LoadingReporter:
    """The `Reporter` that uses the editor's progress, log and messages."""

    def __init__(self, ls: LacunaServer) -> None:
        self._ls = ls

    async def loading(self, engine: Engine, states: States) -> Phase:
        """Shows the loading progress until it ends; returns the final phase."""
        token = await self._begin_progress()
        state, warned = engine.state, False
        try:
            while state.phase not in (Phase.WARM, Phase.FAILED):
                state = await states.get()
                self.changed()
                if state.phase is Phase.UNREACHABLE and not warned:
                    warned = True
                    self.warn(f"Lacuna: {state.message}.")
                if state.phase is Phase.LOADING and token:
                    report = types.WorkDoneProgressReport(message=state.message, percentage=round(100 * state.progress))
                    self._ls.work_done_progress.report(token, report)
        finally:  # also when another engine replaces this one
            if token:
                self._ls.work_done_progress.end(token, types.WorkDoneProgressEnd(message=state.phase.value))
        if engine is not self._ls.session.engine:
            return state.phase  # it was replaced while loading; the new engine is reported separately
        if state.phase is Phase.WARM:
            gc.collect()
            gc.freeze()  # the libraries' objects stay alive; scanning them took a tenth of a second
            self._ls.log_to_client(types.MessageType.Info, f"Lacuna is ready: {state.message}.")
            self._ls.session.look_around()
            self._ls.session.read_ahead()
        else:
            self._ls.log_to_client(types.MessageType.Error, state.message)
            self.fail(f"Lacuna: {state.message}")
        return state.phase

    def changed(self) -> None:
        status.notify(self._ls)

    def warn(self, text: str) -> None:
        self._pop_up(types.MessageType.Warning, text)

    def fail(self, text: str) -> None:
        self._pop_up(types.MessageType.Error, text)

    def _pop_up(self, kind: types.MessageType, text: str) -> None:
        """Shows a message. A client that receives the status shows its own messages, with a remedy."""
        if self._ls.session.client.status:
            self._ls.log_to_client(kind, text)
        else:
            self._ls.window_show_message(types.ShowMessageParams(kind, text))

    async def _begin_progress(self) -> str | None:
        """A progress token accepted by the client, or None if it shows no progress."""
        if not self._ls.session.client.progress:
            return None
        token = str(uuid.uuid4())
        try:
            created = asyncio.ensure_future(self._ls.work_done_progress.create_async(token))
            await asyncio.wait_for(asyncio.shield(created), _ANSWER_TIMEOUT_S)
        except Exception:  # the client refused or did not answer; loading continues without progress
            return None
        title = f"Lacuna: loading {self._ls.session.settings.model}"
        self._ls.work_done_progress.begin(token, types.WorkDoneProgressBegin(title, percentage=0))
        return token
