"""Estimates what a model needs from its config.json alone: weights, KV cache, activations, disk. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna_inference.errors import LacunaError, ModelUnusable
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS
from lacuna_inference.models.gguf.header import is_gguf
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.config import positions
from lacuna_inference.models.loading.files import read_json, weight_files
from lacuna_inference.models.loading.gguf_files import has_suffix
from lacuna_inference.models.loading.sketch import ITEM_BYTES, Sketch
from lacuna_lab import random_models

DTYPES = tuple(ITEM_BYTES)
MAX_DEFAULT_CONTEXT = 2048
"""Context in tokens for a config that names none."""


@dataclass(frozen=True, slots=True)
class ModelSubject:
    """A model to examine. `folder` is None for a config.json and for a published shape that is not on this disk.

    It is the file of a GGUF model, whose parts are `gguf`.
    """

    name: str
    config: dict[str, Any]
    folder: Path | None
    gguf: tuple[Path, ...] = ()

    @property
    def context(self) -> int:
        """The longest context in tokens."""
        return positions(self.config) or MAX_DEFAULT_CONTEXT

    @property
    def disk_bytes(self) -> int | None:
        """Bytes of the weight files; None if there are none."""
        files = self.gguf or (weight_files(self.folder) if self.folder else [])
        return sum(file.stat().st_size for file in files) or None


@dataclass(frozen=True, slots=True)
class Need:
    """What one model needs in one dtype on one kind of device, in bytes; `kv_token` per token of context.

    `weights` counts each parameter once, `resident` counts the weights as the loader keeps them.
    """

    dtype: str
    kind: str
    weights: int
    resident: int
    kv_token: int
    activations: int
    disk: int

    def total(self, context: int) -> int:
        """Bytes in total, with a KV cache of `context` tokens."""
        return self.resident + self.activations + self.kv_token * context

    def largest_context(self, free: int, longest: int) -> int:
        """Tokens of context that fit into `free` bytes, at most `longest`; 0 when not even the weights fit."""
        room = free - self.resident - self.activations
        return max(0, min(longest, room // self.kv_token))


def find(name: str) -> ModelSubject:
    """The model called `name`: a model folder or GGUF file, a config.json, a hub id on this disk, or a published shape.

    Raises ModelNotFound when there is none, ModelUnusable for a config that cannot be read.
    """
    path = Path(name).expanduser()
    if path.is_file() and not (has_suffix(path) or is_gguf(path)):
        return ModelSubject(name, read_json(path), None)
    try:
        folder = sources.folder_of(name)
    except LacunaError:
        shape = random_models.shape_of(name)
        if shape is None:
            raise
        return ModelSubject(shape, random_models.config_of(shape), None)
    if not (folder / "config.json").is_file() and (model := sources.inspect(name, folder)).gguf is not None:
        return ModelSubject(name, model.config, model.path, model.gguf.paths)
    return ModelSubject(name, read_json(folder / "config.json"), folder)


def sketch(subject: ModelSubject, context: int) -> Sketch:
    """The model's dimensions. Raises ModelUnusable for an incomplete config, and for one that nothing here can run."""
    if flaw := registry.config_error(subject.config):
        raise _incomplete(subject, flaw)
    try:
        return registry.sketch(subject.config, context) or _by_the_library(subject.config)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError, RuntimeError) as error:
        raise _incomplete(subject, f"{type(error).__name__}: {error}") from error


def needs(subject: ModelSubject, context: int) -> list[Need]:
    """The needs in every dtype on every kind of device that supports it; `context` in tokens."""
    found = sketch(subject, context)
    return [
        Need(
            dtype=dtype,
            kind=kind,
            weights=found.weight_bytes(dtype),
            resident=found.resident_bytes(dtype, kind),
            kv_token=found.kv_bytes(dtype),
            activations=found.activation_bytes(dtype, context),
            disk=subject.disk_bytes or found.weight_bytes("float32" if dtype in QUANTIZED_KERNELS else dtype),
        )
        for kind in ("cpu", "cuda")
        for dtype in DTYPES
        if dtype not in QUANTIZED_KERNELS or (kind == "cpu" and found.own)
    ]


def _incomplete(subject: ModelSubject, why: str) -> ModelUnusable:
    message = f"The config of {subject.name} does not describe a complete model ({why})."
    return ModelUnusable(message, "Name a published config.json.")


def _by_the_library(config: dict[str, Any]) -> Sketch:
    """For architectures that the own forward does not support; the import takes seconds."""
    from lacuna_inference.models import transformers_forward

    return transformers_forward.sketch(config)
