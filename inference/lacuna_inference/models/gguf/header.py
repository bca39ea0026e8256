"""Reads the header of a GGUF file: its metadata, and where its tensors are. Reads no tensor.

The format is described in docs/gguf.md of the project ggml: little-endian, a magic, a version, counts, key-value pairs,
then a record for each tensor. A vocabulary of 150,000 tokens is read in a fraction of a second, so that a model
can be described, and its tokenizer built, without a library that takes seconds.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.damage import AGAIN, damaged
from lacuna_inference.models.gguf.reader import MAGIC, CutOff, Reader, Record
from lacuna_inference.models.gguf.types import GGML_TYPES, GgmlType

T = TypeVar("T")

_WHOLE, _START = (2**23, 2**27), (2**16, 2**27)
"""Bytes that are read of a file: nearly every header, or start of one, is in the first, and all are in the second."""
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor is: `offset` in bytes from the start of `path`. `shape` is [rows, columns], as in torch."""

    name: str
    type: GgmlType
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) // self.type.weights * self.type.nbytes


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A model in one file, or in several parts; `metadata` is that of the first part."""

    paths: tuple[Path, ...]
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors in the file."""
        return sum(info.nbytes for info in self.tensors.values())


def read_gguf(path: Path) -> GgufFile:
    """Reads the header of `path`, and of the other parts if it is split. Raises ModelUnusable, which names the file."""
    paths = parts(path)
    headers = list(_headers(paths))
    tensors = {name: info for _, infos in headers for name, info in infos.items()}
    return GgufFile(paths, headers[0][0], tensors)


def read_start(path: Path) -> dict[str, Any]:
    """The metadata of one file before its tokenizer's: what it is, and its sizes. Takes no time.

    Raises ModelUnusable, which names the file.
    """
    return _read(path, Reader.read_start, _START)[0]


def parts(path: Path) -> tuple[Path, ...]:
    """All parts of the model that `path` is, or is a part of. Raises ModelUnusable if one is missing."""
    if (split := _split(path)) is None:
        return (path,)
    stem, count = split
    for number in range(1, count + 1):
        if not _part(path, stem, number, count).is_file():
            raise ModelUnusable(
                f"{_part(path, stem, number, count)} is missing, one of the {count} parts of a model.", AGAIN
            )
    return tuple(_part(path, stem, number, count) for number in range(1, count + 1))


def first_part(path: Path) -> Path:
    """The first part of the split model that `path` is a part of, which may be missing; otherwise `path`."""
    split = _split(path)
    return path if split is None else _part(path, split[0], 1, split[1])


def is_gguf(path: Path) -> bool:
    """Whether `path` begins as a GGUF file does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _split(path: Path) -> tuple[str, int] | None:
    """Stem and number of parts of the split model that `path` is a part of; None if its name is not that of a part."""
    match = _PART.fullmatch(path.name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return None
    return match["stem"], int(match["count"])


def _part(path: Path, stem: str, number: int, count: int) -> Path:
    return path.with_name(f"{stem}-{number:05}-of-{count:05}{path.suffix}")


def _headers(paths: Iterable[Path]) -> Iterator[tuple[dict[str, Any], dict[str, TensorInfo]]]:
    """Metadata and tensors of each file."""
    for path in paths:
        header, size = _read(path, Reader.read, _WHOLE)
        infos = {record.name: _info(path, record, header.data, size) for record in header.records}
        if len(infos) < len(header.records):
            raise ModelUnusable(f"{path} is damaged: two of its tensors have the same name.", AGAIN)
        yield header.metadata, infos


def _info(path: Path, record: Record, data: int, size: int) -> TensorInfo:
    """The tensor of `record` in the file `path` of `size` bytes. Raises ModelUnusable if it cannot be there."""
    name = record.name[:80]
    if (kind := GGML_TYPES.get(record.type)) is None:
        raise ModelUnusable(
            f"{path} has a tensor of the unknown type {record.type} ({name!r}).", "Fetch it in Q8_0 or Q4_K_M."
        )
    if record.shape and record.shape[-1] % kind.weights:
        raise ModelUnusable(
            f"{path} is damaged: the rows of {name!r} are no whole number of blocks of {kind.name}.", AGAIN
        )
    info = TensorInfo(record.name, kind, record.shape, path, data + record.offset)
    if info.offset + info.nbytes > size:
        raise ModelUnusable(
            f"{path} is cut off or damaged: it has {size:,} bytes, and the tensor {name!r} ends at "
            f"{info.offset + info.nbytes:,}.",
            AGAIN,
        )
    return info


def _read(path: Path, read: Callable[[Reader], T], limits: Sequence[int]) -> tuple[T, int]:
    """What `read` makes of the first bytes of `path`, at most `limits`, and the size of the file in bytes."""
    try:
        for limit in limits:
            with path.open("rb") as stream:
                content, size = stream.read(limit), os.fstat(stream.fileno()).st_size
            with suppress(CutOff):
                return read(Reader(path, content)), size
            if len(content) < limit:
                break
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror}") from error
    raise damaged(path, "is cut off or damaged: its header does not end")
