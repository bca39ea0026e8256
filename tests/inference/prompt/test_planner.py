"""Windows: how much of a long text goes into the prompt."""

from __future__ import annotations

import pytest
from helpers import family_text
from hypothesis import given, settings
from hypothesis import strategies as st

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import Window

STARCODER = family_text("starcoder")
INCODER = family_text("incoder")
LACUNA = family_text("lacuna")
LINES = "".join(f"line{n:03}\n" for n in range(100))  # 8 tokens a line


def windows(prefix: str, suffix: str, context: int = 200, max_tokens: int = 20) -> tuple[str, str]:
    prompt = plan(PromptSpec((prefix, suffix), None, max_tokens, layout=Layout.CANONICAL), STARCODER, context)
    ids = list(prompt.ids)
    assert len(ids) + max_tokens <= context
    after_prefix, middle = ids.index(257), ids.index(258)
    return STARCODER.decode(ids[1:after_prefix]) + prompt.healed_prefix, STARCODER.decode(
        ids[after_prefix + 1 : middle]
    )


def test_short_texts_are_shown_whole() -> None:
    assert windows("a\nb", "c\n") == ("a\nb", "c\n")


def test_a_long_prefix_is_cut_at_a_line_start_and_leaves_a_quarter_for_the_suffix() -> None:
    prefix, suffix = windows(LINES + "here", LINES)
    assert prefix.startswith("line")
    assert prefix.endswith("line099\nhere")
    assert suffix.endswith("\n")
    assert 24 <= len(suffix) <= 44
    assert len(prefix) + len(suffix) > 176 - 16 - 16 - 8  # at most a step of the grid and a line are lost


def test_the_suffix_uses_the_room_that_a_short_prefix_leaves() -> None:
    prefix, suffix = windows("x =", LINES)
    assert prefix == "x ="
    assert len(suffix) > 150


def test_an_endless_line_is_cut_anywhere() -> None:
    prefix, suffix = windows("x" * 1000, "y" * 1000)
    assert set(prefix) == {"x"}
    assert set(suffix) == {"y"}
    assert 176 * 3 // 4 <= len(prefix) + len(suffix) <= 176  # the prefix begins on a grid


def test_the_header_stays_when_the_prefix_is_cut() -> None:
    ids = plan(PromptSpec((LINES, "b"), "x.py", 20), INCODER, 200).ids
    assert INCODER.decode(ids[1:20]) == "<| file ext=.py |>\n"


def test_no_room_is_a_clear_error() -> None:
    with pytest.raises(BadRequest, match="leave no room"):
        plan(PromptSpec(("a", "b"), None, 60), STARCODER, 16)


def test_windows_do_not_move_while_the_user_types() -> None:
    starts, ends = set(), set()
    for typed in range(12):
        prefix, suffix = windows(LINES + "x" * typed, LINES)
        starts.add(prefix[:8])
        ends.add(suffix[-8:])
    assert len(starts) <= 2
    assert len(ends) <= 2


def test_a_prompt_keeps_the_last_window_while_it_fits() -> None:
    first = plan(PromptSpec((LINES + "x", LINES), None, 20), STARCODER, 200)
    assert first.window is not None
    typed = LINES + "x = 1\ny = 2\n"
    second = plan(PromptSpec((typed, LINES), None, 20, window=first.window), STARCODER, 200)
    assert second.window == first.window
    shown = STARCODER.decode(first.ids[:60])
    assert STARCODER.decode(second.ids[:60]) == shown
    assert (
        plan(PromptSpec((typed + LINES, LINES), None, 20, window=first.window), STARCODER, 200).window != first.window
    )


@pytest.mark.parametrize(
    ("prefix", "suffix", "window"),
    [
        (LINES, LINES, Window(10_000, 0)),
        (LINES, LINES, Window(0, 10_000)),
        (LINES, LINES, Window(len(LINES) - 8, 700)),  # the cursor went to the window's edge
        (LINES, LINES, Window(len(LINES) - 83, 700)),  # begins inside a line: something was edited above
    ],
)
def test_a_window_that_no_longer_fits_is_not_kept(prefix: str, suffix: str, window: Window) -> None:
    assert (
        plan(PromptSpec((prefix, suffix), None, 20, window=window), STARCODER, 200).ids
        == plan(PromptSpec((prefix, suffix), None, 20), STARCODER, 200).ids
    )


