"""Lists the models on this disk from their headers and configs: what each is, and whether it fits. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.errors import LacunaError
from lacuna_inference.models import facts, forward_choice, loader
from lacuna_inference.models.describe import type_in_memory
from lacuna_inference.models.loading import elsewhere, gguf_files, hub, memory, sources, stored
from lacuna_inference.models.loading.sketch import ITEM_BYTES
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.stored import StoredTensor
from lacuna_inference.prompt.families import by_name

_Found = tuple[str, Path | LacunaError, int]
"""A model's name, its folder or GGUF file or why there is none, and its bytes if they are known, else 0."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model on this disk. `name` is what `--model` takes; `bytes` are those of its files.

    `fits` compares its weights with the device's free memory; None if unknown. `problem` says why it cannot be used.
    """

    name: str
    bytes: int
    fits: bool | None = None
    type: str = ""
    """The type of its weights in the files, such as BF16 or Q4_K_M."""
    family: str = ""
    path: str = ""
    read_bytes: int = 0
    """Bytes of weights that are read for a token: divided by the memory's bandwidth, they limit the speed."""
    problem: str = ""


def on_disk(options: ModelOptions) -> list[OnDisk]:
    """The bundled model, the one in `options`, those in the hub's local cache, and those of other programs."""
    found = [(BUNDLED, sources.bundled_folder(), 0), *_in_hub()]
    found += [(name, path, 0) for name, path in elsewhere.models()]
    if options.model not in {name for name, _, _ in found}:
        found += _named(options)
    return [_row(name, path, size, options) for name, path, size in found]


def _in_hub() -> Iterator[_Found]:
    """The models of the hub's cache. Each GGUF file is one; other repositories are named by their ids alone."""
    for model in hub.cached_models():
        snapshot = model.snapshots.get("main")
        files = [] if snapshot is None else gguf_files.models_in(snapshot)
        if snapshot is None or not files or any(snapshot.glob("*.safetensors")):
            yield model.hub_id, snapshot or _without_main(model), model.bytes
            continue
        for file in files:
            yield f"{model.hub_id}:{file.relative_to(snapshot).as_posix()}", file, 0


def _without_main(model: hub.CachedModel) -> Path | LacunaError:
    """What is said of a model of which only another revision is here."""
    if not model.snapshots:
        return LacunaError(f"{model.path} holds no snapshot.", "Fetch the model again.")
    revision = min(model.snapshots)
    return LacunaError(f"Only its revision {revision} is here.", f"Name it with --revision {revision}.")


def _named(options: ModelOptions) -> list[_Found]:
    try:
        return [(options.model, sources.folder_of(options.model, options.revision), 0)]
    except LacunaError:
        return []


def _row(name: str, found: Path | LacunaError, size: int, options: ModelOptions) -> OnDisk:
    if isinstance(found, LacunaError):
        return OnDisk(name, size, problem=found.message)
    row = OnDisk(name, size or _bytes(found), path=str(found))
    try:
        folder = sources.inspect(name, found)
        tensors = stored.tensors_of(folder)
        row = replace(
            row,
            bytes=size or sum(map(_bytes, folder.weight_files)),
            type=stored.type_of(folder, tensors),
            family=loader.recognize_family(folder, stored.token_names(folder)).name,
        )
        loader.checked(folder)
        return _fitting(row, folder, tensors, options)
    except LacunaError as error:
        return replace(row, problem=error.message)


def _fitting(row: OnDisk, folder: ModelFolder, tensors: list[StoredTensor], options: ModelOptions) -> OnDisk:
    """`row` with what loading the model would take. Raises a LacunaError if it cannot be run."""
    context = loader.context_of(folder.config, by_name(row.family), options.context)
    forward_choice.choose_forward(folder, options, context)
    device = loader.choose_device(options.device)
    item = ITEM_BYTES.get(type_in_memory(folder, options, device, context))
    parameters = sum(tensor.parameters for tensor in tensors)
    weights = facts.stored_size(folder).weight_bytes if item is None else round(item * parameters)
    free = memory.available_bytes(device)
    fits = free is None or weights * memory.HEADROOM <= free
    return replace(row, fits=fits, read_bytes=round(weights * stored.share_read(folder, tensors)))


def _bytes(path: Path) -> int:
    """Bytes of a file; 0 for a folder and for a file that cannot be read."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
