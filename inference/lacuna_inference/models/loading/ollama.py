"""Ollama's models: which blob is the GGUF file of a name, and which names there are. Never asks a server of Ollama's.

A manifest at manifests/HOST/NAMESPACE/MODEL/TAG names the layers of a model, which are files in blobs/ by their hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna_inference.errors import LacunaError, ModelNotFound, ModelUnusable
from lacuna_inference.models.loading import places
from lacuna_inference.models.loading.files import read_json

_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_MODEL_LAYER = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_COMPONENT = re.compile(r"\w[\w.:-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Name:
    """The components of a manifest's path."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """The name as Ollama prints it, without what is the default."""
        shown = f"{self.model}:{self.tag}"
        if self.host != _HOST:
            return f"{self.host}/{self.namespace}/{shown}"
        return shown if self.namespace == _NAMESPACE else f"{self.namespace}/{shown}"


def find(name: str) -> Path:
    """The GGUF file of Ollama's model `name`, such as `qwen2.5-coder:1.5b`; without a tag it is `latest`.

    Raises ModelNotFound if there is no such model, ModelUnusable if it has no GGUF file.
    """
    parsed = _parse(name)
    for folder in places.ollama():
        if parsed is not None and (manifest := _manifest(folder / "manifests", parsed)) is not None:
            return _blob(manifest, folder / "blobs")
    remedy = f"Run: ollama pull {name}" if parsed else "Name it as ollama list shows it."
    if locked := [folder for folder in places.ollama() if _is_locked(folder)]:
        remedy = f"{locked[0]} cannot be read by you: join its group, or run as its owner."
    raise ModelNotFound(f"Ollama has no model {name} on this disk.", remedy)


def models() -> Iterator[tuple[str, Path | LacunaError]]:
    """Names of all models, and the GGUF file of each or why it has none."""
    for folder in places.ollama():
        with suppress(OSError):
            for manifest in sorted((folder / "manifests").glob("*/*/*/*")):
                if not manifest.name.startswith(".") and manifest.is_file():
                    host, namespace, model, tag = manifest.relative_to(folder / "manifests").parts
                    name = _Name(host, namespace, model, tag).short
                    try:
                        yield name, _blob(manifest, folder / "blobs")
                    except LacunaError as error:
                        yield name, error


def _parse(name: str) -> _Name | None:
    """The components of `name`, with the defaults for those that are left out; None if it is no name of a model."""
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, _TAG
    parts = path.split("/")
    if len(parts) > 3 or not all(_COMPONENT.fullmatch(part) for part in (*parts, tag)):
        return None
    host, namespace, model = (_HOST, _NAMESPACE)[: 3 - len(parts)] + tuple(parts)
    return _Name(host, namespace, model, tag)


def _manifest(folder: Path, name: _Name) -> Path | None:
    """The manifest in `folder`, whose components may differ in case; None if there is none that can be read."""
    with suppress(OSError):
        for component in (name.host, name.namespace, name.model, name.tag):
            entries = {entry.name: entry for entry in folder.iterdir()}
            same = [entry for entry in entries.values() if entry.name.lower() == component.lower()]
            if not same:
                return None
            folder = entries.get(component, same[0])
        return folder if folder.is_file() else None
    return None


def _blob(manifest: Path, blobs: Path) -> Path:
    """The file of the first model layer; a projector or an adapter is a layer of another kind."""
    layers = read_json(manifest).get("layers")
    digests = [_digest(layer) for layer in layers if _is_model(layer)] if isinstance(layers, list) else []
    if not digests:
        raise ModelUnusable(
            f"{manifest} names no GGUF file.", "Choose a model that Ollama keeps as GGUF, or a model folder."
        )
    if digests[0] is None:
        raise ModelUnusable(f"{manifest} names its model by no digest.", "Pull the model again.")
    blob = blobs / f"sha256-{digests[0]}"
    if not blob.is_file():
        raise ModelUnusable(f"{blob} is missing, which {manifest} names.", "Pull the model again.")
    return blob


def _is_model(layer: Any) -> bool:
    return isinstance(layer, dict) and layer.get("mediaType") == _MODEL_LAYER


def _digest(layer: dict[str, Any]) -> str | None:
    match = _DIGEST.fullmatch(str(layer.get("digest")))
    return match[1] if match else None


def _is_locked(folder: Path) -> bool:
    """Whether there is such a folder that this user must not read."""
    try:
        next(iter((folder / "manifests").iterdir()), None)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