TEXT = st.text("ab\n", max_size=300)


@given(TEXT, TEXT, st.builds(Window, st.integers(0, 300), st.integers(0, 300)), st.sampled_from(Layout))
def test_no_window_makes_a_prompt_too_long(prefix: str, suffix: str, window: Window, layout: Layout) -> None:
    made = plan(PromptSpec((prefix, suffix), None, 20, layout=layout, window=window), STARCODER, 100)
    assert len(made.ids) + 20 <= 100


def test_a_header_that_would_use_the_last_room_is_left_out() -> None:
    ids = plan(PromptSpec(("a\n", "b"), "x" * 60 + ".py" + "y" * 60, 64), INCODER, 128).ids
    assert len(ids) + 64 <= 128
    assert 64 in ids


def test_an_empty_prefix_is_also_a_prompt() -> None:
    codegen = family_text("codegen")
    assert plan(PromptSpec(("",), None, 16), codegen, 128).ids == (codegen.begin_of_nothing,)


def test_a_long_line_is_not_tokenized_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0

    def encode(text: str) -> list[int]:
        nonlocal longest
        longest = max(longest, len(text))
        return [0] * len(text)

    monkeypatch.setattr(STARCODER, "encode", encode)
    monkeypatch.setattr(STARCODER, "encode_bare", encode)
    plan(PromptSpec(("x" * 100_000, "y"), None, 20), STARCODER, 200)
    assert longest < 3000


@pytest.mark.parametrize("family", [STARCODER, LACUNA])
def test_in_a_long_line_most_keys_leave_the_prompt_as_it_is(family: PromptTokenizer) -> None:
    """They only append to its end, where the line is; otherwise every key would evaluate the whole prompt again."""
    line = "d = {" + ", ".join(f"'k{n}': {n}" for n in range(5000))
    made = [plan(PromptSpec((line + ", x" * keys, "\n"), None, 20), family, 300).ids for keys in range(20)]
    moved = [keys for keys in range(19) if made[keys + 1][: len(made[keys]) - 8] != made[keys][:-8]]
    assert len(moved) <= 1


def test_no_text_is_a_clear_error() -> None:
    with pytest.raises(BadRequest, match="no text"):
        plan(PromptSpec((), None, 10), STARCODER, 64)


def test_holes_too_far_apart_are_a_clear_error() -> None:
    with pytest.raises(BadRequest, match="text between the holes"):
        plan(PromptSpec(("a", LINES, "b"), None, 20), INCODER, 200)


@settings(max_examples=60)
@given(st.text(max_size=600), st.text(max_size=600), st.integers(64, 300), st.sampled_from([STARCODER, INCODER]))
def test_the_prompt_always_fits_and_shows_ends_of_the_text(prefix: str, suffix: str, context: int, text) -> None:  # type: ignore[no-untyped-def]
    prompt = plan(PromptSpec((prefix, suffix), None, 16, layout=Layout.CANONICAL), text, context)
    ids = list(prompt.ids)
    assert len(ids) + 16 <= context
    ordinary = [i for i in ids if i < 256]
    before = text.encode(prefix[: len(prefix) - len(prompt.healed_prefix)])
    kept = len(ordinary)
    assert any(
        ordinary == before[len(before) - n :] + text.encode(suffix)[: kept - n]
        for n in range(kept + 1)
        if n <= len(before)
    )


@pytest.mark.parametrize("path", [None, "my file.py", "README"])
@pytest.mark.parametrize("name", ["lacuna", "incoder"])
def test_an_empty_text_without_a_name_still_has_a_header(name: str, path: str | None) -> None:
    text = family_text(name)
    assert text.decode(plan(PromptSpec(("",), path, 16), text, 128).ids).endswith(" |>\n")
