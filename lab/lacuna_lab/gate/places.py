"""Places in files as somebody who types them sees them: the text before the cursor and after it, and what is to come.

Knows nothing of models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from lacuna_lab.evaluation.files import SourceFile, any_text, held_out
from lacuna_lab.replay import tasks
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_lab.replay.typist import in_word, typed

_AT_START, _AT_BORDER = 0.25, 0.4
"""Shares of places at the start of a line, after Enter and its indentation, and where a word ends or none is begun. At
the others a part of a word has been typed."""
_BLOCK_IS_MISSING = 0.5
"""Share of places after which the rest of a block is still to be written, not only the rest of the line."""
_IS_CLOSED = 0.3
"""Share of lines whose closing brackets are there already, as editors add them, where there are any."""
_CLOSERS = re.compile(r"[)\]}]+[:;,]?$")


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor between `before` and `after`, where `truth` was written. `project` tells what is fitted and judged
    apart; `path` is where the file is, empty if nothing beside it counts."""

    project: str
    name: str
    language: str
    before: str
    after: str
    truth: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """Which places: of `files` files, `blocks` blocks each, and in each block `per_block` places. Without `paths` the
    files are of packages that the bundled model never saw. Every path is a project."""

    paths: tuple[Path, ...] = ()
    files: int = 100
    blocks: int = 2
    per_block: int = 4
    languages: tuple[str, ...] = ()
    seed: int = 0


def places(plan: PlacePlan) -> Iterator[Place]:
    """The places, file by file, with the projects in turns, so that the first ones already are of all projects."""
    for source in _sources(plan):
        for task in tasks.from_files([source], plan.blocks, plan.seed):
            rng = random.Random(f"{plan.seed} {source.path} {len(task.before)}")
            yield from places_in(task, source.group, plan.per_block, rng)


def places_in(task: ReplayTask, project: str, count: int, rng: random.Random) -> list[Place]:
    """Up to `count` places while the task is typed, in order, so that a model can keep what it has read."""
    offsets = _offsets(task.target)
    at_start = [offset for offset in offsets if not task.target[:offset].rpartition("\n")[2].strip()]
    within = [offset for offset in offsets if offset not in at_start]
    border = [offset for offset in within if not in_word(task.target[offset - 1])]
    border += [offset for offset in within if _ends_word(task.target, offset)]
    inside = sorted(set(within) - set(border))
    chosen = set[int]()
    for _ in range(count):
        kind = rng.random()
        pool = at_start if kind < _AT_START else border if kind < _AT_START + _AT_BORDER else inside
        if pool:
            chosen.add(rng.choice(pool))
    missing = rng.random() < _BLOCK_IS_MISSING
    found = (_place(task, project, offset, missing, rng) for offset in sorted(chosen))
    return [place for place in found if place.truth.strip()]


def _offsets(target: str) -> list[int]:
    """Where the cursor stands before each key."""
    offsets, offset = list[int](), 0
    while offset < len(target):
        offsets.append(offset)
        offset += len(typed(target[offset:]).text)
    return offsets


def _ends_word(target: str, offset: int) -> bool:
    return in_word(target[offset - 1]) and not in_word(target[offset : offset + 1])


def _place(task: ReplayTask, project: str, offset: int, missing: bool, rng: random.Random) -> Place:
    before, rest = task.before + task.target[:offset], task.target[offset:]
    line, end, following = rest.partition("\n")
    closers = _closers(line) if rng.random() < _IS_CLOSED else ""
    if closers or not missing:
        line = line[: len(line) - len(closers)]
        rest, after = line, closers + end + following + task.after
    else:
        after = task.after
    return Place(project, task.name, task.language_id, before, after, rest, task.path)


def _closers(line: str) -> str:
    """What ends `line` and closes brackets that were opened before it."""
    match = _CLOSERS.search(line)
    if match is None:
        return ""
    written = line[: match.start()]
    opened = sum(map(written.count, "([{")) - sum(map(written.count, ")]}"))
    return match.group() if written and opened <= 0 else ""


def _sources(plan: PlacePlan) -> list[SourceFile]:
    """The files, with the projects in turns."""
    if not plan.paths:
        return [s for s in held_out(plan.files * 2, plan.seed) if tasks.is_by_hand(s)][: plan.files]
    projects = []
    for path in plan.paths:
        found = [replace(s, group=path.name) for s in any_text([path], "--files")]
        kept = [s for s in found if tasks.is_wanted(s.name, plan.languages) and tasks.is_by_hand(s)]
        random.Random(f"{plan.seed} {path.name}").shuffle(kept)
        projects.append(kept)
    in_turns: Sequence[SourceFile] = [s for row in zip_longest(*projects) for s in row if s is not None]
    return list(in_turns[: plan.files])
