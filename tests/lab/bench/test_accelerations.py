"""`lacuna bench accelerations`: which steps there are, their figures by hand, and how they are shown."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import scripted_decoder

from lacuna_inference.api import Request, Stop
from lacuna_inference.errors import BadRequest
from lacuna_lab.bench import accelerations, accelerations_chart, accelerations_gap
from lacuna_lab.bench.accelerations import AccelerationRow, Measurement, TimedAnswer, TypingLoad
from lacuna_lab.bench.accelerations_steps import (
    BASES,
    INSTEAD,
    Acceleration,
    Group,
    Runner,
    Setup,
    base_and_everything,
    setups,
    steps,
)
from lacuna_lab.bench.accelerations_table import About, identical, table
from lacuna_lab.bench.typing_trace import typing_trace
from lacuna_lab.commands import bench_accelerations as command
from lacuna_lab.evaluation.files import SourceFile

ABOUT = About("model", True, "cpu", "float32", 1, 3, 16, 0)


def test_each_step_of_the_ladder_adds_one_thing_to_the_one_before() -> None:
    ladder = [step for step in steps({}) if step.group is Group.LADDER]
    assert [step.name for step in ladder] == [*BASES, *Acceleration]
    assert ladder[0].setup == ladder[0].baseline == Setup(Runner.UNCACHED)
    for before, step in pairwise(ladder):
        assert step.baseline == before.setup
    last = ladder[-1].setup
    assert last is not None
    assert last == base_and_everything({})[1] == Setup(Runner.OWN, frozenset(Acceleration))


def test_each_is_also_measured_alone_and_left_out() -> None:
    planned = steps({})
    base, everything = base_and_everything({})
    for one in Acceleration:
        alone = next(step for step in planned if step.group is Group.ALONE and step.name == one)
        assert (alone.setup, alone.baseline) == (Setup(Runner.OWN, frozenset({one})), base)
        without = next(step for step in planned if step.group is Group.LEFT_OUT and step.name == one)
        assert (without.setup, without.baseline) == (Setup(Runner.OWN, everything.on - {one}), everything)
    assert len(setups(planned)) == len({step.setup for step in planned if step.setup})


def test_an_inapplicable_step_says_why_and_is_left_out_everywhere() -> None:
    reasons: dict[Runner | Acceleration, str] = {
        Runner.OWN: "another architecture", Acceleration.PROMPT_LOOKUP: "too dear", **dict.fromkeys(INSTEAD, "no")
    }  # fmt: skip
    planned = steps(reasons)
    assert {step.name: step.why_not for step in planned if step.setup is None} == reasons
    base, everything = base_and_everything(reasons)
    assert base == Setup(Runner.LIBRARY)
    assert everything.on == frozenset(Acceleration) - {Acceleration.PROMPT_LOOKUP}
    assert not [step for step in planned if step.setup and step.setup.runner in (Runner.OWN, *INSTEAD)]


def test_which_steps_must_not_change_a_text() -> None:
    exact = {step.name for step in steps({}) if step.exact}
    assert exact == {*BASES, Runner.GRAPHS, Runner.COMPILED, Acceleration.PREFIX_CACHE, Acceleration.PROMPT_LOOKUP}


def measured(*answers: tuple[float, str]) -> Measurement:
    return Measurement([TimedAnswer(seconds, text, 10, 2) for seconds, text in answers], 1000)


WORK = TypingLoad((Request(("a",)),) * 3, ("x", None, "y"))


def test_figures_by_hand() -> None:
    first = measured((1.0, "x"), (1.0, "x"), (1.0, "x"))
    before = measured((0.4, "x"), (0.6, "x"), (0.8, "z"))
    here = measured((0.1, "x"), (0.2, "w"), (0.6, "y"))
    found = accelerations.figures(here, before, first, [WORK], (5000, 1.5))
    assert found.mean_s == pytest.approx(0.3)
    assert found.p50_s == 0.2
    assert found.times_faster == pytest.approx(2.0)
    assert (found.evaluated, found.passes) == (10, 2)
    assert (found.weight_bytes, found.kept_bytes, found.prepared_s) == (5000, 1000, 1.5)
    assert found.differing == 2
    assert found.as_first == pytest.approx(1 / 3)
    assert found.as_typed == 1.0  # of the two that can be judged


def row(exact: bool, *texts: str, group: Group = Group.LADDER, name: str = "drafts") -> AccelerationRow:
    here, against = measured(*((0.1, text) for text in texts)), measured((0.2, "x"), (0.2, "x"), (0.2, "x"))
    return AccelerationRow(group, name, exact, accelerations.figures(here, against, against, [WORK], (5000, 0.0), 1e-7))


def test_a_text_that_must_not_change_and_did_is_shown() -> None:
    good, broken, free = row(True, "x", "x", "x"), row(True, "x", "x", "y"), row(False, "x", "x", "y")
    assert (good.broken, broken.broken, free.broken) == (False, True, False)
    assert identical(good) == "yes"
    assert identical(broken) == "NO (1 of 3 differ; two best tokens at most 1e-07 nats apart)"
    assert identical(free) == "67 % (may change)"
    text = "\n".join(table([good, broken, free], ABOUT))
    assert "**drafts (ladder) changed texts although it must not.**" in text
    assert "(random weights)" in text


def test_the_table_has_every_step_and_why_some_are_missing() -> None:
    rows = [
        row(True, "x", "x", "x"),
        row(True, "x", "x", "x", group=Group.ALONE),
        AccelerationRow(Group.INSTEAD, "CUDA graphs", True, None, "it needs a CUDA device"),
        row(True, "x", "x", "x", group=Group.CROWD, name="8 users, batched"),
    ]
    text = "\n".join(table(rows, ABOUT))
    assert "| CUDA graphs | does not apply: it needs a CUDA device |" in text
    assert "| 8 users, batched | 100 | 100 | 2.00× |" in text


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    rows = [row(True, "x", "x", "x"), row(False, "y", "x", "x"), row(True, "x", "y", "x")]
    rows += [
        AccelerationRow(Group.INSTEAD, "CUDA graphs", True, None, "no GPU"),
        row(False, "x", "x", "x", group=Group.INSTEAD),
    ]
    accelerations_chart.draw(rows, ABOUT, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadRequest, match="cannot be written"):
        accelerations_chart.draw(rows, ABOUT, tmp_path / "missing" / "chart.png")


def test_later_typing_is_known_except_after_a_typo() -> None:
    source = SourceFile("group", "x.py", "".join(f"def f{n}(a):\n    return a + {n}\n\n" for n in range(20)))
    typed = typing_trace(source, 3, random.Random(0))
    found = accelerations.typing_load(typed, 1000, 16)
    assert len(found.requests) == len(found.typed) == len(typed.keys)
    known = [(request, text) for request, text in zip(found.requests, found.typed, strict=True) if text is not None]
    assert len(known) > len(typed.keys) // 2
    for request, text in known:
        line = request.parts[0].rsplit("\n", 1)[-1] + text
        assert line in source.text.split("\n")


def test_the_margin_between_the_two_best_tokens() -> None:
    request = Request(("one\n", "\n"), "x.py", Stop(16, single_line=True))
    near = accelerations_gap.gap(scripted_decoder("two"), [request], "twelve")
    assert near == pytest.approx(10.0, abs=1e-3)  # the scripted model's logits are 10 and 0
    assert accelerations_gap.gap(scripted_decoder("two"), [request], "two") is None


def test_an_unwritable_folder_is_rejected_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequest, match="cannot be created"):
        command._prepare(tmp_path / "file")
