"""Where a text ends: newline, dedent, number of lines, CodeGen's patterns."""

from __future__ import annotations

import pytest

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.decode.stopping import text_stop, truncate_before


@pytest.mark.parametrize(
    ("text", "stop", "cut", "reason"),
    [
        ("x + y\nz", Stop(single_line=True), "x + y", StopReason.NEWLINE),
        ("\nz", Stop(single_line=True), "", StopReason.NEWLINE),
        ("a = 1\n    b = 2\nc", Stop(dedent_below=4), "a = 1\n    b = 2", StopReason.DEDENT),
        ("a = 1\n\n\n  c", Stop(dedent_below=4), "a = 1", StopReason.DEDENT),
        ("a\n\tb\nc", Stop(dedent_below=4), "a\n\tb", StopReason.DEDENT),
        ("a\nb\nc\nd", Stop(max_lines=3), "a\nb\nc", StopReason.MAX_LINES),
        ("a\n    b\nc\nd\ne", Stop(dedent_below=4, max_lines=4), "a\n    b", StopReason.DEDENT),
    ],
)
def test_cut(text: str, stop: Stop, cut: str, reason: StopReason) -> None:
    place = text_stop(text, stop)
    assert place is not None
    assert (text[: place[0]], place[1]) == (cut, reason)


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("x + y", Stop(single_line=True)),
        ("a = 1\n    b = 2\n    ", Stop(dedent_below=4)),
        ("a\n\n", Stop(dedent_below=4)),
        ("a\nb", Stop()),
        ("a\nb", Stop(max_lines=2)),
    ],
)
def test_go_on(text: str, stop: Stop) -> None:
    assert text_stop(text, stop) is None


@pytest.mark.parametrize(
    ("text", "patterns", "cut"),
    [
        ("return 1\n\n\nx", ["\n\n\n"], "return 1"),
        ("a\n\n# next\nb", ["\n\n^#", "^'''"], "a"),
        ("def f(): pass\ndef g(): pass", [], "def f(): pass\n"),
        ("print(1)\nx\nprint(2)\n", [], "print(1)\nx\n"),
        ("a\nb", ["^c"], "a\nb"),
    ],
)
def test_truncate_before_pattern_as_codegen_s_tokenizer_does(text: str, patterns: list[str], cut: str) -> None:
    assert truncate_before(text, patterns) == cut
