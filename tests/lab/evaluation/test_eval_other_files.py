"""Holes before names that other files define, their answers, and the paired difference, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from lacuna_inference.api import Request
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation.other_files import ContextSource, cut, fill, projects, summary
from lacuna_lab.evaluation.other_files.cut import NEARBY, NamedHole, Occurrence
from lacuna_lab.evaluation.other_files.fill import Answer, Pair, Shown, ShowOptions
from lacuna_lab.evaluation.other_files.projects import Project

FAR = "# nothing\n" * (NEARBY + 5)
FILES = {
    "shop/prices.py": 'LIMIT_OF_ALL = 3\n\ndef price_of(item, count):\n    """What it costs."""\n    return count\n\n'
    "class Discount:\n    def apply_to(self, total):\n        return total\n",
    "shop/order.py": "import logging\n"
    "from shop.prices import LIMIT_OF_ALL, Discount, price_of\n\nlog = logging.getLogger()\n\n"
    f"def total(items):\n    most = LIMIT_OF_ALL\n    found = price_of(items[0], most)\n    return found\n{FAR}"
    "def cheaper(discount: Discount):\n    return discount.apply_to(price_of(3, 4))\n",
    "shop/page.ts": "import { tableOf } from './table'\n\nexport const page = () => tableOf(3)\n",
    "shop/table.ts": "export function tableOf(rows: number) {\n  return rows\n}\n",
    "tests/test_order.py": "from shop.prices import price_of\n\ndef test():\n    assert price_of(1, 2) == 2\n",
    "other/log.py": "class Log:\n    def getLogger(self):\n        return self\n",
}
SIMILAR = ShowOptions("passages", 1000)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return projects.read(tmp_path)


def holes(project: Project) -> list[NamedHole]:
    return cut.holes([project], 10, 10, 0)


def test_holes_begin_before_names_of_other_files_and_end_with_the_line(project: Project) -> None:
    found = holes(project)
    assert found == holes(project)
    assert {hole.name for hole in found} == {"price_of", "LIMIT_OF_ALL", "Discount", "apply_to", "tableOf"}
    for hole in found:
        text = FILES[project.shown(hole.path)]
        assert hole.prefix + hole.truth + hole.suffix == text
        assert hole.suffix.startswith("\n")
        assert hole.truth[hole.name_at :].startswith(hole.name)
        assert hole.prefix.rpartition("\n")[2].strip()
        assert hole.language == ("typescript" if hole.path.endswith(".ts") else "python")


def test_a_name_nearby_is_no_hole_and_one_far_away_is_told(project: Project) -> None:
    occurrences = {hole.name: hole.occurrence for hole in holes(project)}
    assert occurrences["LIMIT_OF_ALL"] is Occurrence.NEW
    text = FILES["shop/order.py"]
    lines = {hole.prefix.count("\n") for hole in holes(project) if hole.name == "price_of"}
    assert lines <= {number for number, line in enumerate(text.split("\n")) if "price_of(" in line}
    near = text.replace(FAR, "")
    (project.root / "shop/order.py").write_text(near, encoding="utf-8")
    assert "price_of" not in {hole.name for hole in holes(projects.read(project.root))}


def test_a_folder_without_code_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is not a folder"):
        projects.read(tmp_path / "none")
    with pytest.raises(BadRequest, match="defines anything"):
        projects.read(tmp_path)


def test_the_model_is_asked_without_and_with_other_files(project: Project) -> None:
    hole = next(hole for hole in holes(project) if hole.name == "price_of")

    def answer(request: Request) -> str:
        return hole.truth + "  \nmore" if request.context_files else hole.truth[: hole.name_at] + "price_off"

    engine = FakeEngine(answer)
    pair = fill.fill(hole, engine, 16, SIMILAR)
    assert (pair.without.exact, pair.without.named) == (False, False)
    assert (pair.with_excerpts.exact, pair.with_excerpts.named) == (True, True)
    assert pair.file == f"{project.name}/shop/order.py"
    first, second = (request for request in engine.requests if request.tokenize is None)
    assert first.context_files == ()
    assert (first.parts, first.path, first.stop) == (second.parts, second.path, second.stop)
    assert first.stop.single_line
    assert {file.path for file in second.context_files} <= set(FILES) - {"shop/order.py"}
    assert pair.shown.files == len(second.context_files) > 0
    assert pair.shown.characters <= SIMILAR.budget


@pytest.mark.parametrize("source", get_args(ContextSource))
def test_excerpts_hold_the_definition_or_a_use(project: Project, source: ContextSource) -> None:
    (hole,) = (hole for hole in holes(project) if hole.name == "LIMIT_OF_ALL")
    assert any("price_of" in one.text for one in fill.context(hole, replace(SIMILAR, source=source)))


def test_less_of_the_file_can_be_shown(project: Project) -> None:
    hole = next(hole for hole in holes(project) if hole.path.endswith("order.py"))
    long = replace(hole, prefix="import a\n" * 100 + hole.prefix, suffix=hole.suffix + "b\n" * 100)
    seen = fill.clipped(long, 4)
    assert seen.prefix.count("\n") == fill.HEAD + 3
    assert seen.prefix.endswith(hole.prefix.rpartition("\n")[2])
    assert seen.suffix.count("\n") == 3
    assert fill.clipped(hole, 200) == hole


def pair(file: str, without: bool, with_excerpts: bool, language: str = "python") -> Pair:
    before, after = (Answer("x", right, right, 100, 0.5) for right in (without, with_excerpts))
    return Pair(file, language, Occurrence.NEW, "x", "x", before, after, Shown(1, 500, 120, True))


def test_the_difference_is_paired() -> None:
    pairs = [pair(str(number), number % 2 == 0, True) for number in range(40)]
    (row,) = summary.rows(pairs, 1000)
    assert (row.without.exact.mean, row.with_excerpts.exact.mean, row.exact_difference.mean) == (0.5, 1.0, 0.5)
    assert row.exact_difference.low > 0.3
    assert (row.holes, row.files, row.new, row.budget_used, row.covered) == (40, 40, 40, 0.5, 1.0)
    same = [pair(str(number), number % 2 == 0, number % 2 == 0) for number in range(40)]
    (row,) = summary.rows(same, 1000)
    assert (row.exact_difference.low, row.exact_difference.high) == (0, 0)


def test_a_table_has_a_row_for_each_language_and_one_for_all() -> None:
    found: Sequence[summary.Row] = summary.rows([pair("a", False, True), pair("b", True, True, "go")], 1000)
    assert [row.language for row in found] == ["go", "python", summary.ALL]
    table = summary.markdown({"m": list(found)})
    assert table.count("\n") == 1 + len(found)
    assert "+50.0 (" in table
    assert json.dumps(summary.as_json({"m": list(found)}))
