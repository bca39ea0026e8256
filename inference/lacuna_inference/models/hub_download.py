"""Downloads one large file of the hub into its local cache: continues what was interrupted, and checks the sum.

The hub's own library begins such a file again. Only `fetch.py` uses this, on the user's explicit command.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from lacuna_inference.errors import LacunaError
from lacuna_inference.models.sums import sha256_of

_PART = ".lacuna-part"
"""The end of the name of a file that is not yet whole."""


def download(hub_id: str, name: str, commit: str, sha256: str, size: int) -> None:
    """Puts the file `name`, of `size` bytes, where the hub's library looks for it. Raises LacunaError for another sum.

    A file that is there already, and whole, is left alone.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url, headers = hf_hub_url(hub_id, name, revision=commit), build_hf_headers()
    metadata = get_hf_file_metadata(url, headers=headers)
    blob = _blobs(hub_id) / str(metadata.etag)
    if blob.is_file() and sha256_of(blob) == sha256:
        return
    blob.unlink(missing_ok=True)
    part = blob.with_name(blob.name + _PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    if part.stat().st_size > size:
        part.unlink()
        part.touch()
    if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # it is for the hub, not for where its files are
    with part.open("r+b") as stream:
        done = stream.seek(0, 2)
        http_get(
            metadata.location, stream, resume_size=done, headers=headers, expected_size=size, displayed_filename=name
        )
    if sha256_of(part) != sha256:
        part.unlink()
        raise LacunaError(f"{name} arrived damaged: its SHA-256 is not the hub's.", "Run the command again.")
    part.replace(blob)


def _blobs(hub_id: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=hub_id, repo_type="model")
    return Path(constants.HF_HUB_CACHE).expanduser() / folder / "blobs"
