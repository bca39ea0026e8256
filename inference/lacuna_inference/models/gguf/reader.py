"""Decodes the bytes of a GGUF header: metadata, and the records of its tensors. Knows nothing of what they mean.

A header may hold anything: counts are limited, so that a damaged one takes neither minutes nor gigabytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.damage import AGAIN, damaged

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Format characters of `struct` by the numbers of metadata types."""
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
_MAX_PAIRS, _MAX_TENSORS, _MAX_ELEMENTS = 2**16, 2**18, 2**22
"""Far above what models have: dozens of pairs, thousands of tensors, and a million elements in all arrays."""


class CutOff(Exception):
    """The bytes end before the header does."""


@dataclass(frozen=True, slots=True)
class Record:
    """A tensor as the header has it: `shape` is [rows, columns], `offset` in bytes from the end of the header."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file; `data` is where the tensors start, in bytes from the file's start."""

    metadata: dict[str, Any]
    records: list[Record]
    data: int


class Reader:
    """Reads the header of the file `path` from its first bytes. Raises ModelUnusable, or CutOff if they are too few."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content, self._at, self._elements = path, content, 0, 0

    def read(self) -> Header:
        """The whole header."""
        n_tensors, n_pairs = self._counts()
        metadata = dict(self._pair() for _ in range(n_pairs))
        records = [self._record() for _ in range(n_tensors)]
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise self._damaged(f"its alignment is {str(alignment)[:80]!r}")
        return Header(metadata, records, -(-self._at // alignment) * alignment)

    def read_start(self) -> dict[str, Any]:
        """The metadata before the tokenizer's."""
        _, n_pairs = self._counts()
        metadata: dict[str, Any] = {}
        for _ in range(n_pairs):
            at = self._at
            if self._string().startswith("tokenizer."):
                break
            self._at = at
            key, metadata[key] = self._pair()
        return metadata

    def _counts(self) -> tuple[int, int]:
        """The numbers of tensors and of pairs, after what comes first in the file."""
        self._check_start()
        n_tensors, n_pairs = self._take("Q"), self._take("Q")
        if n_tensors > _MAX_TENSORS or n_pairs > _MAX_PAIRS:
            raise self._damaged(f"it says that it has {n_tensors:,} tensors and {n_pairs:,} values")
        return n_tensors, n_pairs

    def _check_start(self) -> None:
        if not self._content.startswith(MAGIC):
            raise damaged(self._path, "is no GGUF file")
        self._at = len(MAGIC)
        version = self._take("I")
        if version in _VERSIONS:
            return
        if int.from_bytes(version.to_bytes(4, "big"), "little") in _VERSIONS:
            raise ModelUnusable(
                f"{self._path} is big-endian, and this machine reads little-endian files only.",
                "Convert it with gguf_convert_endian.py of llama.cpp, or fetch the ordinary file.",
            )
        raise ModelUnusable(f"{self._path} has version {version} of GGUF; Lacuna reads 2 and 3.", AGAIN)

    def _pair(self) -> tuple[str, Any]:
        key, kind = self._string(), self._take("I")
        if kind == _STRING:
            return key, self._string()
        return key, self._array() if kind == _ARRAY else self._take(self._format(kind))

    def _record(self) -> Record:
        name, n_dimensions = self._string(), self._take("I")
        if n_dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {name[:80]!r} has {n_dimensions} dimensions")
        columns_first = [self._take("Q") for _ in range(n_dimensions)]
        return Record(name, tuple(reversed(columns_first)), self._take("I"), self._take("Q"))

    def _array(self) -> list[Any]:
        kind, count = self._take("I"), self._take("Q")
        self._elements += count
        if self._elements > _MAX_ELEMENTS:
            raise self._damaged(f"an array has {count:,} elements")
        if kind == _STRING:
            return self._strings(count)
        return list(self._unpack(f"<{count}{self._format(kind)}"))

    def _strings(self, count: int, errors: str = "surrogateescape") -> list[str]:
        """Texts one after the other; bytes that are no UTF-8, as tokens may have, become surrogates."""
        content, at, length_of = self._content, self._at, struct.Struct("<Q").unpack_from
        strings: list[str] = []
        try:
            for _ in range(count):
                end = at + 8 + length_of(content, at)[0]
                strings.append(content[at + 8 : end].decode("utf-8", errors))
                at = end
        except (struct.error, OverflowError) as error:
            raise CutOff from error
        if at > len(content):
            raise CutOff
        self._at = at
        return strings

    def _string(self) -> str:
        """A text that can be printed, whatever the file has."""
        return self._strings(1, "replace")[0]

    def _take(self, form: str) -> Any:
        return self._unpack(f"<{form}")[0]

    def _unpack(self, form: str) -> tuple[Any, ...]:
        try:
            values = struct.unpack_from(form, self._content, self._at)
        except struct.error as error:
            raise CutOff from error
        self._at += struct.calcsize(form)
        return values

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._damaged(f"a value has the unknown type {kind}")
        return _SCALARS[kind]

    def _damaged(self, how: str) -> ModelUnusable:
        return ModelUnusable(f"{self._path} is damaged: {how}.", AGAIN)
