"""The file of one saved KV cache: its tokens, and their keys and values. It holds no code and needs no pickle.

    magic (8 bytes, the last of them the format's version), length of the header, its checksum (4 bytes each)
    header: JSON
    keys and values: the bytes of a tensor, whose shape follows from the model and the number of tokens

Whatever a file holds, reading it raises nothing but `Unreadable` and OSError. The checksums are CRC-32, which finds any
changed byte; the files are private, so nobody else writes one whose checksum is right.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from lacuna_inference import private_files

_MAGIC = b"LACUKV\x00\x01"
_PREFIX = struct.Struct("<8sII")
_MAX_HEADER_BYTES = 4 * 2**20


class Unreadable(Exception):
    """The file is damaged, or of another format, model or document."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself. `notes` are JSON, of the caller; `checksum` is that of the keys and values."""

    key: str
    tokens: tuple[int, ...]
    notes: Mapping[str, Any]
    checksum: int = 0


def write(path: Path, header: Header, keys_values: Tensor) -> None:
    """Replaces the file at `path` atomically by a new one that only its owner may read. Raises OSError."""
    data = _memory(keys_values)
    fields = {"key": header.key, "tokens": header.tokens, "notes": header.notes, "checksum": zlib.crc32(data)}
    head = json.dumps(fields, separators=(",", ":")).encode()
    private_files.write(path, (_PREFIX.pack(_MAGIC, len(head), zlib.crc32(head)), head, data))


def read_header(path: Path, key: str) -> Header:
    """The header of the file at `path`. Raises Unreadable unless its key is `key`."""
    with path.open("rb") as stream:
        return _read_header(stream, key)


def read_keys_values(path: Path, header: Header, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The keys and values in the file with this header. Raises Unreadable if any byte of them was changed."""
    with path.open("rb") as stream:
        if _read_header(stream, header.key) != header:
            raise Unreadable("it was replaced by another")
        if os.fstat(stream.fileno()).st_size - stream.tell() != math.prod(shape) * dtype.itemsize:
            raise Unreadable("it has another size")
        keys_values = torch.empty(tuple(shape), dtype=dtype)
        data = _memory(keys_values)
        if stream.readinto(data) != len(data) or zlib.crc32(data) != header.checksum:
            raise Unreadable("its keys and values are damaged")
    return keys_values


def _read_header(stream: BinaryIO, key: str) -> Header:
    prefix = stream.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        raise Unreadable("it is too short")
    magic, length, checksum = _PREFIX.unpack(prefix)
    if magic != _MAGIC or length > _MAX_HEADER_BYTES:
        raise Unreadable("it has another format")
    head = stream.read(length)
    if len(head) < length or zlib.crc32(head) != checksum:
        raise Unreadable("its header is damaged")
    try:
        header = _parsed(json.loads(head))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable("its header says something else") from error
    if header.key != key:
        raise Unreadable("it belongs to another model or document")
    return header


def _parsed(fields: Any) -> Header:
    """Raises ValueError, TypeError or KeyError if a field is missing or has another type."""
    tokens, notes, checksum = fields["tokens"], fields["notes"], fields["checksum"]
    numbers = [*tokens, checksum]
    if not tokens or not isinstance(notes, dict) or not all(type(number) is int for number in numbers):
        raise ValueError(fields.keys())
    return Header(str(fields["key"]), tuple(tokens), notes, checksum)


def _memory(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU, which is not empty."""
    return tensor.view(-1).view(torch.uint8).numpy().data
