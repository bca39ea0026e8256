"""Locates a model's files: the bundled folder, a user's folder, or the hub's local cache. Never uses the network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lacuna_inference.api import BUNDLED
from lacuna_inference.errors import ModelNotFound, ModelUnusable
from lacuna_inference.models.loading import files

LANGUAGES = "lacuna_languages"
"""Key in a model's config.json: the languages that it completes, by LSP language ids."""
_ADAPTER = "adapter_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that has been checked to hold everything a model needs. `name` is the user's name for it."""

    name: str
    path: Path
    config: dict[str, Any]

    @property
    def weight_files(self) -> list[Path]:
        """The files that hold its weights; see `files.weight_files`."""
        return files.weight_files(self.path)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the model completes; empty where its config does not limit them."""
        named = self.config.get(LANGUAGES)
        return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()


def go_offline() -> None:
    """Switches the network access of the model libraries off. Must run before they are imported."""
    for variable in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "DISABLE_SAFETENSORS_CONVERSION",
    ):
        os.environ[variable] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def bundled_folder() -> Path:
    return Path(str(resources.files("lacuna_inference") / "bundled"))


def find(name: str, revision: str | None = None) -> ModelFolder:
    """The folder of model `name`: `bundled`, a path, or a hub id in the local cache.

    Raises ModelNotFound if it is none of them, ModelUnusable if a file is missing or the weights are pickled.
    """
    return inspect(name, folder_of(name, revision))


def folder_of(name: str, revision: str | None = None) -> Path:
    """The folder of `name`, whatever it holds. Raises ModelNotFound."""
    if name == BUNDLED:
        return bundled_folder()
    hub_shaped = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if hub_shaped and (cached := _cached(name, revision)):
        return cached  # first, so that a folder that happens to have this name cannot replace the model
    try:
        path = Path(name).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # too long a name, no such user
        raise ModelNotFound(f"{name[:100]} cannot be looked for: {error}.", "Name a model folder.") from error
    if is_folder:
        return path
    if exists:
        raise ModelNotFound(f"{name} is a file; a model is a folder with config.json.", "Name its folder.")
    if not hub_shaped:
        raise ModelNotFound(f"There is no folder {name}.", f"Name a model folder, a hub id, or {BUNDLED!r}.")
    option = f" --revision {revision}" if revision else ""
    raise ModelNotFound(
        f"{name} is not on this disk, and Lacuna does not look on the network by itself.",
        f"Run: lacuna models fetch {name}{option}",
    )


def inspect(name: str, path: Path) -> ModelFolder:
    """Checks that `path` holds a config, a tokenizer and whole safetensors. Raises ModelUnusable otherwise."""
    config_file = path / "config.json"
    if not config_file.is_file():
        if (path / _ADAPTER).is_file():
            raise ModelUnusable(
                f"{path} holds an adapter, not a model.",
                "Merge it into its base model, and name the folder of the result.",
            )
        raise ModelUnusable(
            f"{path} is no model folder: it has no config.json.", "Name the folder that holds config.json."
        )
    config = files.read_json(config_file)
    if not isinstance(config.get("model_type", ""), str):
        raise ModelUnusable(f"model_type in {config_file} is not a text.", "Fetch the model again.")
    folder = ModelFolder(name, path, config)
    _require_weights(folder)
    if not any((path / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelUnusable(f"{path} has no tokenizer (tokenizer.json).", "Copy the tokenizer's files into the folder.")
    return folder


def cached_models() -> list[tuple[str, Path, int]]:
    """Models in the hub's local cache: id, folder, bytes on disk."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    models = [(r.repo_id, Path(r.repo_path), r.size_on_disk) for r in repositories if r.repo_type == "model"]
    return sorted(models)


def _cached(hub_id: str, revision: str | None) -> Path | None:
    """The snapshot of a hub model in the local cache, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # without the pattern, a snapshot would count as incomplete if files are missing that were not fetched
        patterns = ["config.json"]
        return Path(snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        return None


def _require_weights(folder: ModelFolder) -> None:
    if weights := folder.weight_files:
        files.require_whole(weights)
        return
    if files.weight_files(folder.path, files.PICKLED):
        raise ModelUnusable(
            f"{folder.path} has only pickled weights, which can run code when they are read.",
            f"Convert them once: lacuna models convert {folder.path}",
        )
    raise ModelUnusable(f"{folder.path} has no weights (*.safetensors).", "Fetch the model again.")


def unusable(folder: ModelFolder, error: Exception, what: str = "") -> ModelUnusable:
    """The error for when the library fails to read `what` in `folder`."""
    if "trust_remote_code" in str(error):
        return ModelUnusable(
            f"{folder.name} brings its own code, which Lacuna does not run unasked.",
            "If you trust it: --trust-remote-code.",
        )
    if marked := [file.name for file in sorted(folder.path.glob("*.json")) if files.begins_with_mark(file)]:
        return ModelUnusable(
            f"{', '.join(marked)} in {folder.path} begin with a byte order mark, which transformers cannot read.",
            "Save them as UTF-8 without one.",
        )
    return ModelUnusable(
        f"{what}{folder.name} cannot be loaded: {_shortly(error)}.", "Run: lacuna doctor, or fetch it again."
    )


def _shortly(error: Exception) -> str:
    """The first line of the message, with the next one if the first only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    named = isinstance(error, KeyError | TypeError | AttributeError)  # their messages say little alone
    return f"{type(error).__name__}: {text}" if named else text.rstrip(".")
