"""A file with holes: reads it, and fills the holes while keeping every other byte."""

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
    """`parts` are the texts around the holes, exactly as in the file except for its byte order mark.

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

    def filled(self, fills: Sequence[str]) -> str:
        """The text with `fills` in its holes, with the file's line ends."""
        line_end = line_end_of("".join(self.parts))
        converted = [fill.replace("\n", line_end) for fill in fills]
        return "".join(text for pair in zip_longest(self.parts, converted, fillvalue="") for text in pair)

    def filled_bytes(self, fills: Sequence[str]) -> bytes:
        """The bytes of the file with `fills` in its holes."""
        return ((_BOM if self.has_bom else "") + self.filled(fills)).encode()


def read(file: str, at: str | None = None) -> SourceText:
    """Reads `file`, or standard input for `-`, with a hole at the cursor `at`, or with the holes marked in it.

    Raises BadRequest for a file that is not UTF-8 text, for a position outside the text, and if there is no hole.
    """
    text = _text(file)
    has_bom = text.startswith(_BOM)
    text = text.removeprefix(_BOM)
    path = None if file == STDIN else os.fsencode(file).decode(errors="replace")  # a name may not be UTF-8
    if at is not None:
        offset = offset_at(text, at)
        return SourceText((text[:offset], text[offset:]), path, has_bom)
    parts = tuple(text.split(HOLE))
    if len(parts) == 1:
        raise BadRequest("There is nothing to complete.", f"Pass --at LINE:COLUMN, or write {HOLE} into the text.")
    return SourceText(parts, path, has_bom)


def offset_at(text: str, at: str) -> int:
    """Offset of LINE:COLUMN, both 1-based; columns count characters. Raises BadRequest if it is outside the text."""
    match = _POSITION.fullmatch(at)
    if match is None:
        raise BadRequest(f"{at!r} is not a position.", "Write LINE:COLUMN, both from 1, for example --at 12:5.")
    line, column = map(int, match.groups())
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
    """The most frequent line end of `text`, the first one on a tie; LF if there is none."""
    return next((end for end, _ in Counter(_LINE_END.findall(text)).most_common(1)), "\n")


def _text(file: str) -> str:
    """The content of `file`."""
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
