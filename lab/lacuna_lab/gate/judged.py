"""Answers beside what was written at their places: what each beginning is worth, and what a gate would show of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lacuna_lab.gate.answers import GateAnswer, snapshot_of
from lacuna_lab.replay.typist import acceptable, begins, is_right
from lacuna_server.core.cuts import Cut, cuts
from lacuna_server.core.evidence import evidence
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import outcome

EAGERNESS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""The settings that are compared; the first shows everything."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """A suggestion `text` at a place of `project`, with its cuts, and the evidence for each and whether it is right."""

    project: str
    file: str
    model: str
    text: str
    truth: str
    cuts: tuple[Cut, ...]
    evidence: tuple[tuple[float, ...], ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of all answers at an eagerness: how many, the share whose first line is right, and the characters
    that are kept, also as a share of those that are kept if everything is shown."""

    eagerness: float
    answers: int
    precision: float
    kept: int
    kept_share: float


def judged(answers: Iterable[GateAnswer]) -> list[JudgedAnswer]:
    """The answers of which something would be shown without a gate."""
    found = (_judged(answer) for answer in answers)
    return [answer for answer in found if answer is not None]


def shown_at(answers: Sequence[JudgedAnswer], chances: Sequence[Sequence[float]]) -> list[Shown]:
    """What is shown for each `EAGERNESS`, with these chances of the answers' cuts."""
    rows, everything = list[Shown](), 0
    for eagerness in EAGERNESS:
        texts = [_beginning(answer, found, 1 - eagerness) for answer, found in zip(answers, chances, strict=True)]
        shown = [(text, answer.truth) for text, answer in zip(texts, answers, strict=True) if text]
        keys = [acceptable(text, truth) for text, truth in shown]
        kept = sum(key.characters for key in keys if key is not None)
        everything = everything or kept
        right = sum(is_right(text, truth) for text, truth in shown)
        rows.append(Shown(eagerness, len(shown), right / len(shown) if shown else 0.0, kept, kept / max(1, everything)))
    return rows


def _judged(answer: GateAnswer) -> JudgedAnswer | None:
    place, fill, snapshot = answer.place, answer.fill, snapshot_of(answer.place)
    text = outcome(fill, snapshot)
    if isinstance(text, Withheld) or not fill.text.startswith(text):
        return None
    found = cuts(text)
    right = tuple(begins(place.truth, text[: cut.end]) for cut in found)
    rows = tuple(evidence(fill, text, found, snapshot))
    file = f"{place.project}/{place.name}"
    return JudgedAnswer(place.project, file, answer.model, text, place.truth, found, rows, right)


def _beginning(answer: JudgedAnswer, chances: Sequence[float], least: float) -> str:
    pairs = zip(reversed(answer.cuts), reversed(chances), strict=True)
    end = next((cut.end for cut, chance in pairs if chance >= least), 0)
    return answer.text if answer.cuts and end == answer.cuts[-1].end else answer.text[:end]
