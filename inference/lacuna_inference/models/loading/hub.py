"""Models in the hub's local cache: their snapshots, and GGUF files there. Never uses the network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lacuna_inference.errors import ModelNotFound
from lacuna_inference.models.loading import files, gguf_files, places


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model in the hub's local cache: its folder, its bytes on disk, and the snapshots of its branches and tags."""

    hub_id: str
    path: Path
    bytes: int
    snapshots: Mapping[str, Path]


def find(name: str, revision: str | None) -> Path | None:
    """The snapshot, or the GGUF file in it, of a hub model in the local cache; None if it is not there.

    Raises ModelNotFound if the snapshot lacks what comes after the colon, or has several such files.
    """
    hub_id, asked = split_name(name)
    snapshot = None if hub_id is None else _cached(hub_id, revision)
    if snapshot is None or not asked:
        return snapshot
    found = gguf_files.named(snapshot, asked)
    if len(found) == 1:
        return found[0]
    names = [file.relative_to(snapshot).as_posix() for file in found or gguf_files.files_in(snapshot)]
    shown = f" ({files.listed(names)})" if names else ""
    if found:
        raise ModelNotFound(f"{name} may be {len(found)} files{shown}.", f"Name one, such as {hub_id}:{names[0]}.")
    raise ModelNotFound(
        f"{hub_id} is on this disk without {asked}{shown}.",
        f"Name a file that is there, or run: lacuna models fetch {name}",
    )


def split_name(name: str) -> tuple[str | None, str]:
    """The hub id in `name`, if it has the shape of one, and what comes after its colon."""
    hub_id, _, asked = name.partition(":")
    return (hub_id if hub_id.count("/") == 1 and not hub_id.startswith((".", "/", "~")) else None), asked


def cached_models() -> list[CachedModel]:
    """Models in the hub's local cache, sorted by their ids."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    found: dict[str, CachedModel] = {}
    for cache in places.hub_caches():
        with suppress(CacheNotFound, OSError, ValueError):
            for repository in scan_cache_dir(cache).repos:
                if repository.repo_type == "model" and repository.repo_id not in found:
                    snapshots = {ref: revision.snapshot_path for ref, revision in repository.refs.items()}
                    found[repository.repo_id] = CachedModel(
                        repository.repo_id, repository.repo_path, repository.size_on_disk, snapshots
                    )
    return [found[hub_id] for hub_id in sorted(found)]


def _cached(hub_id: str, revision: str | None) -> Path | None:
    """The snapshot of a hub model in the local cache, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    # without patterns, a snapshot would count as incomplete if files are missing that were not fetched
    for patterns, folder in product((["config.json"], ["*.none"]), places.hub_caches()):
        with suppress(LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
            snapshot = snapshot_download(
                hub_id, revision=revision, local_files_only=True, allow_patterns=patterns, cache_dir=folder
            )
            if patterns == ["config.json"] or gguf_files.files_in(Path(snapshot)):
                return Path(snapshot)
    return None
