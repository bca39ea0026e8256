"""Locates a model's files: the bundled folder, a user's folder or GGUF file, the hub's local cache, another program's.

Never uses the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lacuna_inference.api import BUNDLED
from lacuna_inference.errors import ModelNotFound, ModelUnusable
from lacuna_inference.models import catalogue
from lacuna_inference.models.damage import AGAIN
from lacuna_inference.models.gguf.config import config_of
from lacuna_inference.models.gguf.header import GgufFile, is_gguf, read_gguf
from lacuna_inference.models.loading import elsewhere, files, gguf_files, hub
from lacuna_inference.models.loading.allocator import return_large_blocks

LANGUAGES = "lacuna_languages"
"""Key in a model's config.json: the languages that it completes, by LSP language ids."""
_ADAPTER = "adapter_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that has been checked to hold everything a model needs. `name` is the user's name for it.

    Or a GGUF file: then `path` is that file, or its first part, and `config` follows from its header.
    """

    name: str
    path: Path
    config: dict[str, Any]
    gguf: GgufFile | None = None

    @property
    def weight_files(self) -> list[Path]:
        """The files that hold its weights; see `files.weight_files`."""
        return files.weight_files(self.path) if self.gguf is None else list(self.gguf.paths)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the model completes; empty where its config does not limit them."""
        named = self.config.get(LANGUAGES)
        return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()


def configure_libraries() -> None:
    """Switches the network access of the model libraries off, and sets how memory is handed out.

    Must run before they are imported. With large pages, which Linux has, decoding was a tenth faster.
    """
    return_large_blocks()
    for variable in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "DISABLE_SAFETENSORS_CONVERSION",
    ):
        os.environ[variable] = "1"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def bundled_folder() -> Path:
    return Path(str(resources.files("lacuna_inference") / "bundled"))


def find(name: str, revision: str | None = None) -> ModelFolder:
    """The model called `name`, in one of the ways that `folder_of` knows.

    Raises ModelNotFound if it is none of them, ModelUnusable if a file is missing or the weights are pickled.
    """
    return inspect(name, folder_of(name, revision))


def folder_of(name: str, revision: str | None = None) -> Path:
    """The folder or the GGUF file of `name`, whatever it holds. Raises ModelNotFound.

    `name` is `bundled`, a path, a hub id in the local cache, one with `:FILE` or `:QUANTIZATION` for a GGUF file there,
    a name of the catalogue, or the name of a model in a program's folder (see `elsewhere`).
    """
    if name == BUNDLED:
        return bundled_folder()
    # first, so that a file that happens to have this name cannot replace the model
    try:
        if (found := hub.find(name, revision) or elsewhere.find(name) or _of_catalogue(name)) is not None:
            return found
    except ModelNotFound:
        if (path := _existing(name)) is None:
            raise
        return path
    if (path := _existing(name)) is not None:
        return path
    if hub.split_name(name)[0] is None and catalogue.find(name) is None:
        what = "file" if gguf_files.has_suffix(Path(name)) else "folder"
        raise ModelNotFound(
            f"There is no {what} {name}.", f"Name a model folder, a GGUF file, a hub id, or {BUNDLED!r}."
        )
    option = f" --revision {revision}" if revision else ""
    raise ModelNotFound(
        f"{name} is not on this disk, and Lacuna does not look on the network by itself.",
        f"Run: lacuna models fetch {name}{option}",
    )


def inspect(name: str, path: Path) -> ModelFolder:
    """Checks that `path` is a model that Lacuna can read. Raises ModelUnusable otherwise.

    It is a folder with a config, a tokenizer and whole safetensors, a GGUF file, or a folder with only one such file.
    """
    if path.is_file():
        return _inspect_gguf(name, path)
    config_file = path / "config.json"
    has_safetensors = config_file.is_file() and any(path.glob("*.safetensors"))
    prefix = f"{name.rstrip('/')}{':' if path.parent.name == 'snapshots' else '/'}"
    if not has_safetensors and (only := gguf_files.only_model(path, prefix)) is not None:
        return _inspect_gguf(name, only)
    if not config_file.is_file():
        if (path / _ADAPTER).is_file():
            raise ModelUnusable(
                f"{path} holds an adapter, not a model.",
                "Merge it into its base model, and name the folder of the result.",
            )
        raise ModelUnusable(
            f"{path} is no model folder: it has no config.json and no GGUF model.",
            "Name the folder that holds config.json, or a GGUF file.",
        )
    config = files.read_json(config_file)
    if not isinstance(config.get("model_type", ""), str):
        raise ModelUnusable(f"model_type in {config_file} is not a text.", "Fetch the model again.")
    folder = ModelFolder(name, path, config)
    _require_weights(folder)
    if not any((path / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelUnusable(f"{path} has no tokenizer (tokenizer.json).", "Copy the tokenizer's files into the folder.")
    return folder


def _of_catalogue(name: str) -> Path | None:
    """A model of the catalogue, in Lacuna's own folder or in the hub's cache; None if it is not there."""
    entry = catalogue.find(name)
    if entry is None:
        return None
    own = {shown.lower(): path for shown, path in elsewhere.own_models()}
    return own.get(entry.name) or hub.find(entry.source, None)


def _existing(name: str) -> Path | None:
    """The folder or GGUF file at the path `name`; None if there is nothing. Raises ModelNotFound for another file."""
    try:
        path = Path(name).expanduser()
        if path.is_dir() or (path.is_file() and (gguf_files.has_suffix(path) or is_gguf(path))):
            return path
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a null character
        raise ModelNotFound(f"{name[:100]} cannot be looked for: {error}.", "Name a model folder.") from error
    if exists:
        raise ModelNotFound(
            f"{name} is a file, and no GGUF file; other models are folders with config.json.", "Name its folder."
        )
    return None


def _inspect_gguf(name: str, path: Path) -> ModelFolder:
    file = read_gguf(path)
    if (other := gguf_files.why_no_language_model(file)) is not None:
        raise ModelUnusable(f"{path} is {other}, not a language model.", "Name the GGUF file of a language model.")
    try:
        config = config_of(file)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:  # values of other types
        raise ModelUnusable(f"{path} is damaged: its metadata describes no model ({error}).", AGAIN) from error
    return ModelFolder(name, file.paths[0], config, file)


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
