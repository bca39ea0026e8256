"""Where a text ends: newline, dedent, number of lines, CodeGen's patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import Stop, StopReason
from lacuna_inference.decoding.stopping import TextStop, certain_length, text_stop, truncate_before


@pytest.mark.parametrize(
    ("text", "stop", "cut", "reason"),
    [
        ("x + y\nz", Stop(single_line=True), "x + y", StopReason.NEWLINE),
        ("\nz", Stop(single_line=True), "", StopReason.NEWLINE),
        ("x + y\r\nz", Stop(single_line=True), "x + y", StopReason.NEWLINE),
        ("\r\nz", Stop(single_line=True), "", StopReason.NEWLINE),
        ("a\r\nb\r\nc", Stop(max_lines=2), "a\r\nb", StopReason.MAX_LINES),
        ("a = 1\n    b = 2\nc", Stop(dedent_below=4), "a = 1\n    b = 2", StopReason.DEDENT),
        ("a = 1\n\n\n  c", Stop(dedent_below=4), "a = 1", StopReason.DEDENT),
        ("a\n\tb\nc", Stop(dedent_below=4), "a\n\tb", StopReason.DEDENT),
        ("a\nb\nc\nd", Stop(max_lines=3), "a\nb\nc", StopReason.MAX_LINES),
        ("a\n    b\nc\nd\ne", Stop(dedent_below=4, max_lines=4), "a\n    b", StopReason.DEDENT),
    ],
)
def test_cut(text: str, stop: Stop, cut: str, reason: StopReason) -> None:
    end = text_stop(text, stop)
    assert end is not None
    assert (text[: end[0]], end[1]) == (cut, reason)


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
def test_truncate_before_pattern_matches_codegen_s_tokenizer(text: str, patterns: list[str], cut: str) -> None:
    assert truncate_before(text, patterns) == cut


def test_no_lines_at_all_is_an_empty_text() -> None:
    assert text_stop("a\nb", Stop(max_lines=0)) == (0, StopReason.MAX_LINES)


STOPS = st.builds(
    Stop,
    single_line=st.booleans(),
    dedent_below=st.one_of(st.none(), st.integers(0, 5)),
    max_lines=st.one_of(st.none(), st.integers(0, 6)),
    strings=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=2).map(tuple),
)


PIECES = st.lists(st.text("ab \t\r\n", max_size=6), max_size=12)


@given(PIECES, STOPS)
def test_a_streamed_text_ends_where_the_whole_text_does(chunks: list[str], stop: Stop) -> None:
    in_chunks, text = TextStop(stop), ""
    for chunk in chunks:
        text += chunk
        found = in_chunks.find(text)
        assert found == text_stop(text, stop)
        if found is not None:
            return


@given(PIECES, STOPS)
def test_no_rule_cuts_what_was_already_told(chunks: list[str], stop: Stop) -> None:
    whole = "".join(chunks)
    cut = text_stop(whole, stop)
    end = cut[0] if cut else len(whole)
    text = ""
    for chunk in chunks:
        if text_stop(text + chunk, stop) is not None:
            break
        text += chunk
        assert certain_length(text, stop) <= end
