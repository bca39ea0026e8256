"""The catalogue of published models that complete code: reads catalogue.toml. Knows nothing of what is on this disk."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

EVERY = "*"
"""In `languages`: the model completes many, which are not listed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A published model, and the files of it that are fetched; the fields are explained in catalogue.toml.

    `bytes` are those of the weight files, `context` is in tokens. `file` is a GGUF file, empty for safetensors;
    `sha256` is its sum, empty if it is not known. `login` says that the hub asks for an account that accepted the
    conditions.
    """

    name: str
    title: str
    bytes: int
    parameters: int
    licence: str
    languages: tuple[str, ...]
    family: str
    context: int
    shape: dict[str, Any]
    hub_id: str = ""
    file: str = ""
    sha256: str = ""
    conditions: bool = False
    login: bool = False
    unverified: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What `lacuna models fetch` and `--model` take: the hub id, with the file's name after a colon.

        Empty for the bundled model.
        """
        return f"{self.hub_id}:{self.file}" if self.file else self.hub_id

    @property
    def type(self) -> str:
        """The type of the weights in the files."""
        return "Q8_0" if self.file else "safetensors"

    def knows(self, languages: Collection[str]) -> bool:
        """Whether the model completes all of `languages`, by their LSP ids."""
        return EVERY in self.languages or set(languages) <= set(self.languages)


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, from the weakest to the strongest."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["model"]
    shapes = {row["name"]: row["shape"] for row in rows if "shape" in row}
    return tuple(_entry(row, shapes) for row in rows)


def find(name: str) -> Entry | None:
    """The entry called `name`, in any case; None if there is none."""
    return next((entry for entry in entries() if entry.name == name.lower()), None)


def _entry(row: dict[str, Any], shapes: dict[str, Any]) -> Entry:
    shape = shapes[row.pop("shape_of", row["name"])]
    lists: dict[str, Any] = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
    fields: dict[str, Any] = {**row, **lists, "shape": shape}
    return Entry(**fields)
