"""Installs a bundle. Needs only Python, because it is shipped in the bundle as install.py and runs without Lacuna.

    python3 install.py [BUNDLE.tar] [--into FOLDER]

Everything is checked before anything is written. Each version has a folder of its own, and the launcher is switched to
it only once it works, so a running older version keeps its files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

FORMAT = 1
TOP = "lacuna-bundle"
"""The top folder in a bundle."""
MANIFEST = "manifest.json"
NAME = re.compile(r"\w[\w .+@-]*")
"""The name of a model, a platform or a file: a single path component without `..` or shell syntax."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")
_CHUNK = 2**20
_SPACE_FACTOR = 4
"""The free space needed to unpack and install a bundle, in multiples of its size."""
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
Report = Callable[[str], None]


class BundleError(Exception):
    """The bundle is damaged or unsuitable. The message says what to do."""


def main() -> int:
    """The command line of install.py."""
    parser = argparse.ArgumentParser(description="Install Lacuna from a bundle, without a network.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--into", type=Path, default=default_folder())
    arguments = parser.parse_args()
    try:
        launcher = install(arguments.bundle, arguments.into, lambda line: print(line, flush=True))  # noqa: T201
    except BundleError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"Installed. Run: {launcher}")  # noqa: T201
    return 0


def default_folder() -> Path:
    """The default installation folder."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "lacuna"
    return Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local" / "share"))) / "lacuna"


def here() -> str:
    """This machine's platform as named in bundles, for example `linux-x86_64`."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{system}-{machine}"


def python_here() -> str:
    """The version of Python that runs this, for example `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def install(bundle: Path, into: Path, report: Report) -> Path:
    """Installs `bundle`, a tar file or an unpacked folder, below `into`. Returns the launcher's path.

    Raises BundleError, which leaves an older installation unchanged.
    """
    with opened(bundle) as folder:
        report("checking every file")
        manifest = checked(folder)
        target = into / "versions" / name_of(manifest)
        if not (target / MANIFEST).is_file():
            _require_space(into, folder)
            try:
                _build(folder, manifest, target, report)
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
        else:
            report(f"{target.name} is already installed")
    return _write_launcher(target, into, manifest)


def checked(folder: Path, platform_matters: bool = True) -> dict[str, Any]:
    """The manifest of an unpacked bundle. Raises BundleError unless the bundle is complete and for this machine."""
    manifest = _manifest(folder)
    _refuse_links(folder)
    files, target = manifest["files"], (manifest["platform"], manifest["python"])
    if platform_matters and target != (here(), python_here()):
        raise BundleError(
            f"The bundle is for Python {target[1]} on {target[0]}, and this is Python {python_here()} on {here()}."
            f" Create another: lacuna bundle create --platform {here()} --python {python_here()}."
        )
    for name, entry in files.items():
        _check_file(folder, name, entry)
    model = f"models/{manifest.get('model')}/"
    is_gguf = any(name.startswith(model) and name.lower().endswith(".gguf") for name in files)
    for part, name in (("model", f"{model}config.json"), ("vsix", manifest.get("vsix"))):
        if manifest.get(part) and name not in files and not (part == "model" and is_gguf):
            raise BundleError(f"The bundle lacks {name}. Copy it again.")
    extra = sorted(set(_files(folder)) - set(files) - {MANIFEST, "install.py"})
    if extra:
        raise BundleError(f"The bundle contains {extra[0]}, which is not in its manifest. Copy the bundle again.")
    return manifest


def name_of(manifest: dict[str, Any]) -> str:
    """The version, and a short hash that distinguishes bundles of one version."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return f"{manifest['lacuna']}-{digest[:8]}"


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """The unpacked bundle: `bundle` itself if it is a folder. Raises BundleError for a damaged or incomplete file."""
    if bundle.is_dir():
        yield bundle
        return
    if not bundle.is_file():
        raise BundleError(f"There is no bundle {bundle}.")
    with tempfile.TemporaryDirectory(prefix="lacuna-bundle-", dir=bundle.resolve().parent) as temporary:
        try:
            with tarfile.open(bundle, "r:") as archive:
                archive.extractall(temporary, members=_safe_members(archive), **_FILTER)  # noqa: S202
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BundleError(f"{bundle} is damaged or incomplete ({error}). Copy it again.") from None
        yield Path(temporary) / TOP


