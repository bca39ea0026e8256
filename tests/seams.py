"""Lines of real code with a cursor inside a pair of quotes or brackets, completed by an editor and a model."""

from __future__ import annotations

import io
import random
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.core.trimming import trim

_CLOSER_OF = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair on one line: columns where its inside begins and ends, and the text that closes it."""

    row: int
    start: int
    end: int
    closer: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A cursor inside `pair`. `closers` close all pairs of the line that are open there, the innermost first."""

    line: str
    column: int
    pair: Pair
    closers: str


def cursors(text: str, pairs: list[Pair], seed: int) -> Iterator[Cursor]:
    """For each pair a cursor after its opener, and one somewhere inside that does not cut a word."""
    chance = random.Random(seed)
    lines = text.split("\n")
    for pair in pairs:
        line = lines[pair.row]
        inside = [c for c in range(pair.start + 1, pair.end + 1) if not re.match(r"\w\w", line[c - 1 : c + 1])]
        for column in {pair.start, chance.choice(inside or [pair.start])}:
            around = [p for p in pairs if p.row == pair.row and p.start <= column <= p.end]
            closers = "".join(p.closer for p in sorted(around, key=lambda p: p.end))
            innermost = around and min(around, key=lambda p: (p.end, -p.start)) == pair
            if innermost and (line[column : pair.end].strip() or column == pair.end):
                yield Cursor(line, column, pair, closers)


def wrong(cursor: Cursor, lines: list[str], language: str, name: str) -> Iterator[str]:
    """The wrong lines that come out when the model answers with all of the line's rest.

    With the text after the pair already in the editor, the line must come out as it was written; with nothing there
    but the closers that the editor added, it must come out the same up to a closer, with no closer twice.
    """
    pair, before, rest = cursor.pair, cursor.line[: cursor.column], cursor.line[cursor.column :]
    inside = cursor.line[cursor.column : pair.end]
    for after in (cursor.line[pair.end :], cursor.closers):
        above = "".join(line + "\n" for line in lines[: pair.row])
        below = "".join("\n" + line for line in lines[pair.row + 1 :])
        text, offset = f"{above}{before}{after}{below}", len(above) + len(before)
        shown = trim(rest, Snapshot(text, offset, name, language=language, uri_path=name))
        kept = "" if isinstance(shown, Withheld) else shown
        line = f"{before}{kept}{after}"
        auto_closed = after == cursor.closers and (kept == inside or cursor.line.startswith(line))
        if line != cursor.line and not auto_closed:
            yield f"{before}|{after} + {rest} -> {line}"


def python_pairs(text: str) -> list[Pair]:
    """The strings and brackets of a Python text that end on the line on which they begin."""
    found: list[Pair] = []
    open_: list[tuple[str, int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (row, column), (last, end) = token.start, token.end
        if token.type == tokenize.STRING and row == last:
            opener = re.match(r"""\w*("{3}|'{3}|"|')""", token.string)
            assert opener is not None
            found.append(Pair(row - 1, column + opener.end(), end - len(opener[1]), opener[1]))
        elif token.type == tokenize.OP and token.string in _CLOSER_OF:
            open_.append((token.string, row, end))
        elif token.type == tokenize.OP and token.string in _CLOSER_OF.values() and open_:
            opener_, opened, start = open_.pop()
            if opened == row and _CLOSER_OF[opener_] == token.string:
                found.append(Pair(row - 1, start, column, token.string))
    return found


_BRACE_LANGUAGE = re.compile(
    r"""//.*|/\*.*?\*/|(?P<quote>["'])(?:\\.|(?!(?P=quote)).)*(?P=quote)|[()\[\]{}]|'|"|/\*.*"""
)


def brace_pairs(text: str) -> list[Pair]:
    """The strings and brackets of a C++ text that end on the line on which they begin.

    It works line by line, so comments and raw strings of several lines are left out, with all below up to a line that
    ends them.
    """
    found: list[Pair] = []
    inside = ""
    for row, line in enumerate(text.split("\n")):
        if inside:
            inside = "" if inside in line else inside
            continue
        if 'R"' in line or line.endswith("\\"):
            break
        open_: list[tuple[str, int]] = []
        for match in _BRACE_LANGUAGE.finditer(line):
            symbol = match.group()
            if symbol.startswith("/*") and not symbol.endswith("*/"):
                inside = "*/"
            elif match["quote"]:
                found.append(Pair(row, match.start() + 1, match.end() - 1, match["quote"]))
            elif symbol in _CLOSER_OF:
                open_.append((symbol, match.end()))
            elif symbol in _CLOSER_OF.values() and open_:
                opener, start = open_.pop()
                if _CLOSER_OF[opener] == symbol:
                    found.append(Pair(row, start, match.start(), symbol))
    return found


def python_files() -> list[Path]:
    """The standard library's modules."""
    found = Path(io.__file__).parent.rglob("*.py")
    return sorted(file for file in found if "site-packages" not in file.parts)


def brace_files() -> list[Path]:
    """The C++ headers that come with torch."""
    return sorted((Path(torch.__file__).parent / "include").rglob("*.h"))


def sweep(language: str, count: int, a_file: int, seed: int = 0) -> tuple[int, list[str]]:
    """Tries about `count` cursors, at most `a_file` in each file; returns how many were tried, and what was wrong."""
    pairs_of = python_pairs if language == "python" else brace_pairs
    files = python_files() if language == "python" else brace_files()
    chance = random.Random(seed)
    chance.shuffle(files)
    tried, found = 0, []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            here = list(cursors(text, pairs_of(text), seed))
        except (UnicodeDecodeError, SyntaxError, tokenize.TokenError):  # test data of the standard library
            continue
        lines = text.split("\n")
        for cursor in chance.sample(here, min(a_file, len(here))):
            tried += 2
            found += [
                f"{file.name}:{cursor.pair.row + 1}: {line}" for line in wrong(cursor, lines, language, file.name)
            ]
        if tried >= count:
            break
    return tried, found
