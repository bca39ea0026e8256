"""Creates a bundle, on a machine with a network: wheels, a model, the extension for VS Code, and the installer."""

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
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_server.bundle import installer, wheel

Report = Callable[[str], None]
PLATFORMS = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "linux_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "linux_aarch64"),
    "macos-arm64": ("macosx_14_0_arm64", "macosx_11_0_arm64", "macosx_10_9_universal2"),
    "windows-x86_64": ("win_amd64",),
}
"""The wheel tags that each platform accepts."""
_GGUF = ".gguf"
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")


@dataclass(frozen=True, slots=True)
class BundleContents:
    """What to put into a bundle. `wheel` is Lacuna's, None for the wheel of this installation. `constraints` and
    `options` are for pip.
    """

    output: Path
    platform: str
    python: str
    model: str = BUNDLED
    revision: str | None = None
    wheel: Path | None = None
    vsix: Path | None = None
    constraints: Path | None = None
    options: tuple[str, ...] = ()


def create(contents: BundleContents, report: Report) -> Path:
    """Writes the bundle and returns its path. Raises a LacunaError for what is missing, and leaves no partial files."""
    if contents.platform not in PLATFORMS:
        raise BadRequest(f"There is no platform called {contents.platform}.", f"Known: {', '.join(PLATFORMS)}.")
    if contents.output.is_dir():
        raise BadRequest(f"{contents.output} is a folder.", "Name a file with -o.")
    if not contents.output.parent.is_dir():
        raise BadRequest(f"There is no folder {contents.output.parent}.", "Create it, or name another file with -o.")
    for file in (contents.wheel, contents.vsix, contents.constraints):
        if file is not None and not file.is_file():
            raise BadRequest(f"There is no file {file}.")
    with tempfile.TemporaryDirectory(prefix="lacuna-bundle-", dir=contents.output.parent) as temporary:
        folder = Path(temporary) / installer.TOP
        folder.mkdir()
        model = _add_model(contents, folder, report)
        if contents.vsix is not None:
            shutil.copy2(contents.vsix, folder / "lacuna.vsix")
        report("fetching the packages")
        version = _add_wheels(contents, folder / "wheels")
        shutil.copy2(installer.__file__, folder / "install.py")
        report("writing the bundle")
        _write_manifest(contents, folder, model, version)
        unfinished = Path(temporary) / "bundle.tar"
        with tarfile.open(unfinished, "w:") as archive:
            archive.add(folder, installer.TOP)
        unfinished.replace(contents.output)
    return contents.output


def _add_model(contents: BundleContents, folder: Path, report: Report) -> str | None:
    """Copies the model and returns its name in the bundle. None for the bundled model, which is in the wheel."""
    if contents.model == BUNDLED:
        return None
    source = sources.find(contents.model, contents.revision)
    name = _name_of(contents.model, source.path)
    target = folder / "models" / name
    target.mkdir(parents=True)
    for file, copied in _files_of(source).items():
        report(f"copying {copied}")
        before = file.stat()
        shutil.copyfile(file, target / copied)
        after = file.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BadRequest(f"{file} changed while it was copied.", "Wait until it is written, then try again.")
    return name


def _files_of(source: ModelFolder) -> dict[Path, str]:
    """The files of a model, and their names in the bundle. Ollama's have no suffix, by which a folder's are known."""
    if source.gguf is not None:
        return {file: file.name if file.suffix else f"model{_GGUF}" for file in source.weight_files}
    return {file: file.name for file in sorted({f for pattern in _MODEL_FILES for f in source.path.glob(pattern)})}


def _name_of(model: str, path: Path) -> str:
    """A folder name for a model: the last part of its hub id or of its path, or the name of its GGUF file."""
    in_hub = path.parent.name == "snapshots" or (path.is_file() and not path.suffix)
    name = model.rsplit("/", 1)[-1] if in_hub else path.stem if path.is_file() else path.resolve().name
    return "model" if installer.NAME.fullmatch(plain := re.sub(r"[^\w.+@-]", "-", name)) is None else plain


def _add_wheels(contents: BundleContents, folder: Path) -> str:
    """Adds the wheels of all packages and returns Lacuna's version. Lacuna's own wheel never comes from an index."""
    folder.mkdir()
    own = _own_wheel(contents, folder)
    constraints = contents.constraints
    if constraints is None and contents.wheel is None and (root := _checkout()) is not None:
        constraints = root / "constraints.txt" if (root / "constraints.txt").is_file() else None
    constraint = ["--constraint", str(constraints)] if constraints is not None else []
    _pip("download", "--dest", str(folder), *constraint, *_target(contents), *contents.options, "torch", str(own))
    return own.name.split("-")[1]


def _own_wheel(contents: BundleContents, folder: Path) -> Path:
    """Puts Lacuna's wheel into `folder`: the one that was named, or one of the running installation."""
    if contents.wheel is not None:
        if not wheel.is_ours(contents.wheel):
            raise BadRequest(f"{contents.wheel} is not a wheel of {DISTRIBUTION}.", "Name another with --wheel.")
        return Path(shutil.copy2(contents.wheel, folder))
    if (root := _checkout()) is None:
        return wheel.of_installation(folder)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(root))
    return next(folder.glob(f"{wheel.STEM}-*.whl"))


def _checkout() -> Path | None:
    """The source checkout that this runs from, or None."""
    root = Path(__file__).parents[3]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return None
    return root if project.get("name") == DISTRIBUTION else None


def _target(contents: BundleContents) -> list[str]:
    """pip's options for wheels of the target platform."""
    tags = [part for tag in PLATFORMS[contents.platform] for part in ("--platform", tag)]
    if (contents.platform, contents.python) == (installer.here(), installer.python_here()):
        tags = []
    version = ["--python-version", contents.python, "--implementation", "cp"] if tags else []
    return ["--only-binary", ":all:", *tags, *version]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.strip().split("\n") if line.startswith("ERROR")] or ["no error message"]
        message = errors[-1].removeprefix("ERROR: ")
        raise LacunaError(f"pip could not get the packages: {message}.", "Check the network connection.")


def _write_manifest(contents: BundleContents, folder: Path, model: str | None, version: str) -> None:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "install.py"]
    manifest: dict[str, Any] = {
        "format": installer.FORMAT,
        "lacuna": version,
        "platform": contents.platform,
        "python": contents.python,
        "model": model,
        "vsix": "lacuna.vsix" if contents.vsix is not None else None,
        "files": {
            file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": installer.sha256_of(file)}
            for file in files
        },
    }
    (folder / installer.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
