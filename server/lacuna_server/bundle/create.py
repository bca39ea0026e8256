"""Makes a bundle, on a machine with a network: wheels, a model, the extension for VS Code, and the installer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna_inference import DISTRIBUTION
from lacuna_inference.api import BUNDLED
from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models.loading import sources
from lacuna_server.bundle import installer, wheel

Tell = Callable[[str], None]
PLATFORMS = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "linux_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "linux_aarch64"),
    "macos-arm64": ("macosx_14_0_arm64", "macosx_11_0_arm64", "macosx_10_9_universal2"),
    "windows-x86_64": ("win_amd64",),
}
"""The tags of wheels that each takes."""
_PARTS_OF_A_MODEL = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")


@dataclass(frozen=True, slots=True)
class BundleContents:
    """What to put in. `wheel` is Lacuna's own, None for the one that belongs to this installation; `constraints` and
    `options` are for pip."""

    output: Path
    platform: str
    python: str
    model: str = BUNDLED
    revision: str | None = None
    wheel: Path | None = None
    vsix: Path | None = None
    constraints: Path | None = None
    options: tuple[str, ...] = ()


def create(wanted: BundleContents, tell: Tell) -> Path:
    """Writes the bundle; its path. Raises a LacunaError that says what is missing, and leaves nothing half done."""
    if wanted.platform not in PLATFORMS:
        raise BadRequest(f"There is no platform called {wanted.platform}.", f"Known: {', '.join(PLATFORMS)}.")
    if wanted.output.is_dir():
        raise BadRequest(f"{wanted.output} is a folder.", "Name a file with -o.")
    if not wanted.output.parent.is_dir():
        raise BadRequest(f"There is no folder {wanted.output.parent}.", "Make it, or name another file with -o.")
    for file in (wanted.wheel, wanted.vsix, wanted.constraints):
        if file is not None and not file.is_file():
            raise BadRequest(f"There is no file {file}.")
    with tempfile.TemporaryDirectory(prefix="lacuna-bundle-", dir=wanted.output.parent) as place:
        folder = Path(place) / installer.TOP
        folder.mkdir()
        model = _put_model(wanted, folder, tell)
        if wanted.vsix is not None:
            shutil.copy2(wanted.vsix, folder / "lacuna.vsix")
        tell("fetching the packages")
        version = _put_wheels(wanted, folder / "wheels")
        shutil.copy2(installer.__file__, folder / "install.py")
        tell("writing the bundle")
        _put_manifest(wanted, folder, model, version)
        unfinished = Path(place) / "bundle.tar"
        with tarfile.open(unfinished, "w:") as archive:
            archive.add(folder, installer.TOP)
        unfinished.replace(wanted.output)
    return wanted.output


def _put_model(wanted: BundleContents, folder: Path, tell: Tell) -> str | None:
    """Copies the model; its name in the bundle. The bundled model is in the wheel."""
    if wanted.model == BUNDLED:
        return None
    found = sources.find(wanted.model, wanted.revision)
    name = _name_of(wanted.model, found.path)
    target = folder / "models" / name
    target.mkdir(parents=True)
    for file in sorted({file for pattern in _PARTS_OF_A_MODEL for file in found.path.glob(pattern)}):
        tell(f"copying {file.name}")
        before = file.stat()
        shutil.copyfile(file, target / file.name)
        after = file.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BadRequest(f"{file} changed while it was copied.", "Wait until it is written, then try again.")
    return name


def _name_of(model: str, path: Path) -> str:
    """A model's name as a folder's: the last part of a hub id, or of its folder's path."""
    name = model.rsplit("/", 1)[-1] if path.parent.name == "snapshots" else path.resolve().name
    return "model" if installer.NAME.fullmatch(plain := re.sub(r"[^\w.+@-]", "-", name)) is None else plain


def _put_wheels(wanted: BundleContents, folder: Path) -> str:
    """All packages; the version of Lacuna among them. Its own wheel comes from no index, whatever is there."""
    folder.mkdir()
    own = _own_wheel(wanted, folder)
    constraints = wanted.constraints
    if constraints is None and wanted.wheel is None and (known := _checkout()) is not None:
        constraints = known / "constraints.txt" if (known / "constraints.txt").is_file() else None
    limits = ["--constraint", str(constraints)] if constraints is not None else []
    _pip("download", "--dest", str(folder), *limits, *_target(wanted), *wanted.options, "torch", str(own))
    return own.name.split("-")[1]


def _own_wheel(wanted: BundleContents, folder: Path) -> Path:
    """Lacuna's wheel in `folder`: the one that was named, or one of what runs here."""
    if wanted.wheel is not None:
        if not wheel.is_ours(wanted.wheel):
            raise BadRequest(f"{wanted.wheel} is no wheel of {DISTRIBUTION}.", "Name another with --wheel.")
        return Path(shutil.copy2(wanted.wheel, folder))
    if (root := _checkout()) is None:
        return wheel.of_installation(folder)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(root))
    return next(folder.glob(f"{wheel.STEM}-*.whl"))


def _checkout() -> Path | None:
    """The working tree that this runs from, if it does."""
    root = Path(__file__).parents[3]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return None
    return root if project.get("name") == DISTRIBUTION else None


def _target(wanted: BundleContents) -> list[str]:
    """pip's options for wheels of another machine."""
    tags = [part for tag in PLATFORMS[wanted.platform] for part in ("--platform", tag)]
    if (wanted.platform, wanted.python) == (installer.here(), installer.python_here()):
        tags = []
    version = ["--python-version", wanted.python, "--implementation", "cp"] if tags else []
    return ["--only-binary", ":all:", *tags, *version]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.strip().split("\n") if line.startswith("ERROR")] or ["it said nothing"]
        raise LacunaError(f"pip could not get the packages: {said[-1].removeprefix('ERROR: ')}.", "Is there a network?")


def _put_manifest(wanted: BundleContents, folder: Path, model: str | None, version: str) -> None:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "install.py"]
    manifest: dict[str, Any] = {
        "format": installer.FORMAT,
        "lacuna": version,
        "platform": wanted.platform,
        "python": wanted.python,
        "model": model,
        "vsix": "lacuna.vsix" if wanted.vsix is not None else None,
        "files": {
            file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": installer.sha256_of(file)}
            for file in files
        },
    }
    (folder / installer.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
