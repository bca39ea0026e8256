"""Other files in a prompt: which of them, how much, and that typing leaves them where they are."""

from __future__ import annotations

import pytest
from helpers import family_text
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import ContextFile
from lacuna_inference.prompt import context_files
from lacuna_inference.prompt.context_files import ShownFiles, shows_files
from lacuna_inference.prompt.families import FAMILIES
from lacuna_inference.prompt.planner import PromptSpec, plan

QWEN = family_text("qwen2.5-coder")
ROOM = 800


def files(*texts: str) -> tuple[ContextFile, ...]:
    return tuple(ContextFile(f"{number}.py", text) for number, text in enumerate(texts))


def shown(*texts: str, room: int = ROOM) -> str:
    """The text of what is shown, without sentinels."""
    found = context_files.shown(files(*texts), None, "main.py", QWEN, room)
    specials = set(QWEN.specials.values())
    return QWEN.decode([token for token in [*found.before, *found.in_prefix] if token not in specials])


def test_the_last_files_that_fit_are_shown_in_their_order() -> None:
    assert shown("a" * 100, "b" * 60, "c" * 60) == f"project\n1.py\n{'b' * 60}\n2.py\n{'c' * 60}\nmain.py\n"


def test_of_a_long_file_the_first_lines_are_shown() -> None:
    assert shown("x = 1\n" * 100).startswith("project\n0.py\nx = 1\nx = 1\n")


def test_nothing_is_shown_of_a_file_without_a_line_that_fits() -> None:
    assert shown("x" * 1000) == ""


def test_without_files_the_prompt_is_as_it_was() -> None:
    spec = PromptSpec(("a\n", "b"), "main.py", 16)
    assert context_files.shown((), "lib", "main.py", QWEN, ROOM) == ShownFiles()
    assert plan(spec, QWEN, 1024) == plan(PromptSpec(("a\n", "b"), None, 16), QWEN, 1024)


@pytest.mark.parametrize("family", ["codeqwen", "starcoder", "incoder", "codegen"])
@pytest.mark.parametrize("parts", [("a\n", "b"), ("a\n",)])
def test_without_a_form_or_its_sentinels_files_are_text_before_the_prefix(family: str, parts: tuple[str, ...]) -> None:
    tokenizer = family_text(family)
    with_files = plan(PromptSpec(parts, "main.py", 16, files=files("x = 1\n", "y\n")), tokenizer, 1024)
    without = plan(PromptSpec(parts, "main.py", 16), tokenizer, 1024)
    specials = set(tokenizer.specials.values())
    with_text, text = (
        tokenizer.decode([token for token in prompt.ids if token not in specials]) for prompt in (with_files, without)
    )
    assert with_text == text.replace("a\n", "x = 1\n\n\ny\n\n\na\n")


def test_a_model_that_mixes_them_in_is_shown_none() -> None:
    assert [family.name for family in FAMILIES if not shows_files(family)] == ["lacuna"]
    found = context_files.shown(files("x = 1\n"), None, "main.py", family_text("lacuna"), ROOM)
    assert found == ShownFiles()


def test_a_name_cannot_end_its_line() -> None:
    found = context_files.shown((ContextFile("a\nb.py", "x"),), "l\nib", "m\rain.py", QWEN, ROOM)
    text = QWEN.decode([token for token in found.before if token not in set(QWEN.specials.values())])
    assert text == "l ib\na b.py\nx\nm ain.py\n"


@given(st.lists(st.text(max_size=300), max_size=6), st.integers(16, 600))
def test_files_never_take_more_than_their_share(texts: list[str], room: int) -> None:
    found = context_files.shown(files(*texts), "lib", "main.py", QWEN, room)
    assert found.length <= room // context_files.SHARE


@given(st.lists(st.text(alphabet="ab \n", max_size=80), min_size=1, max_size=4), st.text(alphabet="xy( ", max_size=20))
def test_typing_leaves_the_files_where_they_are(texts: list[str], typed: str) -> None:
    def ids(line: str) -> tuple[int, ...]:
        spec = PromptSpec(("import a\n" + line, "\nb\n"), "main.py", 16, files=files(*texts))
        return plan(spec, QWEN, 1024).ids

    length = context_files.shown(files(*texts), None, "main.py", QWEN, 1024 - 17).length
    assert ids("")[:length] == ids(typed)[:length]


def test_a_very_long_file_is_not_tokenized_whole() -> None:
    tokenizer = family_text("qwen2.5-coder")
    found = context_files.shown((ContextFile("a.py", "x = 1\n" * 200_000),), None, None, tokenizer, ROOM)
    assert 0 < found.length <= ROOM // context_files.SHARE
    assert tokenizer._incremental.encoded < 100 * ROOM
