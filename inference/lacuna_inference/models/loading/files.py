"""The files of a model folder: its JSON, and which files are its weights. Reads headers, never tensors."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.damage import AGAIN, damaged, head


@dataclass(frozen=True, slots=True)
class Format:
    """How the weights of a model are stored: the name of a single file, and of the index of several.

    Files that match `patterns` may be weights, except those that match `others`.
    """

    single: str
    index: str
    patterns: tuple[str, ...]
    others: re.Pattern[str]


SAFETENSORS = Format(
    "model.safetensors", "model.safetensors.index.json", ("*.safetensors",), re.compile(r"adapter_model\.safetensors")
)
PICKLED = Format(
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    ("pytorch_model*.bin", "*.pt", "*.pth"),
    re.compile(r"(optimizer|scheduler|scaler|rng_state|training_args|trainer_state|random_states|adapter_model).*"),
)
"""Files that a trainer writes next to a checkpoint (optimizer.pt, rng_state.pth) are not part of the model."""
BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model", "LICENSE*", "README*")
"""Files that belong to a model beside its weights: config, tokenizer, licence."""
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, in any Unicode encoding, with or without a byte order mark. Raises ModelUnusable."""
    try:
        content = json.loads(path.read_bytes())  # json detects the encoding of bytes
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnusable(f"{path} holds no JSON object.", AGAIN)
    return content


def begins_with_mark(path: Path) -> bool:
    """Whether `path` starts with a byte order mark, which most JSON parsers refuse."""
    return (head(path) or b"").startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def weight_files(folder: Path, kind: Format = SAFETENSORS) -> list[Path]:
    """The files of this kind that hold the model's weights, sorted; empty if the folder has none.

    The index decides. Without one it is the single file, or a complete set of numbered files, or the only file. Other
    files (an adapter, weights in another layout, leftover shards) do not count. Raises ModelUnusable when files are
    missing, or when the choice is ambiguous.
    """
    if (folder / kind.index).is_file():
        return _indexed(folder / kind.index)
    if (folder / kind.single).is_file():
        return [folder / kind.single]
    candidates = {file for pattern in kind.patterns for file in folder.glob(pattern)}
    weights = sorted(file for file in candidates if not kind.others.fullmatch(file.name))
    sets = {_set_of(file) for file in weights}
    if len(weights) == 1 and sets == {None}:
        return weights
    if len(sets) == 1 and (only_set := sets.pop()) is not None:
        return _complete(folder, *only_set)
    if not weights:
        return []
    raise ModelUnusable(
        f"{folder} has {len(weights)} files that may be its weights ({listed(file.name for file in weights)}), "
        f"and no {kind.index}.",
        "Leave only the model's own weights there, or fetch the model again.",
    )


def require_whole(paths: Iterable[Path]) -> None:
    """Raises ModelUnusable, naming the file, if one of these safetensors files is empty, truncated or damaged."""
    from safetensors import SafetensorError, safe_open

    for path in paths:
        try:
            with safe_open(path, framework="np"):  # compares the header with the file's length
                pass
        except SafetensorError as error:
            raise damaged(path, f"is cut off or damaged ({error})") from error
        except OSError as error:
            raise damaged(path, f"cannot be read: {error}") from error


def listed(names: Iterable[str]) -> str:
    """The first of `names` for a message."""
    shown = list(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def _indexed(index: Path) -> list[Path]:
    content = read_json(index).get("weight_map")
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content.values()):
        raise ModelUnusable(f"{index} has no weight_map that names the file of each tensor.", AGAIN)
    names = sorted(set(content.values()))
    if elsewhere := next((name for name in names if Path(name).name != name), None):
        raise ModelUnusable(f"{index} names a file that is not in its folder ({elsewhere}).", AGAIN)
    return _all_there(index.parent, names)


def _set_of(file: Path) -> tuple[str, int, str] | None:
    """Stem, size and suffix of the set of numbered files that `file` belongs to; None if it has no number."""
    match = _SHARD.fullmatch(file.name)
    return (match["stem"], int(match["count"]), match["suffix"]) if match else None


def _complete(folder: Path, stem: str, count: int, suffix: str) -> list[Path]:
    return _all_there(folder, [f"{stem}-{number:05}-of-{count:05}{suffix}" for number in range(1, count + 1)])


def _all_there(folder: Path, names: list[str]) -> list[Path]:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ModelUnusable(f"{folder} lacks {len(missing)} of {len(names)} weight files ({missing[0]}).", AGAIN)
    return [folder / name for name in names]
