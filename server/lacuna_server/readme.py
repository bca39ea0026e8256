"""Writes the tables that follow from the code into the READMEs, between their marks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lacuna_inference.prompt.families import FAMILIES, Family, Part
from lacuna_server import settings
from lacuna_server.core import reasons


def families_table() -> str:
    """The prompt families as a Markdown table."""
    rows = ["| family | models | prompt for one hole |", "| --- | --- | --- |"]
    rows += [f"| `{family.name}` | {family.published} | {_layout(family)} |" for family in FAMILIES]
    return "\n".join(rows)


TABLES = {"settings": settings.table, "families": families_table, "reasons": reasons.table}


def filled(text: str) -> str:
    """`text` with every table between `<!-- NAME -->` and `<!-- /NAME -->` made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        content = table().replace("\\", "\\\\")
        text = pattern.sub(rf"\g<1>{content}\n\g<2>", text)
    return text


def _layout(family: Family) -> str:
    if family.infill is None:
        return "left to right"
    pieces = [piece.value if isinstance(piece, Part) else f"`{piece}`".replace("|", r"\|") for piece in family.infill]
    return " ".join(pieces)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(filled(file.read_text(encoding="utf-8")), encoding="utf-8")
