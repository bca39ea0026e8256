"""What the sessions of a contestant say: how much is kept, how often something wrong is shown. Pure.

Shares have intervals over files, since the keys of a file depend on each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lacuna_lab.evaluation.metrics import Interval, bootstrap
from lacuna_lab.quantiles import quantile
from lacuna_lab.replay.session import Keystroke, Session
from lacuna_lab.replay.typist import Kind

TOTAL = "all"
"""Stands for all languages together."""


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A contestant's figures in one language, or in all. Shares are from 0 to 1, but counts are for each 100 keys.

    `characters` were to be written: the keys without suggestions, Enter writing the indentation, too. `kept` is the
    share of them that was accepted, and `kept_by` its parts. `saved` is the share of keys that acceptance spares.
    `displays` and `wrong` count new ones; `precision` is the share of them that was right. `silent` is the share of
    keys before which nothing was visible, `answered` that before which an answer came. `read` is the mean number of
    tokens of prompts that were read for an answer, None if it is not known. `against_first` is how much more is kept
    than by the first contestant, task by task.
    """

    contestant: str
    language: str
    tasks: int
    files: int
    characters: int
    keys: int
    kept: Interval
    kept_by: dict[str, float]
    saved: Interval
    displays: Interval
    wrong: Interval
    precision: Interval
    silent: Interval
    answered: Interval
    p50_s: float
    p95_s: float
    read: float | None
    against_first: Interval
    reasons: dict[str, int]
    """Why nothing was shown, where the contestant tells: numbers of keys."""


class _Of(NamedTuple):
    """A key, and the file that it belongs to."""

    file: str
    key: Keystroke


def rows(sessions: Mapping[str, Sequence[Session]]) -> list[ReplayRow]:
    """For each language and all of them, a row for each contestant. All have typed the same tasks in the same order."""
    first = next(iter(sessions.values()))
    languages = sorted({one.task.language_id for one in first})
    parts = [TOTAL, *languages] if len(languages) > 1 else languages
    return [
        _row(name, part, *(_part(of, part) for of in (found, first)))
        for part in parts
        for name, found in sessions.items()
    ]


def _part(sessions: Sequence[Session], language: str) -> list[Session]:
    return [one for one in sessions if language in (TOTAL, one.task.language_id)]


def _row(name: str, language: str, sessions: Sequence[Session], first: Sequence[Session]) -> ReplayRow:
    keys = [_Of(_file(one), key) for one in sessions for key in one.keys]
    displays = [of for of in keys if of.key.is_new]
    times = [of.key.answer.taken_s for of in keys if of.key.answer is not None]
    characters = sum(of.key.characters for of in keys)
    parts = {kind: sum(of.key.characters for of in keys if of.key.accepted is kind) for kind in Kind}
    read = [of.key.answer.read for of in keys if of.key.answer is not None and of.key.answer.read is not None]
    silent = [of.key.answer for of in keys if not of.key.shown]
    return ReplayRow(
        contestant=name,
        language=language,
        tasks=len(sessions),
        files=len({of.file for of in keys}),
        characters=characters,
        keys=len(keys),
        kept=bootstrap(list(_by_character(keys, lambda key: float(key.accepted is not None)))),
        kept_by={str(kind): count / max(1, characters) for kind, count in parts.items()},
        saved=bootstrap(list(_by_character(keys, lambda key: 1 - 1 / key.characters))),
        displays=_per_100(keys, lambda key: key.is_new),
        wrong=_per_100(keys, lambda key: key.is_new and not key.right),
        precision=bootstrap([(of.file, float(of.key.right)) for of in displays]) if displays else Interval(0, 0, 0),
        silent=bootstrap([(of.file, float(not of.key.shown)) for of in keys]),
        answered=bootstrap([(of.file, float(of.key.answer is not None)) for of in keys]),
        p50_s=quantile(times, 0.5),
        p95_s=quantile(times, 0.95),
        read=sum(read) / len(read) if read else None,
        against_first=bootstrap(list(_gains(sessions, first))),
        reasons=dict(Counter(answer.withheld for answer in silent if answer and answer.withheld).most_common()),
    )


def kept_share(session: Session) -> float:
    """The share of the task's characters that was accepted."""
    accepted = sum(key.characters for key in session.keys if key.accepted)
    return accepted / max(1, _characters(session))


def _gains(sessions: Sequence[Session], first: Sequence[Session]) -> Iterator[tuple[str, float]]:
    """For each character, how much more of its task is kept."""
    for own, other in zip(sessions, first, strict=True):
        yield from [(_file(own), kept_share(own) - kept_share(other))] * _characters(own)


def _by_character(keys: Sequence[_Of], value: Callable[[Keystroke], float]) -> Iterator[tuple[str, float]]:
    for of in keys:
        yield from [(of.file, value(of.key))] * of.key.characters


def _per_100(keys: Sequence[_Of], counts: Callable[[Keystroke], bool]) -> Interval:
    return bootstrap([(of.file, 100.0 * counts(of.key)) for of in keys])


def _characters(session: Session) -> int:
    return sum(key.characters for key in session.keys)


def _file(session: Session) -> str:
    return f"{session.task.group}/{session.task.path or session.task.name}"
