"""What both contestants are asked, and what they reply. Knows neither of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import EvaluationHole

LINES_BEFORE, LINES_AFTER = 60, 40
"""Lines around the cursor that are shown."""
N_PREDICT = 128
"""Tokens that llama.vim asks for."""


@dataclass(frozen=True, slots=True)
class Question:
    """Text around a hole, or the `ids` of a prompt to continue. `document` names the text that it is a version of.

    An editor asks by itself, so Lacuna may answer from a narrow window first, if `may_be_narrow`. That is for questions
    with time after them: the whole window is read while nobody asks.
    """

    prefix: str = ""
    suffix: str = ""
    path: str = "main.py"
    document: str = ""
    max_tokens: int = 64
    single_line: bool = True
    ids: tuple[int, ...] = ()
    may_be_narrow: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and its cost. `taken_s` runs from sending the question to having read the answer.

    `read` are the tokens of the prompt that were evaluated, in `read_s` seconds; `evaluated` are all tokens, with those
    of the answer and of drafts. `decoded` are the tokens of the answer after its first, written in `decode_s` seconds.
    """

    text: str
    taken_s: float
    read: int = 0
    read_s: float = 0.0
    evaluated: int = 0
    decoded: int = 0
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TypedKey:
    """The question at one key, and the rest of the line that was cut off."""

    question: Question
    truth: str


def typed_keys(file: SourceFile, count: int, max_tokens: int) -> list[TypedKey]:
    """At most `count` keys that type two lines of `file`, each key with the lines around them.

    The editor writes the indentation: a line begins behind it, and the key between the lines is Enter.
    """
    lines = file.text.split("\n")
    first = two_lines(file.text, count)
    if first is None:
        return []
    before = "".join(f"{line}\n" for line in lines[max(0, first - LINES_BEFORE) : first])
    after = "".join(f"\n{line}" for line in lines[first + 2 : first + 2 + LINES_AFTER])
    keys: list[TypedKey] = []
    for number, line in enumerate(lines[first : first + 2]):
        indent = _indent(line)
        for typed in range(indent + (number == 0), len(line) + 1):
            question = Question(before + line[:typed], after, file.name, f"{file.path or file.name} typed", max_tokens)
            keys.append(TypedKey(question, line[typed:]))
        before += f"{line}\n"
    return keys[:count]


def two_lines(text: str, count: int) -> int | None:
    """The index of the first of two lines of code with `count` characters, near the middle; else of the longest two.

    None without two lines of code. A line of a comment or a docstring is no code where the text is Python.
    """
    lines = text.split("\n")
    code = _code_lines(text, lines)
    pairs = [n for n in range(len(lines) - 1) if n in code and n + 1 in code]
    if not pairs:
        return None
    lengths = {n: sum(len(line.strip()) for line in lines[n : n + 2]) for n in pairs}
    enough = [n for n in pairs if lengths[n] >= count]
    return min(enough, key=lambda n: abs(n - len(lines) / 2)) if enough else max(pairs, key=lambda n: lengths[n])


def windowed(hole: EvaluationHole, document: str, max_tokens: int) -> Question:
    """A hole of a line in a file, with the lines around it."""
    before, after = hole.prefix.split("\n"), hole.suffix.split("\n")
    prefix = "\n".join(before[-LINES_BEFORE - 1 :])
    return Question(prefix, "\n".join(after[: LINES_AFTER + 1]), hole.file.name, document, max_tokens)


def cold_window(file: SourceFile, characters: int, max_tokens: int) -> Question:
    """A question in the middle of `file` with about `characters` around it, three fifths of them before."""
    text, middle = file.text, file.text.find("\n", len(file.text) // 2)
    line_start = text.rfind("\n", 0, middle) + 1
    at = line_start + _indent(text[line_start:])
    start = text.rfind("\n", 0, max(0, at - characters * 3 // 5)) + 1
    end = text.find("\n", middle + characters * 2 // 5)
    after = text[middle : end if end >= 0 else None]
    return Question(text[start:at], after, file.name, f"{file.path} cold", max_tokens, may_be_narrow=True)


def _code_lines(text: str, lines: Sequence[str]) -> set[int]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {n for n, line in enumerate(lines) if line.strip()}
    return set(_statement_lines(tree))


def _statement_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and not is_text:
            yield node.lineno - 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
