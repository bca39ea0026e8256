"""The steps of `lacuna bench accelerations`: what each one enables, and what it is compared with.

This module only says what to measure. A step that does not apply to a model or a machine is kept, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Runner(StrEnum):
    """What runs the model. The first two use the decoding loop of transformers, the others Lacuna's own."""

    UNCACHED = "generate(), no KV cache"
    GENERATE = "generate(), KV cache"
    LIBRARY = "own loop, transformers' forward"
    OWN = "own forward"
    GRAPHS = "CUDA graphs"
    COMPILED = "torch.compile"
    INT8 = "int8 weights"
    INT4 = "int4 weights"


class Acceleration(StrEnum):
    """What saves work in the own loop, or is part of it. The ladder enables them in this order."""

    PREFIX_CACHE = "prefix cache"
    PROMPT_LOOKUP = "prompt lookup"
    ANCHORED_LAYOUT = "anchored layout"
    HEALING = "token healing"
    NGRAM_MIXER = "n-gram mixer"
    SUGGESTION_REUSE = "suggestion reuse"


class Group(StrEnum):
    """The section of the report that a step belongs to."""

    LADDER = "ladder"
    """On top of all steps before it."""
    INSTEAD = "instead"
    """Other weights, compiled or captured steps, with everything else enabled; compared with everything."""
    ALONE = "alone"
    """On top of the forward that evaluates every prompt from scratch; compared with that."""
    LEFT_OUT = "left out"
    """Everything without it; compared with everything."""
    CROWD = "crowd"
    """Several users at once."""


BASES = (Runner.UNCACHED, Runner.GENERATE, Runner.LIBRARY, Runner.OWN)
INSTEAD = (Runner.GRAPHS, Runner.COMPILED, Runner.INT8, Runner.INT4)
EXACT = frozenset({*BASES, Runner.GRAPHS, Runner.COMPILED, Acceleration.PREFIX_CACHE, Acceleration.PROMPT_LOOKUP})
"""What must not change any text. The others change the prompt, the weights or the choice of a token."""
WhyNot = Mapping[Runner | Acceleration, str]
"""Why something does not apply here."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration: what runs the model, and which accelerations are enabled."""

    runner: Runner
    on: frozenset[Acceleration] = frozenset()


@dataclass(frozen=True, slots=True)
class AblationStep:
    """A setup and its baseline, whose texts it must reproduce if it is `exact`.

    Without a setup, `why_not` says why it is not measured.
    """

    group: Group
    name: str
    exact: bool
    setup: Setup | None = None
    baseline: Setup | None = None
    why_not: str = ""


def steps(why_not: WhyNot) -> list[AblationStep]:
    """All steps, those that build on each other first. `why_not` must leave the own loop at least one forward."""
    ladder = list(_ladder(why_not))
    base, everything = base_and_everything(why_not)
    return [*ladder, *_instead(why_not, everything), *_alone(why_not, base), *_left_out(why_not, base, everything)]


def base_and_everything(why_not: WhyNot) -> tuple[Setup, Setup]:
    """The forward that evaluates every prompt from scratch, and the same one with every acceleration that applies."""
    runner = Runner.LIBRARY if Runner.OWN in why_not else Runner.OWN
    return Setup(runner), Setup(runner, frozenset(one for one in Acceleration if one not in why_not))


def setups(steps: list[AblationStep]) -> list[Setup]:
    """The distinct setups: several steps may share one."""
    return list(dict.fromkeys(step.setup for step in steps if step.setup is not None))


def _ladder(why_not: WhyNot) -> Iterator[AblationStep]:
    here: Setup | None = None
    for runner in BASES:
        if runner in why_not:
            yield _absent(Group.LADDER, runner, why_not)
        else:
            setup = Setup(runner)
            yield AblationStep(Group.LADDER, runner, True, setup, here or setup)
            here = setup
    assert here is not None
    for one in Acceleration:
        if one in why_not:
            yield _absent(Group.LADDER, one, why_not)
        else:
            setup = Setup(here.runner, here.on | {one})
            yield AblationStep(Group.LADDER, one, one in EXACT, setup, here)
            here = setup


def _instead(why_not: WhyNot, everything: Setup) -> Iterator[AblationStep]:
    for runner in INSTEAD:
        if runner in why_not:
            yield _absent(Group.INSTEAD, runner, why_not)
        else:
            yield AblationStep(Group.INSTEAD, runner, runner in EXACT, Setup(runner, everything.on), everything)


def _alone(why_not: WhyNot, base: Setup) -> Iterator[AblationStep]:
    for slower, faster in pairwise(runner for runner in BASES if runner not in why_not):
        yield AblationStep(Group.ALONE, faster, True, Setup(faster), Setup(slower))
    for one in Acceleration:
        if one not in why_not:
            yield AblationStep(Group.ALONE, one, one in EXACT, Setup(base.runner, frozenset({one})), base)
    for runner in INSTEAD:
        if runner not in why_not:
            yield AblationStep(Group.ALONE, runner, runner in EXACT, Setup(runner), base)


def _left_out(why_not: WhyNot, base: Setup, everything: Setup) -> Iterator[AblationStep]:
    if base.runner is Runner.OWN and Runner.LIBRARY not in why_not:
        yield AblationStep(Group.LEFT_OUT, Runner.OWN, True, Setup(Runner.LIBRARY, everything.on), everything)
    for one in Acceleration:
        if one in everything.on:
            without = Setup(everything.runner, everything.on - {one})
            yield AblationStep(Group.LEFT_OUT, one, one in EXACT, without, everything)


def _absent(group: Group, one: Runner | Acceleration, why_not: WhyNot) -> AblationStep:
    return AblationStep(group, one, one in EXACT, why_not=why_not[one])
