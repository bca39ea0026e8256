"""Types a task into a contestant, on either of two clocks, and records every key. Knows of it only what it shows."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from lacuna_lab.bench.typing_trace import gap
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_lab.replay.typist import Key, Kind, Typist, acceptable, is_right

READ_S = 0.3
"""A suggestion must have been visible for so long before it can be accepted. The typist waits, if it is right."""
THINK_S = 0.6
"""Pause before the first key of a line, beside the gap between keys."""
LOOK_S = 3.0
"""From opening the file until the typist has put the cursor where he types."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contestant shows at the cursor, empty for nothing, the seconds it took, and why there is nothing.

    `read` is how many tokens of prompts its model read since the last answer, None if it does not tell.
    """

    text: str
    taken_s: float
    withheld: str = ""
    read: int | None = None


class Contestant(Protocol):
    """Something that suggests text at the cursor of one document."""

    @property
    def name(self) -> str: ...

    async def open(self, task: ReplayTask) -> None:
        """Opens the task's document, with the cursor where its target belongs."""
        ...

    def insert(self, text: str) -> None:
        """Writes `text` at the cursor."""
        ...

    async def ask(self) -> Answer:
        """What is shown at the cursor. Cancelled when the next key comes first."""
        ...

    def leave(self) -> None:
        """Closes the document."""
        ...

    def pause(self) -> None:
        """Stops its processes while another is measured."""
        ...

    def resume(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Keystroke:
    """One key of the typist, and what he saw before he pressed it.

    `shown`: the visible suggestion; `is_new`: it is not the rest of an earlier one; `right`: its first line is what he
    is about to write. `answer` is None when the key came before the answer to the one before.
    """

    key: Key
    shown: str
    is_new: bool
    right: bool
    answer: Answer | None

    @property
    def characters(self) -> int:
        """Keys that it takes to type what this one wrote."""
        return self.key.characters

    @property
    def accepted(self) -> Kind | None:
        """How much of a suggestion was accepted; None if something was typed."""
        return self.key.accepted


@dataclass(frozen=True, slots=True)
class Session:
    """The keys of a task that was typed."""

    task: ReplayTask
    keys: tuple[Keystroke, ...]


async def patiently(task: ReplayTask, contestant: Contestant) -> Session:
    """Types the task. Each key waits for the answer to the one before, so only the answers' quality counts."""
    await contestant.open(task)
    typist, keys = Typist(task.target), list[Keystroke]()
    while typist.remaining:
        answer = await contestant.ask()
        is_new = typist.see(answer.text)
        keys.append(_press(typist, contestant, typist.next_key(), answer, is_new))
    contestant.leave()
    return Session(task, tuple(keys))


async def in_time(task: ReplayTask, contestant: Contestant) -> Session:
    """Types the task as fast as people do. What comes after the next key is not shown."""
    await contestant.open(task)
    await asyncio.sleep(LOOK_S)
    typist, keys = Typist(task.target), list[Keystroke]()
    rng = random.Random(f"{task.path} {len(task.before)}")  # the same gaps for every contestant
    visible_since = pressed_at = time.perf_counter()
    while typist.remaining:
        due = pressed_at + gap(rng)
        asked = asyncio.ensure_future(contestant.ask())
        think = THINK_S if typist.at_line_start else 0.0
        is_new = False
        answer = None if _may_accept(typist) else await _until(asked, due + think)
        if answer is not None and typist.see(answer.text):
            is_new, visible_since = True, time.perf_counter()
        key = typist.next_key()
        pressed_at = max(due, visible_since + READ_S) if key.accepted else due + think
        answer = answer or await _until(asked, pressed_at)
        await asyncio.sleep(pressed_at - time.perf_counter())
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        pressed_at = time.perf_counter()
        keys.append(_press(typist, contestant, key, answer, is_new))
    contestant.leave()
    return Session(task, tuple(keys))


async def _until(asked: asyncio.Future[Answer], end: float) -> Answer | None:
    """The answer, if it comes before `end`. Raises what the contestant raises."""
    await asyncio.wait([asked], timeout=max(0.0, end - time.perf_counter()))
    return asked.result() if asked.done() else None


def _may_accept(typist: Typist) -> bool:
    return acceptable(typist.shown, typist.remaining) is not None


def _press(typist: Typist, contestant: Contestant, key: Key, answer: Answer | None, is_new: bool) -> Keystroke:
    right = is_right(typist.shown, typist.remaining)
    stroke = Keystroke(key, typist.shown, is_new, right, answer)
    typist.press(key)
    contestant.insert(key.text)
    return stroke
