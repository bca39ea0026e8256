"""Places where somebody types: what is before and after them, and what is to come."""

from __future__ import annotations

import random
from pathlib import Path

from lacuna_lab.gate.places import PlacePlan, places, places_in
from lacuna_lab.replay.tasks import ReplayTask

TARGET = "def area(self):\n    width = max(self.a, self.b)\n    return width * self.height(1)\n"
TASK = ReplayTask("g", "shapes.py", "shapes.py", "python", "class A:\n    ", "\nx = 1\n", TARGET)


def test_a_place_is_in_the_text_that_is_typed() -> None:
    for seed in range(50):
        for place in places_in(TASK, "project", 5, random.Random(seed)):
            assert place.before.startswith(TASK.before)
            whole = TASK.before + TARGET + TASK.after
            assert place.before + place.truth + place.after == whole
            assert place.truth.strip()


def test_either_the_block_or_the_line_is_to_come() -> None:
    found = [place for seed in range(50) for place in places_in(TASK, "p", 5, random.Random(seed))]
    assert {place.after == TASK.after for place in found} == {True, False}
    assert any("\n" in place.truth for place in found)
    assert all("\n" not in place.truth for place in found if place.after != TASK.after)


def test_brackets_that_were_opened_may_be_closed_already() -> None:
    found = [place for seed in range(100) for place in places_in(TASK, "p", 5, random.Random(seed))]
    closed = [place for place in found if place.after.startswith((")", "]"))]
    assert closed
    for place in closed:
        line = place.before.rpartition("\n")[2]
        assert line.count("(") > line.count(")")


def test_places_are_at_starts_of_lines_at_borders_and_inside_words() -> None:
    found = [place for seed in range(50) for place in places_in(TASK, "p", 5, random.Random(seed))]
    lines = [place.before.rpartition("\n")[2] for place in found]
    assert any(not line.strip() for line in lines)
    assert any(line.endswith((" ", ".", "(")) for line in lines if line.strip())
    assert any(
        place.before[-1].isalnum() and place.truth[0].isalnum() for place in found
    )  # the word that is typed is not there yet


def test_projects_come_in_turns(tmp_path: Path) -> None:
    for project in ("one", "two"):
        folder = tmp_path / project
        folder.mkdir()
        for number in range(3):
            body = "".join(f"value_{number}_{n} = compute({n}, '{project}')\n" for n in range(30))
            (folder / f"m{number}.py").write_text(body)
    plan = PlacePlan((tmp_path / "one", tmp_path / "two"), files=4, blocks=1, per_block=2)
    found = list(places(plan))
    order = list(dict.fromkeys((place.project, place.name) for place in found))
    assert [project for project, _ in order] == ["one", "two", "one", "two"]
    assert found == list(places(plan))
