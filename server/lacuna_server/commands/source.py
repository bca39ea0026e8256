"""A file with holes: read, and written with their fills, every other byte as it was."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from lacuna_inference.errors import BadRequest
from lacuna_server.core import languages
from lacuna_server.core.snapshot import Snapshot

HOLE = "<FILL>"
STDIN = "-"
_BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")
_POSITION = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class SourceText:
    """`parts` are the texts around the holes, as they stand in the file but for its byte order mark.

    `path` is None for standard input.
    """

    parts: tuple[str, ...]
    path: str | None = None
    has_bom: bool = False

    @property
    def snapshot(self) -> Snapshot:
        """The whole text with the cursor in its first hole."""
        text = "".join(self.parts)
        return Snapshot(
            text, len(self.parts[0]), self.path, language=languages.of_first_line(text), uri_path=self.path or ""
        )

    def woven(self, fills: Sequence[str]) -> str:
        """The text with `fills` in its holes, their line ends as the file's."""
        line_end = line_end_of("".join(self.parts))
        fitted = [fill.replace("\n", line_end) for fill in fills]
        return "".join(text for pair in zip_longest(self.parts, fitted, fillvalue="") for text in pair)

    def written(self, fills: Sequence[str]) -> bytes:
        """The bytes of the file with `fills` in its holes."""
        return ((_BOM if self.has_bom else "") + self.woven(fills)).encode()


def read(file: str, at: str | None = None) -> SourceText:
    """`file`, or standard input for `-`, with a hole at the cursor `at`, or with the holes that are marked in it.

    Raises BadRequest for what is no UTF-8 text file, for a place outside the text, and where there is no hole.
    """
    text = _text(file)
    has_bom = text.startswith(_BOM)
    text = text.removeprefix(_BOM)
    path = None if file == STDIN else os.fsencode(file).decode(errors="replace")  # a name may be no UTF-8
    if at is not None:
        offset = offset_at(text, at)
        return SourceText((text[:offset], text[offset:]), path, has_bom)
    parts = tuple(text.split(HOLE))
    if len(parts) == 1:
        raise BadRequest("There is no place to complete.", f"Give --at LINE:COLUMN, or write {HOLE} into the text.")
    return SourceText(parts, path, has_bom)


def offset_at(text: str, at: str) -> int:
    """Offset of LINE:COLUMN, both from 1; columns count characters. Raises BadRequest for a place outside the text."""
    found = _POSITION.fullmatch(at)
    if found is None:
        raise BadRequest(f"{at!r} is no position.", "Write LINE:COLUMN, both from 1, for example --at 12:5.")
    line, column = map(int, found.groups())
    ends = [*_LINE_END.finditer(text)]
    if not 1 <= line <= len(ends) + 1:
        raise BadRequest(
            f"Line {line} is outside the text, which has {len(ends) + 1} lines.", "Check --at LINE:COLUMN."
        )
    start = ends[line - 2].end() if line > 1 else 0
    length = (ends[line - 1].start() if line <= len(ends) else len(text)) - start
    if not 1 <= column <= length + 1:
        raise BadRequest(
            f"Column {column} is outside line {line}, which has {length} characters.", "Check --at LINE:COLUMN."
        )
    return start + column - 1


def line_end_of(text: str) -> str:
    """The line end that `text` has most often; of equally many the first, and LF where there is none."""
    return next((end for end, _ in Counter(_LINE_END.findall(text)).most_common(1)), "\n")


def _text(file: str) -> str:
    """What stands in `file`."""
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRequest(f"{file or repr(file)} cannot be read: {reason}.", "Check the path.") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    if "\0" in text:
        raise BadRequest(f"{file} is a binary file.", "Name a source file.")
    return text
