"""What a package that holds a part of a model says of it: manifest.json, and how the packages of a model are named.

The files of a model are joined in order, and the whole is cut into parts. The first part is in `lacuna-model-NAME`, the
others are in `lacuna-model-NAME-part2` and so on; each has the manifest.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from lacuna_inference.errors import LacunaError

FORMAT = 1
PREFIX = "lacuna-model-"
MANIFEST, PART = "manifest.json", "part.bin"
"""The files of a package."""
_SUM = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of the model, and its bytes. `name` has no folder."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Part number `part`, from 1, of `count`. `sha256` is that of the whole: all `files`, joined in order."""

    name: str
    part: int
    count: int
    sha256: str
    files: tuple[PackedFile, ...]
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Bytes of the whole."""
        return sum(file.bytes for file in self.files)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def package_of(name: str, part: int = 1) -> str:
    """The package that holds a part of the model `name`, as package indexes spell names."""
    stem = re.sub(r"[-_.]+", "-", name).lower()
    return f"{PREFIX}{stem}" if part == 1 else f"{PREFIX}{stem}-part{part}"


def is_name(name: str) -> bool:
    """Whether a model can have this name: it is part of a package's name, and a folder is called so."""
    return _NAME.fullmatch(name) is not None


def parse(text: str | bytes, package: str) -> Manifest:
    """The manifest of `package`. Raises LacunaError if it is none that this version of Lacuna reads."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise LacunaError(f"{package} has a format that this Lacuna does not know.", "Update Lacuna.")
        manifest = Manifest(
            str(content["name"]), int(content["part"]), int(content["count"]), str(content["sha256"]),
            tuple(_file(entry) for entry in content["files"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError):
        manifest = None
    if manifest is None or not _is_valid(manifest):
        raise LacunaError(f"The manifest of {package} is damaged.", "Ask who made the package.")
    return manifest


def _is_valid(manifest: Manifest) -> bool:
    counted = 1 <= manifest.part <= manifest.count
    return counted and is_name(manifest.name) and _SUM.fullmatch(manifest.sha256) is not None


def _file(entry: dict[str, Any]) -> PackedFile:
    name, size = entry["name"], entry["bytes"]
    if not isinstance(name, str) or re.search(r'[/\\:*?"<>|\0]', name) or name in ("", ".", "..") or int(size) < 0:
        raise ValueError(name)  # a name that leads out of the model's folder
    return PackedFile(name, int(size))
