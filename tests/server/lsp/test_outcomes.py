"""What became of judged answers, read from the document half a minute later."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import MARK, at_cursor
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from lacuna_server.core.gate import Verdict
from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.experience import Experience
from lacuna_server.lsp import outcomes
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.outcomes import OutcomesSeen, came_true

URI = "file:///a.py"


@pytest.mark.parametrize(
    ("before", "expected", "now", "right"),
    [
        ("x = |\ny\n", "f(a)", "x = f(a)\ny\n", True),
        ("x = |\ny\n", "f(a)", "x = f(a) + 1\ny\n", True),
        ("x = |\ny\n", "f(a)", "x = g(a)\ny\n", False),
        ("x = |\ny\n", "f(a)", "x = f(\ny\n", None),
        ("x = |\ny\n", "f(a)", "x = f()\ny\n", None),
        ("x = |\ny\n", "f(a)", "x = f(b)\ny\n", False),
        ("x = |\ny\n", "f(a)", "x = \ny\n", None),
        ("x = |\ny\n", "f(a)", "x =\ny\n", None),
        ("x = |\ny\n", "f(a)", "# new\nx = f(a)\ny\n", None),
        ("x = |\ny\n", "f(a)", "x = \n", None),
        ("f(|)\n", "a, b", "f(a, b)\n", True),
        ("f(|)\n", "a, b", "f(a, c)\n", False),
        ("|", "a\nb", "a\r\nb\r\n", True),
    ],
)
def test_an_answer_came_true_or_not_or_nobody_knows(before: str, expected: str, now: str, right: bool | None) -> None:
    assert came_true(at_cursor(before), expected, now) is right


@given(st.text(max_size=30), st.text(max_size=30), st.text(min_size=1, max_size=10), st.text(max_size=80))
def test_any_text_can_be_compared(prefix: str, suffix: str, expected: str, now: str) -> None:
    came_true(Snapshot(prefix + suffix, len(prefix)), expected, now)
    assert came_true(Snapshot(prefix + suffix, len(prefix)), "abc", prefix + "abc" + suffix) is True


class Session:
    """One open document, and the outcomes that were seen in it."""

    def __init__(self, file: Path | None, marked: str) -> None:
        self.documents = Documents()
        self.experience = Experience(file)
        self.seen = OutcomesSeen(self.experience, self.documents)
        self.documents.open(types.TextDocumentItem(URI, "python", 1, marked.replace(MARK, "")))
        prefix = marked.split(MARK)[0]
        position = types.Position(prefix.count("\n"), len(prefix) - prefix.rfind("\n") - 1)
        snapshot = self.documents.snapshot(URI, position, lambda _: True)
        assert snapshot is not None
        self.snapshot = snapshot

    def answered(self, text: str, chance: float = 0.5, cached: bool = False) -> None:
        answer = Suggestions((text,), model="m", verdict=Verdict(text, 0.1, chance, 0.4, None, True), cached=cached)
        self.seen.await_outcome(self.snapshot, answer)

    def written(self, text: str) -> None:
        self.documents.edit(URI, [types.TextDocumentContentChangeWholeDocument(text)], 2)

    @property
    def chance(self) -> float:
        """What a chance of a half counts as."""
        return self.experience.corrected("m", 0.5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "experience.json"


async def test_what_was_written_counts_for_the_chance_before_its_correction(file: Path) -> None:
    session = Session(file, "x = |\n")
    session.answered("1")
    session.written("x = 1\n")
    session.seen.see_all()
    assert session.chance > 0.5
    assert file.exists()


async def test_something_else_counts_against_it(file: Path) -> None:
    session = Session(file, "x = |\n")
    session.answered("1")
    session.written("x = 2\n")
    session.seen.see_all()
    assert session.chance < 0.5


async def test_the_same_answer_again_and_what_nobody_judged_do_not_count(file: Path) -> None:
    session = Session(file, "x = |\n")
    session.answered("1", cached=True)
    session.seen.await_outcome(session.snapshot, Suggestions(("1",), model="m"))
    session.written("x = 1\n")
    session.seen.see_all()
    assert session.chance == 0.5


async def test_a_closed_document_tells_nothing(file: Path) -> None:
    session = Session(file, "x = |\n")
    session.answered("1")
    session.documents.close(URI)
    session.seen.see_all()
    assert not file.exists()


async def test_only_so_many_are_awaited(file: Path) -> None:
    session = Session(file, "x = |\n")
    for _ in range(100):
        session.answered("1")
    assert len(session.seen._waiting) == outcomes._MOST_WAITING


async def test_without_statistics_nothing_is_awaited() -> None:
    session = Session(None, "x = |\n")
    session.answered("1")
    assert not session.seen._waiting


async def test_a_document_is_looked_at_after_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(outcomes, "SEEN_AFTER_S", 0.01)
    session = Session(file, "x = |\n")
    session.answered("1")
    session.written("x = 1\n")
    async with asyncio.timeout(10):
        while not file.exists():
            await asyncio.sleep(0.01)
    assert session.chance > 0.5
