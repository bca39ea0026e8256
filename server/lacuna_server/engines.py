"""Creates the engine that the settings ask for: a model in this process, or a remote server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from lacuna_inference.api import BUNDLED, Engine, ModelOptions
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.replicas import ReplicatedEngine
from lacuna_inference.errors import BadRequest
from lacuna_server.contradictions import named_twice
from lacuna_server.kept import KV_CACHES, PACKED_WEIGHTS
from lacuna_server.settings import Settings
from lacuna_server.token_file import read_token

logger = logging.getLogger(__name__)

_PROMPTED_HERE = frozenset({"openai", "tgi"})
"""Server kinds that can infill only if the prompt family is named."""


def make(settings: Settings) -> Engine:
    """The engine of an editor, not started. Raises BadRequest for an address or a file that cannot be used.

    A model in this process keeps KV caches on the disk, and packed weights; without a budget, those kept before are
    removed.
    """
    if settings.engine is not None:
        return _remote(settings, settings.engine)
    if not settings.packed_weights_disk_mb:
        PACKED_WEIGHTS.clear()
    if not settings.kv_cache_disk_mb:
        KV_CACHES.clear()
    kept_bytes = settings.kv_cache_disk_mb * 2**20
    return local(replace(keeping(settings), kv_cache_folder=KV_CACHES.folder, kv_cache_disk_bytes=kept_bytes))


def keeping(settings: Settings) -> ModelOptions:
    """The options of an engine that lives long enough to keep its packed weights."""
    return replace(settings.model_options(), packed_disk_bytes=settings.packed_weights_disk_mb * 2**20)


def examine(settings: Settings) -> None:
    """Raises a LacunaError for a model that would not load: its files or devices are missing, or it does not fit.

    The quick model counts, too. Reads the models' small files and imports torch.
    """
    if (quick := settings.of_quick_model()) is not None:
        examine(quick)
    if settings.engine is not None:
        return
    from lacuna_inference.models import loader

    options = settings.model_options()
    loader.validate(options)
    loader.choose_devices(options)


def local(options: ModelOptions) -> Engine:
    """The model in this process, with a replica on each device if the settings ask for replicas."""
    if options.spread != "replicas" or len(options.devices) < 2:
        return ModelEngine(options)
    if twice := named_twice(options.devices):
        raise BadRequest(f"The device {twice} is named twice.", "Name each once with --devices.")
    return ReplicatedEngine([ModelEngine(replace(options, devices=(name,))) for name in options.devices])


def _remote(settings: Settings, url: str) -> Engine:
    from lacuna_inference.remote.engine import RemoteEngine, RemoteOptions

    options = RemoteOptions(
        url,
        settings.engine_kind,
        token=None if settings.engine_token_file is None else read_token(settings.engine_token_file),
        model="" if settings.model == BUNDLED else settings.model,
        family=None if settings.family == "auto" else settings.family,
        context=settings.context,
        ca_file=settings.engine_ca_file,
    )
    engine = RemoteEngine(options)
    for warning in _warnings(settings, url):
        logger.warning(warning)
    return engine


def _warnings(settings: Settings, url: str) -> Iterator[str]:
    """Warnings about a server before anything is sent to it, a sentence each."""
    from lacuna_inference.remote import address

    parsed = address.parsed(url)
    if parsed.readable:
        what = "Your code is sent" if settings.engine_token_file is None else "Your code and the token are sent"
        yield f"{what} to {parsed.url.host} over plain HTTP, which others in the network can read. Use https://."
    if settings.engine_kind in _PROMPTED_HERE and settings.family == "auto":
        yield "No prompt family is named, so the server does not see the text after the cursor. Name it with --family."
