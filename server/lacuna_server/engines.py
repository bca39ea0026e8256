"""Which engine the settings ask for: a model in this process, or a server that has one."""

from __future__ import annotations

from dataclasses import replace

from lacuna_inference.api import BUNDLED, Engine, ModelOptions
from lacuna_inference.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_inference.replicas import ReplicatedEngine
from lacuna_server.secret import read_token
from lacuna_server.settings import Settings


def make(settings: Settings) -> Engine:
    """The engine, not yet started. Raises BadRequest for an address or a token file that cannot be used."""
    if settings.engine is None:
        return local(settings.model_options())
    from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions

    if not settings.engine.startswith(("http://", "https://")):
        raise BadRequest(f"{settings.engine!r} is no address of a server.", "Write http://HOST:PORT.")
    family = None if settings.family == "auto" else settings.family
    model = "" if settings.model == BUNDLED else settings.model
    token = None if settings.engine_token_file is None else read_token(settings.engine_token_file)
    return RemoteEngine(RemoteOptions(settings.engine, settings.engine_kind, token, model, family, settings.context))


def local(options: ModelOptions) -> Engine:
    """The model in this process: as often as devices are named for replicas of it."""
    if options.spread != "replicas" or len(options.devices) < 2:
        return ModelEngine(options)
    if twice := next((name for name in options.devices if name != "cpu" and options.devices.count(name) > 1), None):
        raise BadRequest(f"The device {twice} is named twice.", "Name each once with --devices.")
    return ReplicatedEngine([ModelEngine(replace(options, devices=(name,))) for name in options.devices])
