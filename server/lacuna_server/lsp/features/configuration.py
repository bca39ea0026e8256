"""Settings from the client: pulled after `initialized` and after each change, or taken from the notification.

And from lacuna.toml in the workspace's folders, which is read again when it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from lsprotocol import types

from lacuna_server.lsp.features import loading
from lacuna_server.lsp.features.status import tell
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.settings import FILE

SECTION = "lacuna"
_ANSWER_TIMEOUT_S = 3.0

logger = logging.getLogger(__name__)


def register(server: LacunaServer) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(ls: LacunaServer, params: types.DidChangeConfigurationParams) -> None:
        sent = params.settings
        pushed = isinstance(sent, Mapping) and SECTION in sent
        await apply(ls, sent if pushed else await pull(ls))

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def written(ls: LacunaServer, _: object) -> None:
        await reread(ls)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def moved(ls: LacunaServer, _: object) -> None:
        await _changed(ls, await ls.session.reread())


async def apply(ls: LacunaServer, sent: object) -> None:
    """Applies settings and loads another model when they name one."""
    await _changed(ls, await ls.session.reconfigure(sent))


async def reread(ls: LacunaServer) -> None:
    """Reads lacuna.toml again if that has changed in a folder of the workspace."""
    if ls.session.folders.changed():
        await _changed(ls, await ls.session.reread())


async def _changed(ls: LacunaServer, takes_engine: bool) -> None:
    if takes_engine:
        loading.start(ls)
    tell(ls)
    report_complaints(ls)


def report_complaints(ls: LacunaServer) -> None:
    """Tells the client's log about settings that were left out, and the user that the engine is not another."""
    while ls.session.complaints:
        ls.say(types.MessageType.Warning, ls.session.complaints.pop(0))
    while ls.session.refusals:
        text = f"Lacuna: {ls.session.refusals.pop(0)} The model stays as it was."
        ls.window_show_message(types.ShowMessageParams(types.MessageType.Warning, text))


async def pull(ls: LacunaServer) -> object:
    """What the client has set under `lacuna`; None when it cannot say or does not in time."""
    if not ls.session.client.configuration:
        return None
    items = [types.ConfigurationItem(section=SECTION)]
    asked = ls.workspace_configuration_async(types.ConfigurationParams(items))
    try:
        # shielded: a late reply to a request whose waiter was cancelled makes pygls raise
        answer = await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(asked)), _ANSWER_TIMEOUT_S)
    except Exception as error:
        logger.warning("The client did not tell its configuration (%s).", type(error).__name__)
        return None
    return answer[0] if answer else None


async def subscribe(ls: LacunaServer) -> None:
    """Asks the client to tell when the settings change, and when a lacuna.toml does."""
    wanted = []
    if ls.session.client.watches_configuration:
        section = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        wanted.append(types.Registration("lacuna-configuration", method, section))
    if ls.session.client.watches_files:
        files = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(f"**/{FILE.name}")])
        wanted.append(types.Registration("lacuna-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, files))
    if not wanted:
        return
    try:
        await asyncio.shield(ls.client_register_capability_async(types.RegistrationParams(wanted)))
    except Exception as error:
        logger.warning("The client does not tell when the configuration changes (%s).", type(error).__name__)
