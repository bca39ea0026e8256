"""Packed weights in a file: the next start maps it instead of packing them again, and several servers share its memory.

Mapped pages are in the system's cache of files, so that a warm start touches no new memory. The file is not needed for
anything: without it, or with one that is not as expected, weights are packed from the model's own files.

    magic (8 bytes, the last of them the format's version), key (40 bytes), bytes of all regions (8); up to `_HEADER`
    the regions in the order in which the layers are made, each a whole number of cache lines
"""

from __future__ import annotations

import logging
import mmap
import os
import shutil
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lacuna_inference import private_files
from lacuna_inference.models import pages

SUFFIX = ".packed"
_MAGIC = b"LACUPW\x00\x01"
_PREFIX = struct.Struct("<8s40sQ")
_HEADER = 4096
_CACHE_LINE = 64
_KEPT_FREE = 2**32
"""Bytes that stay free on the disk."""
_CHUNK = 2**22
"""Bytes that are written at once."""
_LEAST_PRIORITY = 19

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Region:
    """Memory for one layer, uint8 [bytes], and whether it already holds the packed weights."""

    memory: Tensor
    filled: bool


class PackedWeights:
    """The packed weights of one model. The same layers must ask for their regions in the same order at every start."""

    def __init__(self, folder: Path, budget: int, key: str) -> None:
        """The files in the private `folder` take up to `budget` bytes, with 0 none is added; `key` names all that the
        weights depend on."""
        self._path, self._budget, self._key = folder / f"{key}{SUFFIX}", budget, key.encode()
        self._mapped, self._used = _mapped(self._path, self._key), 0
        self._recorded: list[Tensor] = []

    def region(self, size: int) -> Region:
        """The next region, of `size` bytes; zeros if it is not in the file."""
        padded = -(-size // _CACHE_LINE) * _CACHE_LINE
        if self._mapped is not None and self._used + padded <= len(self._mapped):
            self._used += padded
            return Region(self._mapped[self._used - padded : self._used - padded + size], filled=True)
        memory = pages.zeros(padded)
        self._recorded.append(memory)
        return Region(memory[:size], filled=False)

    def keep(self) -> None:
        """Writes the regions in the background, if they are not in the file, and fit the budget and the disk."""
        recorded, self._recorded = self._recorded, []
        size = sum(map(len, recorded))
        if self._mapped is not None or not size or not self._budget:
            return
        if size > self._budget:
            logger.info("Packed weights of %d MiB are not kept: packed_weights_disk_mb is less.", size >> 20)
            return
        # no daemon: a process that ends first would leave half a file
        threading.Thread(target=self._write, args=(recorded,), name="lacuna-packed").start()

    def _write(self, regions: list[Tensor]) -> None:
        _yield_to_others()
        size = sum(map(len, regions))
        try:
            private_files.make_private(self._path.parent)
            if size > shutil.disk_usage(self._path.parent).free - _KEPT_FREE:
                logger.info("Packed weights of %d MiB are not kept: the disk is almost full.", size >> 20)
                return
            private_files.make_room(size, self._budget, self._path)
            private_files.write(self._path, _content(self._key, size, regions), flush=True)
        except OSError as error:
            logger.warning("Packed weights were not saved: %s.", error.strerror or type(error).__name__)


def _mapped(path: Path, key: bytes) -> Tensor | None:
    """The regions in the file, mapped; None if there is none that is whole and has this key."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size - _HEADER
            head = stream.read(_PREFIX.size)
            if size <= 0 or head != _PREFIX.pack(_MAGIC, key, size):
                return None
            os.utime(path)
            block = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        return None
    if hasattr(mmap, "MADV_WILLNEED"):
        with suppress(OSError):
            block.madvise(mmap.MADV_WILLNEED)
    return torch.frombuffer(block, dtype=torch.uint8)[_HEADER:]


def _content(key: bytes, size: int, regions: list[Tensor]) -> Iterator[private_files.Part]:
    yield _PREFIX.pack(_MAGIC, key, size).ljust(_HEADER, b"\0")
    for region in regions:
        data = region.numpy().data
        for start in range(0, len(data), _CHUNK):
            yield data[start : start + _CHUNK]


def _yield_to_others() -> None:
    """Gives this thread the least priority: the first answer must not wait for it. Linux has priorities of threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)
