"""What of an answer leaves the file as readable as it was: no new syntax error, no indentation that nothing there has.

Languages without a grammar are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from lacuna_inference.text import BLANKS, indentation
from lacuna_server.core.cuts import Part, cuts
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot, with_lf
from lacuna_server.syntax.grammars import grammar_for
from lacuna_server.syntax.judge import Judge, judge_at
from lacuna_server.syntax.opened import unopened

_MOST_LINES_ABOVE = 200
"""That are read for the indentation of the blocks around the cursor."""


def readable(text: str, snapshot: Snapshot, stopped: bool = False) -> str | Withheld:
    """The longest beginning of `text`, with its indentation mended, with which the file has no more syntax errors.

    It may be unfinished. But if the model was `stopped` within a line after the first, whole statements are shown.
    """
    grammar = grammar_for(snapshot.uri_path or snapshot.path or "", snapshot.language)
    if grammar is None:
        return text
    judge = judge_at(with_lf(snapshot.prefix), with_lf(snapshot.suffix), grammar, snapshot.document_id)
    if judge is None:
        return text
    text = _mended(text, snapshot, judge)
    if stopped and "\n" in text:
        ends = (len(text), *_ends(text, judge))
        if (end := next((end for end in ends if judge.accepts(text[:end], whole=True)), None)) is not None:
            return text[:end].rstrip()
    if judge.accepts(text):
        return text
    return next((text[:end].rstrip() for end in _ends(text, judge) if judge.accepts(text[:end])), Withheld.NONSENSE)


def _ends(text: str, judge: Judge) -> Iterator[int]:
    """Where `text` may be cut, the longest first: behind lines and calls, and before brackets that it did not open."""
    ends = {cut.end for cut in cuts(text) if cut.part is not Part.WORD}
    ends |= {end for end in unopened(text, judge.grammar) if text[:end].strip()}
    return (end for end in sorted(ends, reverse=True) if end < len(text))


def _mended(text: str, snapshot: Snapshot, judge: Judge) -> str:
    """`text` without the indentation that the cursor's line has already, where it would be one that nothing there has.

    If the lines that follow are moved as the first one is, they are moved back.
    """
    typed = snapshot.line_before
    lead = text[: len(text) - len(text.lstrip(BLANKS))]
    if not lead or not typed or typed.strip() or any(one.closer != "}" for one in judge.opened):
        return text
    if not _is_doubled(indentation(typed), indentation(typed + lead), snapshot, judge):
        return text
    first, *rest = text[len(lead) :].split("\n")
    if all(line.startswith(typed + lead) for line in rest if line.strip()):
        rest = [line[: len(typed)] + line[len(typed + lead) :] if line.strip() else line for line in rest]
    return "\n".join([first, *rest])


def _is_doubled(typed: int, column: int, snapshot: Snapshot, judge: Judge) -> bool:
    """Whether no line may be indented to `column`, and one may to where the cursor is."""
    above = with_lf(snapshot.lines_around()[0]).split("\n")[-_MOST_LINES_ABOVE:]
    lines = [line for line in above if line.strip()]
    if not lines:
        return False
    last, width = lines[-1].rstrip(), indentation(lines[-1])
    levels: set[int] = set()
    for line in reversed(lines):
        if not levels or indentation(line) < min(levels):
            levels.add(indentation(line))
    if last.endswith(":" if judge.grammar.indents else "{"):
        return typed > width
    if not judge.grammar.indents and not last.endswith((";", "}")):
        return False
    return column not in levels and typed in levels
