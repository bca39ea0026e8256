"""The error for a file that cannot be read, whatever its format."""

from __future__ import annotations

from pathlib import Path

from lacuna_inference.errors import ModelUnusable

AGAIN = "Fetch the model again."
_POINTER = b"version https://git-lfs.github.com/"


def damaged(path: Path, how: str) -> ModelUnusable:
    """The error for a file that cannot be read. `how` is used if the file itself does not show the reason."""
    start = head(path)
    if start == b"":
        return ModelUnusable(f"{path} is empty.", AGAIN)
    if start is not None and start.startswith(_POINTER):
        return ModelUnusable(
            f"{path} is a Git LFS pointer, not the file itself.",
            f"Run git lfs pull in {path.parent}, or fetch it again.",
        )
    remedy = "Check that it is there and readable." if start is None else AGAIN
    return ModelUnusable(f"{path} {how.splitlines()[0].rstrip('.')}.", remedy)


def head(path: Path) -> bytes | None:
    """The first bytes of `path`, or None if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_POINTER))
    except OSError:
        return None
