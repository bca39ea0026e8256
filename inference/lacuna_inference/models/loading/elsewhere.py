"""Models in programs' own folders: Lacuna's, LM Studio's and llama.cpp's by their names, beside Ollama's.

`lacuna:NAME`, `lmstudio:PUBLISHER/REPO/FILE` or a part of it, `llama.cpp:FILE`, `ollama:NAME:TAG`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lacuna_inference.errors import LacunaError, ModelNotFound
from lacuna_inference.models.gguf.header import first_part
from lacuna_inference.models.loading import ollama, places
from lacuna_inference.models.loading.files import listed
from lacuna_inference.models.loading.gguf_files import SUFFIX, has_suffix, is_beside

OWN, OLLAMA, LM_STUDIO, LLAMA_CPP = "lacuna", "ollama", "lmstudio", "llama.cpp"
_TITLES = {OWN: "Lacuna", LM_STUDIO: "LM Studio", LLAMA_CPP: "llama.cpp"}


def find(name: str) -> Path | None:
    """The GGUF file, or Lacuna's folder, of a name that begins with a program's; None if it begins otherwise.

    Raises ModelNotFound if the program has no such model, or several; ModelUnusable if it has no file that can be used.
    """
    program, colon, asked = name.partition(":")
    if not colon or not asked or program not in (OLLAMA, *_TITLES):
        return None
    if program == OLLAMA:
        return ollama.find(asked)
    known = dict({OWN: own_models, LM_STUDIO: _lm_studio, LLAMA_CPP: _llama_cpp}[program]())
    wanted = asked.lower().removesuffix(SUFFIX)
    matching = {shown: path for shown, path in known.items() if wanted in _spellings(shown)}
    if len(matching) == 1:
        return next(iter(matching.values()))
    if matching:
        names = listed(f"{program}:{shown}" for shown in matching)
        raise ModelNotFound(f"{name} may be {len(matching)} models ({names}).", "Name the file.")
    raise ModelNotFound(f"{_TITLES[program]} has no model {asked} on this disk.", "Run: lacuna models list")


def models() -> Iterator[tuple[str, Path | LacunaError]]:
    """Names of all models, with their programs', and the file or folder of each, or why it has none."""
    for shown, path in own_models():
        yield f"{OWN}:{shown}", path
    for shown, found in ollama.models():
        yield f"{OLLAMA}:{shown}", found
    for shown, path in _lm_studio():
        yield f"{LM_STUDIO}:{shown}", path
    for shown, path in _llama_cpp():
        yield f"{LLAMA_CPP}:{shown}", path


def own_models() -> Iterator[tuple[str, Path]]:
    """The models in Lacuna's own folder: the name and the folder of each."""
    with suppress(OSError):
        for path in sorted(places.own().iterdir()):
            if path.is_dir() and not path.name.startswith(".") and path.suffix != ".partial":
                yield path.name, path


def _lm_studio() -> Iterator[tuple[str, Path]]:
    for folder in places.lm_studio():
        for path in _files(folder, "*/*/*"):
            yield path.relative_to(folder).as_posix(), path


def _llama_cpp() -> Iterator[tuple[str, Path]]:
    for folder in places.llama_cpp():
        for path in _files(folder, "*"):
            yield path.name, path


def _files(folder: Path, pattern: str) -> list[Path]:
    """The models among the GGUF files that match, by their names."""
    with suppress(OSError):
        found = [path for path in folder.glob(pattern) if has_suffix(path) and not is_beside(path) and path.is_file()]
        return sorted({first_part(path) for path in found})
    return []


def _spellings(shown: str) -> set[str]:
    """What a model may be called: its file, with or without its folders, or the folders alone; in lower case."""
    parts = shown.lower().removesuffix(SUFFIX).split("/")
    runs = {"/".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
    wanted = runs - {parts[0]} | {parts[-1]}
    return wanted | {name.removesuffix("-gguf") for name in wanted}
