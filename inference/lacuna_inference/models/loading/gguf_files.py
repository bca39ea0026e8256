"""Which GGUF files of a folder are models, which one a name means, and whether a file is a language model at all.

Reads headers, never tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.header import GgufFile, first_part, read_start
from lacuna_inference.models.loading.files import listed

SUFFIX = ".gguf"
_BESIDE = re.compile(r".*(mmproj|imatrix).*|(mtp|eagle3|dflash|dspark)-.*", re.IGNORECASE)
"""Names of files that belong to a model without being one: projectors, importance matrices, heads that draft."""
_PURPOSES = {
    "adapter": "an adapter (LoRA)", "mmproj": "the projector of a multimodal model", "imatrix": "an importance matrix",
    "vocab": "a vocabulary",
}  # fmt: skip
_OTHER_TASKS = {
    "the projector of a multimodal model": {"clip", "mmproj"},
    "an embedding model": {
        "bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "modern-bert", "eurobert",
        "gemma-embedding", "llama-embed", "t5encoder",
    },
    "a model for speech": {"whisper", "wavtokenizer-dec", "parakeet"},
    "a model for images or video": {
        "flux", "sd1", "sdxl", "sd3", "aura", "hidream", "lumina2", "qwen_image", "ltxv", "hyvid", "wan", "cosmos",
    },
}  # fmt: skip


def has_suffix(path: Path) -> bool:
    """Whether the name of `path` ends as a GGUF file's does, in any case."""
    return path.suffix.lower() == SUFFIX


def is_beside(path: Path) -> bool:
    """Whether a file is, by its name, something that belongs to a model without being one."""
    return _BESIDE.fullmatch(path.name) is not None


def files_in(folder: Path) -> list[Path]:
    """The GGUF files in `folder` and one level below, where repositories put quantizations; a split one counts once."""
    found = [file for pattern in ("*", "*/*") for file in folder.glob(pattern) if has_suffix(file) and file.is_file()]
    return sorted({first_part(file) for file in found})


def models_in(folder: Path) -> list[Path]:
    """Those of `files_in` that are models: by their names and, if there are several, by the starts of their headers."""
    named = [file for file in files_in(folder) if not is_beside(file)]
    return named if len(named) < 2 else [file for file in named if not _is_no_model(file)]


def only_model(folder: Path, prefix: str) -> Path | None:
    """The one GGUF model in `folder`, or None if there is none. Raises ModelUnusable if there are several.

    `prefix` and a path in the folder name a file to the user.
    """
    models = models_in(folder)
    if len(models) > 1:
        names = [file.relative_to(folder).as_posix() for file in models]
        raise ModelUnusable(
            f"{folder} holds {len(models)} GGUF models ({listed(names)}).", f"Name one, such as {prefix}{names[0]}"
        )
    return models[0] if models else None


def named(folder: Path, asked: str) -> list[Path]:
    """The files in `folder` that `asked` means; see `chosen`."""
    return [folder / path for path in chosen([file.relative_to(folder).as_posix() for file in files_in(folder)], asked)]


def chosen(paths: Iterable[str], asked: str) -> list[str]:
    """Those of `paths`, relative and with slashes, that `asked` means; of a split model its first part.

    It is a path, a name, or a quantization such as `Q8_0`, in any case. The suffix of a name may be left out. Files
    that are by their names no models are found by their names only.
    """
    stems = {path: path.lower().removesuffix(SUFFIX) for path in paths if path.lower().endswith(SUFFIX)}
    stems = {path: stem for path, stem in stems.items() if first_part(Path(path)) == Path(path)}
    whole = asked.lower().removesuffix(SUFFIX) + SUFFIX
    wanted = first_part(Path(whole)).as_posix().removesuffix(SUFFIX)
    if exact := [path for path, stem in stems.items() if stem == wanted]:
        return exact
    if exact := [path for path, stem in stems.items() if stem.rpartition("/")[2] == wanted]:
        return exact
    tag = re.compile(rf"(^|[-._/]){re.escape(wanted)}([-./]|$)")
    return [path for path, stem in stems.items() if tag.search(stem) and not is_beside(Path(path))]


def why_no_language_model(file: GgufFile) -> str | None:
    """What `file` is if it is no model that writes text; None if it is one, as far as its header tells."""
    if (purpose := _PURPOSES.get(str(file.metadata.get("general.type", "model")))) is not None:
        return purpose
    if (task := _task_of(file.architecture)) is not None:
        return f"{task} ({file.architecture})"
    return None if file.tensors else _PURPOSES["vocab"]


def _is_no_model(path: Path) -> bool:
    """Whether the start of a header says that the file is no language model; a damaged one may be."""
    with suppress(ModelUnusable):
        start = read_start(path)
        kind, architecture = start.get("general.type", "model"), start.get("general.architecture", "")
        return str(kind) in _PURPOSES or _task_of(str(architecture)) is not None
    return False


def _task_of(architecture: str) -> str | None:
    return next((task for task, names in _OTHER_TASKS.items() if architecture in names), None)
