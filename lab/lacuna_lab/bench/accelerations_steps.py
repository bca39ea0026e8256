"""The steps of `lacuna bench accelerations`: what is switched on in each, and what it is compared with.

Steps say what to measure and measure nothing. What does not apply to a model or a machine stays, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Runner(StrEnum):
    """What runs the model. Under the first two transformers' own loop decodes, under the others ours."""

    UNCACHED = "generate(), no KV cache"
    GENERATE = "generate(), KV cache"
    LIBRARY = "own loop, transformers' forward"
    OWN = "own forward"
    GRAPHS = "CUDA graphs"
    COMPILED = "torch.compile"
    INT8 = "int8 weights"
    INT4 = "int4 weights"


class Acceleration(StrEnum):
    """What spares work of the own loop, or goes with it. In this order they are added up."""

    KEPT = "kept prompts"
    DRAFTS = "drafts"
    ANCHORED = "anchored prompts"
    HEALED = "token healing"
    LOCAL = "n-grams of the file"
    GHOSTS = "ghosts (typing along)"


class Group(StrEnum):
    """Where a step stands in the report."""

    LADDER = "ladder"
    """On top of all steps before it."""
    INSTEAD = "instead"
    """Other weights or recorded steps under everything; compared with everything."""
    ALONE = "alone"
    """On top of the forward that reads everything from nothing; compared with that."""
    LEFT_OUT = "left out"
    """Everything without it; compared with everything."""
    CROWD = "crowd"
    """Several typists at a time."""


BASES = (Runner.UNCACHED, Runner.GENERATE, Runner.LIBRARY, Runner.OWN)
INSTEAD = (Runner.GRAPHS, Runner.COMPILED, Runner.INT8, Runner.INT4)
EXACT = frozenset({*BASES, Runner.GRAPHS, Runner.COMPILED, Acceleration.KEPT, Acceleration.DRAFTS})
"""What must not change a text. The others change the prompt, the weights or the choice of a token."""
WhyNot = Mapping[Runner | Acceleration, str]
"""Why something does not apply here."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to answer: what runs the model, and the accelerations that are on."""

    runner: Runner
    on: frozenset[Acceleration] = frozenset()


@dataclass(frozen=True, slots=True)
class AblationStep:
    """A setup and the one that it is compared with, of which it must give the same texts when it is `exact`.

    Without a setup `why_not` says why it is not measured.
    """

    group: Group
    name: str
    exact: bool
    setup: Setup | None = None
    against: Setup | None = None
    why_not: str = ""


def steps(why_not: WhyNot) -> list[AblationStep]:
    """All steps, those that build on each other first. The own loop has one forward at least."""
    ladder = list(_ladder(why_not))
    base, everything = base_and_everything(why_not)
    return [*ladder, *_instead(why_not, everything), *_alone(why_not, base), *_left_out(why_not, base, everything)]


def base_and_everything(why_not: WhyNot) -> tuple[Setup, Setup]:
    """The forward that reads everything from nothing, and the same with all that applies."""
    runner = Runner.LIBRARY if Runner.OWN in why_not else Runner.OWN
    return Setup(runner), Setup(runner, frozenset(one for one in Acceleration if one not in why_not))


def setups(planned: list[AblationStep]) -> list[Setup]:
    """Each setup once, as several steps may share one."""
    return list(dict.fromkeys(step.setup for step in planned if step.setup is not None))


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
