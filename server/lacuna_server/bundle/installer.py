"""Installs a bundle. Needs nothing but Python: it travels in the bundle as install.py, to where no Lacuna is yet.

    python3 install.py [BUNDLE.tar] [--into FOLDER]

Everything is checked before anything is written, a version stands in a folder of its own, and only when it works does
the launcher lead to it: an older one that is running keeps what it runs on.
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
"""The folder that a bundle unpacks to."""
MANIFEST = "manifest.json"
NAME = re.compile(r"\w[\w .+@-]*")
"""Of a model, a platform, a file: one part of a path, and nothing that a shell or `..` could make something of."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")
_CHUNK = 2**20
_SPACE = 4
"""A bundle needs so many times its size: unpacked, and installed."""
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
Tell = Callable[[str], None]


class BundleError(Exception):
    """What is wrong with a bundle, and what to do."""


def main() -> int:
    """The command line of install.py."""
    parser = argparse.ArgumentParser(description="Install Lacuna from a bundle, without a network.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--into", type=Path, default=default_place())
    asked = parser.parse_args()
    try:
        launcher = install(asked.bundle, asked.into, lambda line: print(line, flush=True))  # noqa: T201
    except BundleError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"Installed. Run: {launcher}")  # noqa: T201
    return 0


def default_place() -> Path:
    """Where Lacuna is installed unless somebody says otherwise."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "lacuna"
    return Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local" / "share"))) / "lacuna"


def here() -> str:
    """This machine's platform as bundles name it, for example `linux-x86_64`."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{system}-{machine}"


def python_here() -> str:
    """The version of Python that runs this, for example `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def install(bundle: Path, into: Path, tell: Tell) -> Path:
    """Installs `bundle`, a tar file or what it unpacks to, below `into`; the launcher's path.

    Raises BundleError before anything of an older installation is touched.
    """
    with opened(bundle) as folder:
        tell("checking every file")
        manifest = checked(folder)
        place = into / "versions" / name_of(manifest)
        if not (place / MANIFEST).is_file():
            _require_room(into, folder)
            try:
                _build(folder, manifest, place, tell)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
        else:
            tell(f"{place.name} is installed already")
    return _lead_to(place, into, manifest)


def checked(folder: Path, platform_matters: bool = True) -> dict[str, Any]:
    """The manifest of an unpacked bundle that is whole and meant for this machine. Raises BundleError for another."""
    manifest = _manifest(folder)
    _refuse_links(folder)
    files, wanted = manifest["files"], (manifest["platform"], manifest["python"])
    if platform_matters and wanted != (here(), python_here()):
        raise BundleError(
            f"The bundle is for Python {wanted[1]} on {wanted[0]}, and this is Python {python_here()} on {here()}."
            f" Make another: lacuna bundle create --platform {here()} --python {python_here()}."
        )
    for name, known in files.items():
        _check(folder, name, known)
    for part, name in (("model", f"models/{manifest.get('model')}/config.json"), ("vsix", manifest.get("vsix"))):
        if manifest.get(part) and name not in files:
            raise BundleError(f"The bundle lacks {name}. Copy it again.")
    extra = sorted(set(_files(folder)) - set(files) - {MANIFEST, "install.py"})
    if extra:
        raise BundleError(f"The bundle holds {extra[0]}, which its manifest does not know. Copy the bundle again.")
    return manifest


def name_of(manifest: dict[str, Any]) -> str:
    """The version, and a few signs that tell bundles of one version apart."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return f"{manifest['lacuna']}-{digest[:8]}"


