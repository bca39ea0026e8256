"""Lets contestants take part in the same tasks: one after the other, or in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from lacuna_lab.replay import session
from lacuna_lab.replay.session import Contestant, Session
from lacuna_lab.replay.tasks import ReplayTask

Report = Callable[[str, int], None]
"""Called with a contestant's name and the number of tasks that it has done."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant that can be started: as a context, which ends it."""

    name: str
    start: Callable[[], AbstractAsyncContextManager[Contestant]]


def replay(
    tasks: Sequence[ReplayTask], entries: Sequence[Entry], report: Report, in_time: bool = False
) -> dict[str, list[Session]]:
    """The sessions of each contestant by its name, in the tasks' order. Raises LacunaError if one fails."""
    return asyncio.run(_in_turns(tasks, entries, report) if in_time else _one_by_one(tasks, entries, report))


async def _one_by_one(
    tasks: Sequence[ReplayTask], entries: Sequence[Entry], report: Report
) -> dict[str, list[Session]]:
    """Only one is in memory at a time."""
    sessions: dict[str, list[Session]] = {entry.name: [] for entry in entries}
    for entry in entries:
        async with entry.start() as contestant:
            for number, task in enumerate(tasks):
                report(entry.name, number)
                sessions[entry.name].append(await session.patiently(task, contestant))
    return sessions


async def _in_turns(tasks: Sequence[ReplayTask], entries: Sequence[Entry], report: Report) -> dict[str, list[Session]]:
    """Task by task in rotating order, all but one paused: what disturbs the machine meanwhile disturbs all."""
    sessions: dict[str, list[Session]] = {entry.name: [] for entry in entries}
    async with AsyncExitStack() as stack:
        contestants: list[Contestant] = []
        for entry in entries:
            contestants.append(await stack.enter_async_context(entry.start()))
            contestants[-1].pause()
        for number, task in enumerate(tasks):
            first = number % len(entries)
            for entry, contestant in _rotated(list(zip(entries, contestants, strict=True)), first):
                report(entry.name, number)
                contestant.resume()
                sessions[entry.name].append(await session.in_time(task, contestant))
                contestant.pause()
    return sessions


def _rotated(pairs: Sequence[tuple[Entry, Contestant]], first: int) -> Sequence[tuple[Entry, Contestant]]:
    return (*pairs[first:], *pairs[:first])
