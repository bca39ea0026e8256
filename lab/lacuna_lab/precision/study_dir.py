"""The folder in which a study saves its results, so that an interrupted study resumes where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from lacuna_inference.errors import BadRequest
from lacuna_lab.precision.kl_statistics import Positions


def fingerprint(*parts: object) -> str:
    """A name for a study that depends on its model, text, inputs and settings."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class StudyDir:
    """The files of one study. Writes are atomic."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        """Creates the folder. Raises BadRequest when it cannot."""
        self.folder = (root or Path(user_cache_dir("lacuna")) / "precision") / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadRequest(
                f"The folder {self.folder} cannot be created: {error.strerror or error}.", "Name another with --work."
            ) from error

    def require_free_space(self, needed: int) -> None:
        """Raises BadRequest when `needed` bytes are not free."""
        free = shutil.disk_usage(self.folder).free
        if needed > 0.95 * free:
            raise BadRequest(
                f"The reference's logits take {needed / 1e9:.1f} GB, and {self.folder} has {free / 1e9:.1f} GB free.",
                "Use fewer --tokens, or name a folder on a larger disk with --work.",
            )

    def remove(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def has_logits(self, window: int) -> bool:
        return self._logits(window).is_file()

    @contextmanager
    def new_logits(self, window: int, shape: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
        """A file to fill chunk by chunk inside the block; it gets its final name when the block ends."""
        unfinished = self._logits(window).with_suffix(".part")
        array = open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
        yield array
        array.flush()
        unfinished.rename(self._logits(window))

    def logits(self, window: int) -> NDArray[np.float32]:
        """The reference's logits [positions, vocabulary], mapped from disk."""
        array: NDArray[np.float32] = np.load(self._logits(window), mmap_mode="r")
        return array

    def positions(self, dtype: str, window: int) -> Positions | None:
        """The saved results of a window, or None."""
        file = self._file(f"{dtype}-{window:05}.npz")
        if not file.is_file():
            return None
        with np.load(file) as arrays:
            return Positions(**{name: arrays[name] for name in Positions.__slots__})

    def save_positions(self, dtype: str, window: int, positions: Positions) -> None:
        self._write_atomically(f"{dtype}-{window:05}.npz", lambda file: np.savez(file, **asdict(positions)))

    def arrays(self, name: str) -> list[NDArray[np.float32]] | None:
        """The arrays saved as `name`, in order, or None."""
        file = self._file(f"{name}.npz")
        if not file.is_file():
            return None
        with np.load(file) as arrays:
            return [arrays[key] for key in sorted(arrays.files)]

    def save_arrays(self, name: str, arrays: list[NDArray[np.float32]]) -> None:
        named = {f"{number:05}": array for number, array in enumerate(arrays)}
        self._write_atomically(f"{name}.npz", lambda file: np.savez(file, allow_pickle=False, **named))

    def data(self, name: str) -> Any:
        """The data saved as `name`, or None."""
        file = self._file(f"{name}.json")
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def save_data(self, name: str, content: Any) -> None:
        self._write_atomically(f"{name}.json", lambda file: file.write(json.dumps(content).encode()))

    def _logits(self, window: int) -> Path:
        return self._file(f"reference-{window:05}.npy")

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _write_atomically(self, name: str, write: Any) -> None:
        unfinished = self._file(name + ".part")
        with unfinished.open("wb") as file:
            write(file)
        unfinished.rename(self._file(name))