def sha256_of(file: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """The folder that `bundle` unpacks to, or is. Raises BundleError for a file that is no whole tar file."""
    if bundle.is_dir():
        yield bundle
        return
    if not bundle.is_file():
        raise BundleError(f"There is no bundle {bundle}.")
    with tempfile.TemporaryDirectory(prefix="lacuna-bundle-", dir=bundle.resolve().parent) as place:
        try:
            with tarfile.open(bundle, "r:") as archive:
                archive.extractall(place, members=_harmless(archive), **_FILTER)  # noqa: S202
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BundleError(f"{bundle} is damaged or not whole ({error}). Copy it again.") from None
        yield Path(place) / TOP


def _harmless(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Plain files and folders inside the one folder of a bundle; early releases of Python 3.11 would take anything."""
    for member in archive:
        path = PurePosixPath(member.name)
        inside = path.parts[:1] == (TOP,) and ".." not in path.parts
        if not inside or not (member.isreg() or member.isdir()):
            raise BundleError(f"The bundle holds {member.name}, which no bundle of Lacuna holds. Do not use it.")
        yield member


def _manifest(folder: Path) -> dict[str, Any]:
    """What the bundle says of itself, with every field as it must be: the names in it become paths and versions."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BundleError(f"{folder} is no bundle of Lacuna. Make one: lacuna bundle create.")
    if manifest.get("format") != FORMAT:
        raise BundleError("The bundle was made by another version of Lacuna. Use the install.py that is in it.")
    model, vsix = manifest.get("model"), manifest.get("vsix")
    sound = {
        "lacuna": _is_text(manifest.get("lacuna"), _VERSION),
        "platform": _is_text(manifest.get("platform"), NAME),
        "python": _is_text(manifest.get("python"), _VERSION),
        "model": model is None or _is_text(model, NAME),
        "vsix": vsix is None or _is_text(vsix, NAME),
        "files": all(map(_is_entry, manifest["files"].values())),
    }
    if wrong := next((name for name, fits in sound.items() if not fits), None):
        raise BundleError(f"The bundle's manifest says something impossible as {wrong!r}. Do not use the bundle.")
    return manifest


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("bytes")) is int and isinstance(value.get("sha256"), str)


def _refuse_links(folder: Path) -> None:
    """A link in an unpacked bundle would have files from elsewhere copied into the installation."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                inside = path.relative_to(folder).as_posix()
                raise BundleError(f"The bundle holds {inside}, which is no plain file or folder. Do not use it.")


def _check(folder: Path, name: str, known: dict[str, Any]) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise BundleError(f"The bundle names a file outside itself: {name}. Do not use it.")
    file = folder / path
    if not file.is_file():
        raise BundleError(f"The bundle lacks {name}. Copy it again.")
    if file.stat().st_size != known.get("bytes") or sha256_of(file) != known.get("sha256"):
        raise BundleError(f"{name} is not what it was when the bundle was made (SHA-256). Copy the bundle again.")


def _files(folder: Path) -> Iterator[str]:
    return (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _require_room(into: Path, folder: Path) -> None:
    needed = _SPACE * sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    place = into
    while not place.exists():
        place = place.parent
    if (free := shutil.disk_usage(place).free) < needed:
        raise BundleError(
            f"{needed / 1e9:.1f} GB are needed, and {place} has {free / 1e9:.1f} GB free."
            " Choose another place with --into."
        )


def _build(folder: Path, manifest: dict[str, Any], place: Path, tell: Tell) -> None:
    shutil.rmtree(place, ignore_errors=True)  # of an installation that was broken off
    tell("making a virtual environment")
    try:
        place.mkdir(parents=True)
        venv.create(place / "venv", with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"{place} cannot be made: {error}. Choose another place with --into.") from None
    tell("installing the packages")
    program = [str(_program(place, "python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--find-links", str(folder / "wheels"), f"lacuna-lsp=={manifest['lacuna']}"]
    _run([*program, *offline])
    if manifest.get("model"):
        tell("copying the model")
        shutil.copytree(folder / "models" / manifest["model"], place / "models" / manifest["model"])
    if manifest.get("vsix"):
        shutil.copy2(folder / manifest["vsix"], place / "lacuna.vsix")
    tell("trying it: lacuna doctor")
    _run([str(_program(place, "lacuna")), "doctor", *_model(place, manifest)])
    shutil.copy2(folder / MANIFEST, place / MANIFEST)


def _model(place: Path, manifest: dict[str, Any]) -> list[str]:
    return ["--model", str(place / "models" / manifest["model"])] if manifest.get("model") else []


def _program(place: Path, name: str) -> Path:
    return place / "venv" / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def _run(command: list[str]) -> None:
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet, cwd=tempfile.gettempdir())
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
        raise BundleError(f"{' '.join(Path(part).name for part in command[:4])} failed: {said}")


def _lead_to(place: Path, into: Path, manifest: dict[str, Any]) -> Path:
    """Has the launcher start what is in `place`, from one moment to the next."""
    program, model = _program(place, "lacuna"), _model(place, manifest)
    folder = into / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        chosen = f"set LACUNA_MODEL={model[1]}\r\n" if model else ""
        launcher, text = folder / "lacuna.cmd", f'@echo off\r\n{chosen}"{program}" %*\r\n'
    else:
        default = 'export LACUNA_MODEL="${LACUNA_MODEL:-$model}"'
        chosen = f"model={shlex.quote(model[1])}\n{default}\n" if model else ""
        launcher, text = folder / "lacuna", f'#!/bin/sh\n{chosen}exec {shlex.quote(str(program))} "$@"\n'
    unfinished = launcher.with_suffix(".new")
    unfinished.write_text(text, encoding="utf-8", newline="")
    unfinished.chmod(0o755)
    unfinished.replace(launcher)
    return launcher


if __name__ == "__main__":
    sys.exit(main())
