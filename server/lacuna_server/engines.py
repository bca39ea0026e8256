"""Which engine the settings ask for: a model in this process, or a server that has one."""

from __future__ import annotations

from lacuna_inference.api import BUNDLED, Engine
from lacuna_inference.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_server.secret import read_token
from lacuna_server.settings import Settings


def make(settings: Settings) -> Engine:
    """The engine, not yet started. Raises BadRequest for an address or a token file that cannot be used."""
    if settings.engine is None:
        return ModelEngine(settings.model_options())
    from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions

    if not settings.engine.startswith(("http://", "https://")):
        raise BadRequest(f"{settings.engine!r} is no address of a server.", "Write http://HOST:PORT.")
    family = None if settings.family == "auto" else settings.family
    model = "" if settings.model == BUNDLED else settings.model
    token = None if settings.engine_token_file is None else read_token(settings.engine_token_file)
    return RemoteEngine(RemoteOptions(settings.engine, settings.engine_kind, token, model, family, settings.context))
