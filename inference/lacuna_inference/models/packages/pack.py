"""Makes packages (wheels) of a model's files, for a package index of one's own. They hold data only, no code."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading.files import BESIDE_WEIGHTS
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.packages.manifest import MANIFEST, PART, Manifest, PackedFile, is_name, package_of
from lacuna_inference.models.sums import chunks, sha256_of

_DATE = (2020, 2, 2, 0, 0, 0)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")
_OVERHEAD = 4096
"""Bytes of a wheel besides the part and the manifest, at most."""
_SUMMARY = "Part {part} of {count} of the model {name}, data only. lacuna models fetch {name} --from-index"


def pack(folder: ModelFolder, name: str, max_bytes: int, out: Path, version: str = "1.0") -> list[Path]:
    """Writes the wheels of the model into the folder `out`, each of at most `max_bytes`; returns their paths.

    Raises BadRequest for a name that no package can have, and for a limit that leaves no room.
    """
    if not is_name(name):
        raise BadRequest(
            f"{name!r} cannot be part of a package's name.",
            "Name the model with --name: letters, digits, dots, dashes.",
        )
    files = files_of(folder)
    packed = tuple(PackedFile(file.name, file.stat().st_size) for file in files)
    sketch = Manifest(name, 10**6, 10**6, "0" * 64, packed)
    room = max_bytes - _OVERHEAD - len(sketch.text())
    if room <= 0:
        raise BadRequest("A package so small has no room for a part of a model.", "Choose a larger --max-mb.")
    count = max(1, -(-sketch.bytes // room))
    whole, content = sha256_of(*files), _cut(files, room)
    out.mkdir(parents=True, exist_ok=True)
    return [
        _wheel(Manifest(name, part, count, whole, packed), next(content, b""), version, out)
        for part in range(1, count + 1)
    ]


def name_of(folder: ModelFolder) -> str:
    """What a model is called by its file or folder, without the numbers of parts: the part of a package's name."""
    if folder.gguf is not None:
        return _SPLIT.sub("", folder.path.stem)
    if folder.path.parent.name == "snapshots":  # of the hub's cache, named by a commit
        return folder.path.parent.parent.name.rpartition("--")[2]
    return folder.path.resolve().name


def files_of(folder: ModelFolder) -> list[Path]:
    """The files that make up a model: the GGUF file with its parts, or weights, config and tokenizer."""
    if folder.gguf is not None:
        return folder.weight_files
    beside = {file for pattern in BESIDE_WEIGHTS for file in folder.path.glob(pattern) if file.is_file()}
    return sorted({*folder.weight_files, *beside})


def _cut(files: Sequence[Path], size: int) -> Iterator[bytes]:
    """The joined content of `files` in parts of `size` bytes; the last may be smaller."""
    held = bytearray()
    for file in files:
        for chunk in chunks(file):
            held += chunk
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
    if held:
        yield bytes(held)


def _wheel(manifest: Manifest, content: bytes, version: str, out: Path) -> Path:
    package = package_of(manifest.name, manifest.part)
    stem = package.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    summary = _SUMMARY.format(part=manifest.part, count=manifest.count, name=manifest.name)
    entries = {
        f"{stem}/{MANIFEST}": manifest.text().encode(),
        f"{stem}/{PART}": content,
        f"{info}/METADATA": _lines(
            "Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", f"Summary: {summary}"
        ),
        f"{info}/WHEEL": _lines(
            "Wheel-Version: 1.0", "Generator: lacuna", "Root-Is-Purelib: true", "Tag: py3-none-any"
        ),
    }
    lines = [f"{name},sha256={_sum(data)},{len(data)}" for name, data in entries.items()]
    entries[f"{info}/RECORD"] = _lines(*lines, f"{info}/RECORD,,")
    path = out / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights cannot be compressed
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return path


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _sum(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
