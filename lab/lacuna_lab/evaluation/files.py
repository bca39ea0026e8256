"""The source files to evaluate on: packages that the bundled model never saw, or the user's own files."""

from __future__ import annotations

import random
from dataclasses import dataclass
from importlib import metadata, resources
from itertools import islice
from pathlib import Path

from lacuna_inference.errors import BadRequest
from lacuna_inference.text import parses

MIN_CHARACTERS, MAX_CHARACTERS = 400, 60_000
_INSTALLED = frozenset({"site-packages", "node_modules"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and the package or folder that it belongs to; `path` distinguishes files of the same name."""

    group: str
    name: str
    text: str
    path: str = ""


def held_out_packages() -> list[str]:
    """Names of the packages that the bundled model was never trained on."""
    listed = resources.files("lacuna_inference") / "bundled" / "held_out.txt"
    return [line for line in listed.read_text(encoding="utf-8").splitlines() if line]


def held_out(count: int, seed: int) -> list[SourceFile]:
    """`count` files of the held-out packages that are installed here, taken from each package in rotation.

    Raises BadRequest when none is installed.
    """
    packages = {name: _package_files(name) for name in held_out_packages()}
    packages = {name: files for name, files in packages.items() if files}
    if not packages:
        raise BadRequest("None of the held-out packages is installed.", "Name files with --files.")
    rng = random.Random(seed)
    for files in packages.values():
        rng.shuffle(files)
    chosen: list[SourceFile] = []
    while len(chosen) < count and any(packages.values()):
        for name, files in packages.items():
            while files and len(chosen) < count:
                source = _read(name, files.pop())
                if source is not None:
                    chosen.append(source)
                    break
    return chosen


def from_paths(paths: list[Path], count: int, seed: int) -> list[SourceFile]:
    """`count` Python files below `paths`, except those in hidden folders or of installed packages.

    Raises BadRequest when there is none.
    """
    named = [(path, file) for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    found = sorted({file for path, file in named if not _hidden(path, file) and not _installed(path, file)})
    random.Random(seed).shuffle(found)
    readable = (source for file in found if (source := _read(file.parent.name, file)) is not None)
    sources = list(islice(readable, count))
    if not sources:
        raise BadRequest(f"There is no Python file to use in {', '.join(map(str, paths))}.", "Name other files.")
    return sources


def any_text(paths: list[Path], option: str = "--text") -> list[SourceFile]:
    """Files of any language: named files, and below named folders the UTF-8 files of a typical source file's length.

    Raises BadRequest for a path that does not exist, and when there is no text; `option` names other paths.
    """
    if missing := next((path for path in paths if not path.exists()), None):
        raise BadRequest(f"There is no file or folder {missing}.", f"Name another with {option}.")
    named = [(path, file) for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    own = [(path, file) for path, file in named if not _hidden(path, file) and not _installed(path, file)]
    texts = [(path, file, _text(file)) for path, file in own if file.is_file()]
    found = [
        SourceFile(file.parent.name, file.name, text, str(file))
        for path, file, text in texts
        if _fitting(path, file, text)
    ]
    if not found:
        raise BadRequest(f"There is no text in {', '.join(map(str, paths))}.", f"Name other files with {option}.")
    return found


def _hidden(path: Path, file: Path) -> bool:
    return file != path and any(part.startswith(".") for part in file.relative_to(path).parts)


def _installed(path: Path, file: Path) -> bool:
    return file != path and not _INSTALLED.isdisjoint(file.relative_to(path).parts)


def _fitting(path: Path, file: Path, text: str) -> bool:
    """Named files are taken as they are; below a folder the length must be that of a source file."""
    return bool(text.strip()) and (file == path or MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError):
        return ""


def _package_files(name: str) -> list[Path]:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return []
    return sorted(Path(str(file.locate())) for file in files if file.suffix == ".py" and "tests" not in file.parts)


def _read(group: str, path: Path) -> SourceFile | None:
    """The file, or None when it is too short, too long, not UTF-8 or not Python."""
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError):
        return None
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS or not parses(text):
        return None
    return SourceFile(group, path.name, text, str(path))
