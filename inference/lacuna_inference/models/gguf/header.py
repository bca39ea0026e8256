"""Reads the header of a GGUF file: its metadata, and where its tensors are. Reads no tensor.

The format is described in docs/gguf.md of the project ggml: little-endian, a magic, a version, counts, key-value pairs,
then a record for each tensor. A vocabulary of 150,000 tokens is read in a fraction of a second, so that a model
can be described, and its tokenizer built, without a library that takes seconds.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.types import GGML_TYPES, GgmlType
from lacuna_inference.models.loading.files import damaged

T = TypeVar("T")

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_AGAIN = "Fetch the file again."
_ALIGNMENT = 32
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Format characters of `struct` by the numbers of metadata types."""
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
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


def read_gguf(path: Path) -> GgufFile:
    """Reads the header of `path`, and of the other parts if it is split. Raises ModelUnusable, which names the file."""
    paths = parts(path)
    headers = [_with_reader(part, lambda reader: reader.read()) for part in paths]
    tensors = {name: info for _, infos in headers for name, info in infos.items()}
    return GgufFile(paths, headers[0][0], tensors)


def read_start(path: Path) -> dict[str, Any]:
    """The metadata of one file before its tokenizer's: what it is, and its sizes. Takes no time.

    Raises ModelUnusable, which names the file.
    """
    return _with_reader(path, lambda reader: reader.read_start())


def parts(path: Path) -> tuple[Path, ...]:
    """All parts of the model that `path` is, or is a part of. Raises ModelUnusable if one is missing."""
    if (split := _split(path)) is None:
        return (path,)
    stem, count = split
    for number in range(1, count + 1):
        if not _part(path, stem, number, count).is_file():
            raise ModelUnusable(
                f"{_part(path, stem, number, count)} is missing, one of the {count} parts of a model.", _AGAIN
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
            return stream.read(len(_MAGIC)) == _MAGIC
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


def _with_reader(path: Path, read: Callable[[_Reader], T]) -> T:
    try:
        with path.open("rb") as stream:
            if path.stat().st_size == 0:
                raise damaged(path, "is empty")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return read(_Reader(path, content))
    except OSError as error:
        raise ModelUnusable(
            f"{path} cannot be read: {error.strerror}.", "Check that it is there and readable."
        ) from error
    except (struct.error, IndexError, OverflowError) as error:
        raise ModelUnusable(f"{path} is cut off: its header does not end.", _AGAIN) from error


class _Reader:
    """Reads one file from its start."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path, self._content, self._at = path, content, 0

    def read(self) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
        self._check_start()
        n_tensors, n_pairs = self._take("Q"), self._take("Q")
        metadata = dict(self._pair() for _ in range(n_pairs))
        records = [self._record() for _ in range(n_tensors)]
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise self._damaged(f"its alignment is {alignment!r}")
        start = -(-self._at // alignment) * alignment
        return metadata, {record[0]: self._tensor(*record, start) for record in records}

    def read_start(self) -> dict[str, Any]:
        self._check_start()
        self._take("Q")
        metadata: dict[str, Any] = {}
        for _ in range(self._take("Q")):
            at = self._at
            if self._string().startswith("tokenizer."):
                break
            self._at = at
            key, metadata[key] = self._pair()
        return metadata

    def _pair(self) -> tuple[str, Any]:
        return self._string(), self._value(self._take("I"))

    def _check_start(self) -> None:
        if self._content[:4] != _MAGIC:
            raise damaged(self._path, "is no GGUF file")
        self._at = len(_MAGIC)
        version = self._take("I")
        if version in _VERSIONS:
            return
        if int.from_bytes(version.to_bytes(4, "big"), "little") in _VERSIONS:
            raise ModelUnusable(
                f"{self._path} is big-endian, and this machine reads little-endian files only.",
                "Convert it with gguf_convert_endian.py of llama.cpp, or fetch the ordinary file.",
            )
        raise ModelUnusable(f"{self._path} has version {version} of GGUF; Lacuna reads 2 and 3.", _AGAIN)

    def _record(self) -> tuple[str, tuple[int, ...], int, int]:
        name, n_dimensions = self._string(), self._take("I")
        if n_dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {name[:80]!r} has {n_dimensions} dimensions")
        columns_first = [self._take("Q") for _ in range(n_dimensions)]
        return name, tuple(reversed(columns_first)), self._take("I"), self._take("Q")

    def _tensor(self, name: str, shape: tuple[int, ...], number: int, offset: int, start: int) -> TensorInfo:
        if (kind := GGML_TYPES.get(number)) is None:
            raise ModelUnusable(
                f"{self._path} has a tensor of the unknown type {number} ({name}).", "Fetch it in Q8_0 or Q4_K_M."
            )
        if shape and shape[-1] % kind.weights:
            raise self._damaged(f"the rows of {name} are no whole number of blocks of {kind.name}")
        info = TensorInfo(name, kind, shape, self._path, start + offset)
        if info.offset + info.nbytes > len(self._content):
            raise ModelUnusable(
                f"{self._path} is cut off: it has {len(self._content):,} bytes, and the tensor {name} ends at "
                f"{info.offset + info.nbytes:,}.",
                _AGAIN,
            )
        return info

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        return self._take(self._format(kind))

    def _array(self) -> list[Any]:
        kind, count = self._take("I"), self._take("Q")
        if count > len(self._content):
            raise self._damaged(f"an array has {count:,} elements")
        if kind == _STRING:
            return self._strings(count)
        if kind == _ARRAY:
            return [self._array() for _ in range(count)]
        form = f"<{count}{self._format(kind)}"
        values = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return list(values)

    def _strings(self, count: int) -> list[str]:
        content, at, length_of = self._content, self._at, struct.Struct("<Q").unpack_from
        strings: list[str] = []
        for _ in range(count):
            (length,) = length_of(content, at)
            at += 8
            strings.append(content[at : at + length].decode("utf-8", "surrogateescape"))
            at += length
        if at > len(content):
            raise IndexError(at)
        self._at = at
        return strings

    def _string(self) -> str:
        return self._strings(1)[0]

    def _take(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._content, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._damaged(f"a value has the unknown type {kind}")
        return _SCALARS[kind]

    def _damaged(self, how: str) -> ModelUnusable:
        return ModelUnusable(f"{self._path} is damaged: {how}.", _AGAIN)
