"""Settings from the client, pulled after `initialized` and after each change or taken from the notification.

Settings also come from lacuna.toml in the workspace's folders, which is reloaded when it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from lsprotocol import types

from lacuna_server.lsp.features import loading
from lacuna_server.lsp.features.status import notify
from lacuna_server.lsp.language_server import LacunaServer
from lacuna_server.settings import FILE

SECTION = "lacuna"
_ANSWER_TIMEOUT_S = 3.0

logger = logging.getLogger(__name__)


def register(server: LacunaServer) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(ls: LacunaServer, params: types.DidChangeConfigurationParams) -> None:
        settings = params.settings
        pushed = isinstance(settings, Mapping) and SECTION in settings
        await apply(ls, settings if pushed else await pull(ls))

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def files_changed(ls: LacunaServer, params: object) -> None:
        ls.session.other_files.files_changed(params)
        await reread(ls)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def folders_changed(ls: LacunaServer, _: object) -> None:
        await _after_change(ls, await ls.session.reread())


async def apply(ls: LacunaServer, sent: object) -> None:
    """Applies settings, and loads another model when they name one."""
    await _after_change(ls, await ls.session.reconfigure(sent))


async def reread(ls: LacunaServer) -> None:
    """Reloads the settings if a lacuna.toml has changed in a folder of the workspace."""
    if ls.session.folders.changed():
        await _after_change(ls, await ls.session.reread())


async def _after_change(ls: LacunaServer, has_new_engine: bool) -> None:
    if has_new_engine:
        loading.start(ls)
    notify(ls)
    report_warnings(ls)


def report_warnings(ls: LacunaServer) -> None:
    """Logs ignored settings in the client's log, and warns the user when the engine was not replaced."""
    while ls.session.warnings:
        ls.log_to_client(types.MessageType.Warning, ls.session.warnings.pop(0))
    while ls.session.refusals:
        text = f"Lacuna: {ls.session.refusals.pop(0)} The model stays as it was."
        ls.window_show_message(types.ShowMessageParams(types.MessageType.Warning, text))


async def pull(ls: LacunaServer) -> object:
    """The client's settings under `lacuna`; None when it does not support the request or does not answer in time."""
    if not ls.session.client.configuration:
        return None
    items = [types.ConfigurationItem(section=SECTION)]
    request = ls.workspace_configuration_async(types.ConfigurationParams(items))
    try:
        # Shielded because pygls raises on a late reply to a request whose waiter was cancelled.
        answer = await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(request)), _ANSWER_TIMEOUT_S)
    except Exception as error:
        logger.warning("The client did not send its configuration (%s).", type(error).__name__)
        return None
    return answer[0] if answer else None


async def subscribe(ls: LacunaServer) -> None:
    """Registers for notifications when the settings or a lacuna.toml change."""
    registrations = []
    if ls.session.client.watches_configuration:
        section = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        registrations.append(types.Registration("lacuna-configuration", method, section))
    if ls.session.client.watches_files:
        watchers = [types.FileSystemWatcher(f"**/{name}") for name in _watched_names(ls)]
        files = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        registrations.append(types.Registration("lacuna-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, files))
    if not registrations:
        return
    try:
        await asyncio.shield(ls.client_register_capability_async(types.RegistrationParams(registrations)))
    except Exception as error:
        logger.warning("The client does not report configuration changes (%s).", type(error).__name__)


def _watched_names(ls: LacunaServer) -> list[str]:
    """Patterns of file names: settings, and what the index of the workspace reads."""
    if not ls.session.settings.other_files:
        return [FILE.name]
    from lacuna_server.syntax.grammars import SUFFIXES

    return [FILE.name, *(f"*{suffix}" for suffix in SUFFIXES)]
