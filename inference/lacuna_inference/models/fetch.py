"""Downloads models: the only module that uses the network, and only on the user's explicit command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models.loading.files import PICKLED, SAFETENSORS, weight_files

_TEXT = ["*.json", "*.txt", "*.model", "LICENSE*", "README*"]


def fetch(hub_id: str, revision: str | None = None) -> Path:
    """Downloads a model into the hub's local cache: safetensors, or pickled weights if it has no others.

    Raises LacunaError when the network or the model cannot be reached.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise BadRequest("HF_HUB_OFFLINE is set, so nothing can be fetched.", "Unset it for this command.")
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]

    try:
        names = list_repo_files(hub_id, revision=revision)
        safe = any(name.endswith(".safetensors") for name in names)
        weights = ["*.safetensors"] if safe else ["pytorch_model*.bin"]
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=[*_TEXT, *weights]))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise LacunaError(
            f"The hub has no model {hub_id!r} that you may read.", "Check the spelling, or log in."
        ) from error
    except Exception as error:  # of the hub, of its HTTP library, of the disk
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise LacunaError(
            f"{hub_id} could not be fetched: {reason}.",
            "Check the network, or copy the model's folder here and name it with --model.",
        ) from error


def needs_conversion(folder: Path) -> bool:
    """Whether the fetched folder has only pickled weights."""
    return not weight_files(folder, SAFETENSORS) and bool(weight_files(folder, PICKLED))
