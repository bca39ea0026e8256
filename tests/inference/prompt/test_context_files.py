"""Other files in a prompt: which of them, how much, and that typing leaves them where they are."""

from __future__ import annotations

from helpers import family_text
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import ContextFile
from lacuna_inference.prompt import context_files
from lacuna_inference.prompt.context_files import ShownFiles, shows_files
from lacuna_inference.prompt.families import FAMILIES, by_name
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


def test_a_tokenizer_without_the_sentinels_and_other_families_show_nothing() -> None:
    for text in (family_text("codeqwen"), family_text("starcoder"), family_text("incoder")):
        with_files = PromptSpec(("a\n", "b"), "main.py", 16, files=files("x = 1\n"))
        assert plan(with_files, text, 1024).ids == plan(PromptSpec(("a\n", "b"), "main.py", 16), text, 1024).ids


def test_families_say_whether_they_show_files() -> None:
    assert {family.name for family in FAMILIES if shows_files(family)} >= {"qwen2.5-coder", "starcoder2", "codestral"}
    assert not shows_files(by_name("starcoder"))


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
