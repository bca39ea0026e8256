"""Runs the comparison: starts the contestants, asks them part by part, and closes them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Protocol

from lacuna_lab.bench.model import parts
from lacuna_lab.bench.model.figures import Figure, Unit
from lacuna_lab.bench.model.parts import LACUNA, PEER, Part
from lacuna_lab.bench.model.questions import Question, Reply, TypedKey, cold_window, windowed
from lacuna_lab.bench.model.rivals import Contestant, in_turns
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import HoleKind, cut
from lacuna_lab.evaluation.problems import Problem

COLD_TOKENS, PROMPT_TOKENS = 1000, 512
"""Tokens of prompts; less where the context has no room."""
_PLACES, _PROMPTS, _STARTS, _HOLES = 3, 3, 3, 8
_CONTINUED, _CONTINUED_TOKENS, _ANSWER_TOKENS = 5, 128, 48
"""Prompts that are continued without drafts, tokens of each, and tokens that are decoded."""


class LacunaContestant(Contestant, Protocol):
    """Lacuna, which also tells the token ids of texts."""

    def ids_of(self, text: str) -> list[int]: ...

    def kv_bytes(self, tokens: int) -> tuple[int, int]: ...


class Starter(Protocol):
    """Starts the contestants."""

    def lacuna(self, drafts: bool = True) -> LacunaContestant: ...

    def restarted_lacuna(self) -> Contestant:
        """Lacuna, which finds on the disk what the last one kept that this started."""
        ...

    def peer(self) -> Contestant | None:
        """The peer, or None if it is not installed."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked. `texts` are files of code that neither contestant has seen; `context` is that of both."""

    parts: frozenset[Part]
    keys: Sequence[TypedKey]
    texts: Sequence[SourceFile]
    context: int
    problems: Sequence[Problem] = ()
    max_tokens: int = 64
    seed: int = 0

    @property
    def prompt_tokens(self) -> int:
        return min(PROMPT_TOKENS, self.context // 2)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the model's file, and of the peer's KV cache, which has its whole size from the start."""

    file: int
    peer_kv: int


def measure(plan: Plan, starter: Starter, sizes: Sizes, report: Callable[[str], None]) -> list[Figure]:
    """The figures of all parts in the plan. `report` gets a line of text for each part."""
    figures: list[Figure] = []
    if plan.parts - {Part.START}:
        with ExitStack() as stack:
            figures += _run_with_both(plan, starter, sizes, report, stack)
    if Part.START in plan.parts:
        report("start")
        figures += _starts(starter, plan.keys[0].question)
    return figures


def _run_with_both(
    plan: Plan, starter: Starter, sizes: Sizes, report: Callable[[str], None], stack: ExitStack
) -> Iterator[Figure]:
    lacuna = stack.enter_context(closing(starter.lacuna()))
    peer = starter.peer()
    both: list[Contestant] = [lacuna, *([stack.enter_context(closing(peer))] if peer else [])]
    asked = _Asked(plan, both, [lacuna.ids_of(file.text) for file in plan.texts])
    warm_up = Question("def add(a, b):\n    return ", "\n", max_tokens=4)
    in_turns(both, [warm_up])
    for part, figures in _PARTS.items():
        if part in plan.parts:
            report(part)
            yield from figures(asked)
    if Part.MEMORY in plan.parts:
        yield from _memory(asked, lacuna, sizes)
    if Part.DECODE in plan.parts:
        report(Part.DECODE)
        lacuna.close()
        plain = stack.enter_context(closing(starter.lacuna(drafts=False)))
        yield from _decoding(replace(asked, both=[plain, *both[1:]]))


@dataclass(frozen=True, slots=True)
class _Asked:
    """The contestants, what they are asked, and the token ids of the plan's texts."""

    plan: Plan
    both: Sequence[Contestant]
    texts: Sequence[Sequence[int]]

    def replies(self, questions: Sequence[Question]) -> dict[str, list[Reply]]:
        return in_turns(self.both, questions)


def _keys(asked: _Asked) -> list[Figure]:
    return parts.typed_keys(asked.plan.keys, asked.replies([key.question for key in asked.plan.keys]))


def _first(asked: _Asked) -> list[Figure]:
    questions = []
    for file, ids in list(zip(asked.plan.texts, asked.texts, strict=True))[:_PLACES]:
        characters = min(COLD_TOKENS, asked.plan.context // 2) * len(file.text) // max(1, len(ids))
        questions.append(cold_window(file, characters, asked.plan.max_tokens))
    return parts.first_answers(asked.replies(questions))


def _holes(asked: _Asked) -> list[Figure]:
    rng = random.Random(asked.plan.seed)
    questions = []
    for file in asked.plan.texts[:_HOLES]:
        kind = rng.choice((HoleKind.REST_OF_LINE, HoleKind.WHOLE_LINE))
        if (hole := cut(file, kind, rng)) is not None:
            questions.append(windowed(hole, f"{file.path} hole", asked.plan.max_tokens))
    return parts.decoding(f"with drafts, {len(questions)} completions of a line", asked.replies(questions))


def _prompt(asked: _Asked) -> list[Figure]:
    tokens = asked.plan.prompt_tokens
    prompts = [tuple(ids[-tokens:]) for ids in asked.texts if len(ids) >= tokens][:_PROMPTS]
    if not prompts:
        return []
    return parts.prompts(tokens, asked.replies([Question(ids=ids, max_tokens=1) for ids in prompts]))


def _problems(asked: _Asked) -> list[Figure]:
    questions = [
        Question(problem.prefix, problem.suffix or "", "main.py", problem.task, asked.plan.max_tokens)
        for problem in asked.plan.problems
    ]
    return parts.problems(asked.plan.problems, asked.replies(questions))


_PARTS = {
    Part.KEYS: _keys,
    Part.FIRST: _first,
    Part.HOLES: _holes,
    Part.PROMPT: _prompt,
    Part.PROBLEMS: _problems,
}


def _decoding(asked: _Asked) -> list[Figure]:
    prompts = [tuple(ids[:_CONTINUED_TOKENS]) for ids in asked.texts[:_CONTINUED]]
    questions = [Question(ids=ids, max_tokens=_ANSWER_TOKENS) for ids in prompts]
    return parts.decoding(f"without drafts, {len(prompts)} times {_ANSWER_TOKENS} tokens", asked.replies(questions))


def _memory(asked: _Asked, lacuna: LacunaContestant, sizes: Sizes) -> list[Figure]:
    peaks = {contestant.name: contestant.peak_bytes() for contestant in asked.both}
    has_peer = PEER in peaks
    size, tokens = float(sizes.file), asked.plan.prompt_tokens
    (kv, held), peer_kv = lacuna.kv_bytes(tokens), float(sizes.peer_kv) if has_peer else None
    return [
        Figure("memory", "peak of the process", Unit.BYTES, peaks[LACUNA], peaks.get(PEER)),
        Figure("memory", "file", Unit.BYTES, size, size if has_peer else None, None),
        Figure("memory", f"KV cache, {tokens} tokens read", Unit.BYTES, kv, peer_kv),
        Figure("memory", "KV caches held, of all documents", Unit.BYTES, held, peer_kv),
    ]


def _starts(starter: Starter, question: Question) -> list[Figure]:
    """Starts each contestant several times, in turns, and asks it once. Lacuna was started and asked once before."""
    with closing(starter.restarted_lacuna()) as before:
        before.ask(question)
    ready: dict[str, list[float]] = {}
    answer: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    for _ in range(_STARTS):
        for start in (starter.restarted_lacuna, starter.peer):
            contestant = start()
            if contestant is None:
                continue
            with closing(contestant):
                answer_s = contestant.ask(question).taken_s
            ready.setdefault(contestant.name, []).append(contestant.ready_s)
            answer.setdefault(contestant.name, []).append(answer_s)
            whole.setdefault(contestant.name, []).append(contestant.ready_s + answer_s)
    return [
        _medians("process to ready", ready),
        _medians("first suggestion, file as before", answer),
        _medians("process to first suggestion", whole),
    ]


def _medians(name: str, seconds: dict[str, list[float]]) -> Figure:
    found = {who: statistics.median(values) for who, values in seconds.items()}
    return Figure("start", name, Unit.SECONDS, found.get(LACUNA), found.get(PEER))