def _safe_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, all of them regular files and folders in the top folder. Raises BundleError for any other.

    Early releases of Python 3.11 have no extraction filter.
    """
    for member in archive:
        path = PurePosixPath(member.name)
        is_inside = path.parts[:1] == (TOP,) and ".." not in path.parts
        if not is_inside or not (member.isreg() or member.isdir()):
            raise BundleError(f"The bundle contains {member.name}, which no bundle of Lacuna contains. Do not use it.")
        yield member


def _manifest(folder: Path) -> dict[str, Any]:
    """The validated manifest. Every field is checked, because its names become paths and versions."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BundleError(f"{folder} is not a bundle of Lacuna. Create one: lacuna bundle create.")
    if manifest.get("format") != FORMAT:
        raise BundleError("The bundle was made by another version of Lacuna. Use the install.py that is in it.")
    model, vsix = manifest.get("model"), manifest.get("vsix")
    valid = {
        "lacuna": _is_text(manifest.get("lacuna"), _VERSION),
        "platform": _is_text(manifest.get("platform"), NAME),
        "python": _is_text(manifest.get("python"), _VERSION),
        "model": model is None or _is_text(model, NAME),
        "vsix": vsix is None or _is_text(vsix, NAME),
        "files": all(map(_is_entry, manifest["files"].values())),
    }
    if invalid := next((name for name, is_valid in valid.items() if not is_valid), None):
        raise BundleError(f"The bundle's manifest has an invalid {invalid!r}. Do not use the bundle.")
    return manifest


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("bytes")) is int and isinstance(value.get("sha256"), str)


def _refuse_links(folder: Path) -> None:
    """Raises BundleError for links, which would copy files from elsewhere into the installation."""
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                relative = path.relative_to(folder).as_posix()
                raise BundleError(
                    f"The bundle contains {relative}, which is not a regular file or folder. Do not use it."
                )


def _check_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise BundleError(f"The bundle names a file outside itself: {name}. Do not use it.")
    file = folder / path
    if not file.is_file():
        raise BundleError(f"The bundle lacks {name}. Copy it again.")
    if file.stat().st_size != entry.get("bytes") or sha256_of(file) != entry.get("sha256"):
        raise BundleError(f"{name} has changed since the bundle was created (SHA-256). Copy the bundle again.")


def _files(folder: Path) -> Iterator[str]:
    return (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _require_space(into: Path, folder: Path) -> None:
    needed = _SPACE_FACTOR * sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    existing = into
    while not existing.exists():
        existing = existing.parent
    if (free := shutil.disk_usage(existing).free) < needed:
        raise BundleError(
            f"{needed / 1e9:.1f} GB are needed, and {existing} has {free / 1e9:.1f} GB free."
            " Choose another folder with --into."
        )


def _build(folder: Path, manifest: dict[str, Any], target: Path, report: Report) -> None:
    """Installs the unpacked bundle in `folder` into `target`. Writes the manifest last, to mark it complete."""
    shutil.rmtree(target, ignore_errors=True)  # remains of an interrupted installation
    report("creating a virtual environment")
    try:
        target.mkdir(parents=True)
        venv.create(target / "venv", with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"{target} cannot be created: {error}. Choose another folder with --into.") from None
    report("installing the packages")
    pip = [str(_program(target, "python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--find-links", str(folder / "wheels"), f"lacuna-lsp=={manifest['lacuna']}"]
    _run([*pip, *offline])
    if manifest.get("model"):
        report("copying the model")
        shutil.copytree(folder / "models" / manifest["model"], target / "models" / manifest["model"])
    if manifest.get("vsix"):
        shutil.copy2(folder / manifest["vsix"], target / "lacuna.vsix")
    report("checking the installation: lacuna doctor")
    _run([str(_program(target, "lacuna")), "doctor", *_model_options(target, manifest)])
    shutil.copy2(folder / MANIFEST, target / MANIFEST)


def _model_options(target: Path, manifest: dict[str, Any]) -> list[str]:
    return ["--model", str(target / "models" / manifest["model"])] if manifest.get("model") else []


def _program(target: Path, name: str) -> Path:
    return target / "venv" / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def _run(command: list[str]) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline, cwd=tempfile.gettempdir())
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
        raise BundleError(f"{' '.join(Path(part).name for part in command[:4])} failed: {last_line}")


def _write_launcher(target: Path, into: Path, manifest: dict[str, Any]) -> Path:
    """Switches the launcher atomically to the installation in `target`. Returns the launcher's path."""
    program, model = _program(target, "lacuna"), _model_options(target, manifest)
    folder = into / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        set_model = f"set LACUNA_MODEL={model[1]}\r\n" if model else ""
        launcher, text = folder / "lacuna.cmd", f'@echo off\r\n{set_model}"{program}" %*\r\n'
    else:
        default = 'export LACUNA_MODEL="${LACUNA_MODEL:-$model}"'
        set_model = f"model={shlex.quote(model[1])}\n{default}\n" if model else ""
        launcher, text = folder / "lacuna", f'#!/bin/sh\n{set_model}exec {shlex.quote(str(program))} "$@"\n'
    unfinished = launcher.with_suffix(".new")
    unfinished.write_text(text, encoding="utf-8", newline="")
    unfinished.chmod(0o755)
    unfinished.replace(launcher)
    return launcher


if __name__ == "__main__":
    sys.exit(main())
