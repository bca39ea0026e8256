"""The closed loop, with contestants that know everything, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_lab.replay import session
from lacuna_lab.replay.session import Answer, Session
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_lab.replay.typist import Kind

TARGET = "def total(items):\n    result = 0\n    for item in items:\n        result += item.price\n    return result"
TASK = ReplayTask("group", "x.py", "x.py", "python", "import os\n\n", "\n\nlast = 1\n", TARGET)


class Scripted:
    """Shows what `suggest` makes of the text before the cursor and the rest of the truth, after `delay_s`."""

    name = "scripted"

    def __init__(self, suggest: Callable[[str, str], str], delay_s: float = 0.0) -> None:
        self._suggest, self._delay_s = suggest, delay_s
        self.text = self.truth = ""
        self.cancelled = 0
        self.left = False

    async def open(self, task: ReplayTask) -> None:
        self.text, self.truth, self.left = task.before, task.before + task.target, False

    def insert(self, text: str) -> None:
        self.text += text

    async def ask(self) -> Answer:
        try:
            await asyncio.sleep(self._delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Answer(self._suggest(self.text, self.truth[len(self.text) :]), self._delay_s, "empty")

    def leave(self) -> None:
        self.left = True

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def patiently(contestant: Scripted, task: ReplayTask = TASK) -> Session:
    return asyncio.run(session.patiently(task, contestant))


def test_who_knows_everything_writes_it_with_one_key() -> None:
    contestant = Scripted(lambda _, rest: rest)
    typed = patiently(contestant)
    assert [key.accepted for key in typed.keys] == [Kind.BLOCK]
    assert contestant.text == contestant.truth
    assert contestant.left


def test_line_by_line_every_line_is_accepted() -> None:
    typed = patiently(Scripted(lambda _, rest: rest.split("\n")[0]))
    assert [key.accepted for key in typed.keys] == [Kind.LINE, None] * 4 + [Kind.LINE]
    assert [key.is_new for key in typed.keys] == [True, False] * 4 + [True]
    assert all(key.right for key in typed.keys if key.is_new)


def test_who_is_always_wrong_keeps_nothing() -> None:
    typed = patiently(Scripted(lambda _, __: "wrong"))
    assert not [key for key in typed.keys if key.accepted or key.right]
    assert all(key.is_new for key in typed.keys)
    assert sum(key.characters for key in typed.keys) == len(typed.keys)


def test_what_is_left_of_a_display_is_no_new_one() -> None:
    typed = patiently(Scripted(lambda before, rest: rest[:1] + "x" if before[-1:].isspace() else ""))
    assert {key.shown for key in typed.keys if key.is_new} >= {"dx", "tx", "rx"}
    assert [key.shown for key in typed.keys[:3]] == ["dx", "x", ""]
    assert [key.is_new for key in typed.keys[:3]] == [True, False, False]


@given(st.text("ab \n", max_size=20), st.lists(st.text("ab \n", max_size=8), min_size=1))
def test_the_document_ends_as_the_reference(target: str, shown: list[str]) -> None:
    contestant = Scripted(lambda before, _: shown[len(before) % len(shown)])
    typed = patiently(contestant, ReplayTask("g", "x.py", "", "python", "a", "b", target))
    assert contestant.text == "a" + target
    assert "".join(key.key.text for key in typed.keys) == target


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typist who does not look or think, with equal gaps."""
    monkeypatch.setattr(session, "LOOK_S", 0.0)
    monkeypatch.setattr(session, "THINK_S", 0.0)
    monkeypatch.setattr(session, "READ_S", 0.05)
    monkeypatch.setattr(session, "gap", lambda _: 0.02)


SHORT = ReplayTask("group", "x.py", "x.py", "python", "", "", "first = 1\nsecond()")


@pytest.mark.usefixtures("hasty")
def test_in_time_an_answer_after_the_next_key_is_cancelled_and_not_shown() -> None:
    late = Scripted(lambda _, rest: rest, delay_s=30.0)
    typed = asyncio.run(session.in_time(SHORT, late))
    assert late.text == SHORT.target
    assert late.cancelled == len(typed.keys) == len(SHORT.target)
    assert not [key for key in typed.keys if key.shown or key.answer]


@pytest.mark.usefixtures("hasty")
def test_in_time_what_is_right_is_read_before_it_is_accepted() -> None:
    async def timed() -> tuple[Session, float]:
        started = asyncio.get_running_loop().time()
        typed = await session.in_time(SHORT, Scripted(lambda _, rest: rest.split("\n")[0]))
        return typed, asyncio.get_running_loop().time() - started

    typed, seconds = asyncio.run(timed())
    assert [key.accepted for key in typed.keys] == [Kind.LINE, None, Kind.LINE]
    assert [key.answer is None for key in typed.keys] == [False] * 3
    assert seconds >= 2 * session.READ_S + 0.02


@pytest.mark.usefixtures("hasty")
def test_in_time_a_failure_is_raised() -> None:
    def fail(_: str, __: str) -> str:
        raise RuntimeError("it failed")

    with pytest.raises(RuntimeError, match="it failed"):
        asyncio.run(session.in_time(SHORT, Scripted(fail)))
