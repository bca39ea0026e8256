"""Where Lacuna and other programs keep models on this machine. Facts about their folders; reads no model."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from platformdirs import user_data_dir


def own() -> Path:
    """The folder whose folders are the models that Lacuna took from a package index."""
    return Path(user_data_dir("lacuna", appauthor=False)) / "models"


def ollama() -> list[Path]:
    """The folders that may hold Ollama's `manifests` and `blobs`: `OLLAMA_MODELS` if set, else the usual ones.

    On Linux the service runs as a user of its own, whose home the installer and the distributions put elsewhere.
    """
    if (chosen := _variable("OLLAMA_MODELS")) is not None:
        return [chosen]
    system = Path("/var/lib/ollama")
    services = [Path("/usr/share/ollama/.ollama/models"), system, system / "models", system / ".ollama" / "models"]
    return [_home() / ".ollama" / "models", *(services if sys.platform == "linux" else [])]


def lm_studio() -> list[Path]:
    """The folders whose PUBLISHER/REPO/FILE.gguf are LM Studio's models: that of its settings, then the usual ones."""
    homes = [_home() / ".lmstudio", _home() / ".cache" / "lm-studio"]
    if (moved := _lines(_home() / ".lmstudio-home-pointer")) and moved[0].strip():
        homes.insert(0, _home() / moved[0].strip())
    downloads = [folder for home in homes if (folder := _lm_studio_downloads(home / "settings.json")) is not None]
    return _distinct([*downloads, *(home / "models" for home in homes)])


def llama_cpp() -> list[Path]:
    """The folder whose files OWNER_REPO_FILE.gguf llama.cpp downloaded; `LLAMA_CACHE` replaces it."""
    if (chosen := _variable("LLAMA_CACHE")) is not None:
        return [chosen]
    if sys.platform == "win32":
        return [(_variable("LOCALAPPDATA") or _home() / "AppData" / "Local") / "llama.cpp"]
    if sys.platform == "darwin":
        return [_home() / "Library" / "Caches" / "llama.cpp"]
    return [(_variable("XDG_CACHE_HOME") or _home() / ".cache") / "llama.cpp"]


def hub_caches() -> list[Path]:
    """The folders that hold the hub's models. Newer versions of llama.cpp keep theirs the same way in `LLAMA_CACHE`."""
    from huggingface_hub import constants

    chosen = _variable("LLAMA_CACHE")
    return _distinct([Path(constants.HF_HUB_CACHE).expanduser(), *([chosen] if chosen is not None else [])])


def _lm_studio_downloads(settings: Path) -> Path | None:
    try:
        folder = json.loads(settings.read_bytes()).get("downloadsFolder")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return Path(folder) if isinstance(folder, str) and folder else None


def _variable(name: str) -> Path | None:
    """The folder that an environment variable names; None if it is not set, or empty."""
    value = os.environ.get(name)
    return Path(value) if value else None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry, as in some containers
        return Path("/nonexistent")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _distinct(folders: list[Path]) -> list[Path]:
    return list(dict.fromkeys(folders))
