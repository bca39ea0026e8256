"""Rebuilds Lacuna's own wheel from the files that pip installed.

A bundle contains the code that runs here. It is not fetched from the package index, which may have another version, or
a package by somebody else.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path, PurePosixPath

import lacuna_inference
from lacuna_inference import DISTRIBUTION
from lacuna_inference.errors import LacunaError

STEM = DISTRIBUTION.replace("-", "_")
"""The start of the file name of Lacuna's wheels."""
_INSTALLER_FILES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
"""Files in the metadata folder that the installer writes. They are not part of the wheel."""
_DATE = (2020, 2, 2, 0, 0, 0)
_REMEDY = "Name a wheel with --wheel, or reinstall Lacuna."


def is_ours(file: Path) -> bool:
    """Whether `file` is a wheel of Lacuna, by its name and its metadata."""
    if not file.name.startswith(f"{STEM}-") or file.suffix != ".whl":
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            (metadata_path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            name = message_from_bytes(archive.read(metadata_path))["Name"] or ""
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return name.lower().replace("_", "-") == DISTRIBUTION


def of_installation(folder: Path, distribution: metadata.Distribution | None = None) -> Path:
    """Writes the wheel of the installed package into `folder` and returns its path.

    Raises LacunaError if Lacuna was not installed from a wheel, or if its files have changed since.
    """
    distribution = distribution or _installed()
    content = dict(_content(distribution))
    if f"{lacuna_inference.__name__}/__init__.py" not in content:
        raise LacunaError("This Lacuna was not installed from a wheel, so no wheel can be made of it.", _REMEDY)
    target = folder / f"{STEM}-{distribution.version}-{_tag(distribution)}.whl"
    dist_info = next(name for name in content if name.endswith(".dist-info/METADATA")).rpartition("/")[0]
    content[f"{dist_info}/RECORD"] = _record(content, f"{dist_info}/RECORD")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return target


def _installed() -> metadata.Distribution:
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise LacunaError(f"{DISTRIBUTION} is not installed here, so no wheel can be made of it.", _REMEDY) from None


def _content(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """The installed files that came from the wheel, by its RECORD: without scripts and files of the installer."""
    for file in sorted(distribution.files or (), key=str):
        path = PurePosixPath(file.as_posix())
        is_generated = path.suffix in (".pyc", ".pth") or ".." in path.parts or path.is_absolute()
        if is_generated or (path.parts[0].endswith(".dist-info") and path.name in _INSTALLER_FILES):
            continue
        try:
            data = file.read_binary()
        except OSError as error:
            raise LacunaError(f"The installed {path} cannot be read: {error.strerror}.", _REMEDY) from error
        if file.hash is not None and file.hash.value != _digest(data, file.hash.mode):
            raise LacunaError(f"{path} has changed since it was installed.", _REMEDY)
        yield str(path), data


def _tag(distribution: metadata.Distribution) -> str:
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    return next((line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")), "py3-none-any")


def _record(content: dict[str, bytes], own_name: str) -> bytes:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerows((name, f"sha256={_digest(data)}", len(data)) for name, data in content.items())
    writer.writerow((own_name, "", ""))
    return lines.getvalue().encode()


def _digest(data: bytes, kind: str = "sha256") -> str:
    return base64.urlsafe_b64encode(hashlib.new(kind, data).digest()).rstrip(b"=").decode()
