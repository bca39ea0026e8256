"""Evaluation: holes, scores, intervals and the copier, without a model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation import files, report, run
from lacuna_lab.evaluation.copier import copy
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import SINGLE_LINE, EvaluationHole, HoleKind, cut
from lacuna_lab.evaluation.metrics import bootstrap, edit_similarity
from lacuna_lab.evaluation.run import HoleAnswer, score

TEXT = Path(run.__file__).read_text()
FILE = SourceFile("own", "run.py", TEXT)


@pytest.mark.parametrize("kind", list(HoleKind))
def test_a_hole_and_its_surroundings_make_up_the_file(kind: HoleKind) -> None:
    for seed in range(30):
        hole = cut(FILE, kind, random.Random(seed))
        assert hole is not None
        assert hole.prefix + hole.truth + hole.suffix == TEXT
        assert hole.truth.strip()
        if kind in SINGLE_LINE:
            assert "\n" not in hole.truth
            assert hole.suffix.startswith("\n")
        if kind is HoleKind.INSIDE_WORD:
            assert hole.prefix[-1].isidentifier() or hole.prefix[-1].isdigit()
            assert (hole.truth[0]).isalnum() or hole.truth[0] == "_"
        if kind is HoleKind.LINES:
            assert 1 <= hole.truth.count("\n") <= 5


def test_the_same_seed_gives_the_same_holes() -> None:
    assert run.holes([FILE], 3, 1) == run.holes([FILE], 3, 1) != run.holes([FILE], 3, 2)


def hole(truth: str, kind: HoleKind = HoleKind.REST_OF_LINE) -> EvaluationHole:
    return EvaluationHole(kind, FILE, "x = ", "\ny = 2\n", truth)


def test_scores() -> None:
    right = score(hole("1"), HoleAnswer("1 \nz = 3"))
    assert (right.exact, right.exact_stripped, right.similarity, right.parses, right.end_found) == (
        True,
        True,
        1.0,
        True,
        True,
    )
    blank = score(hole(" 1"), HoleAnswer("1"))
    assert (blank.exact, blank.exact_stripped) == (False, True)
    assert not score(hole("1"), HoleAnswer("1\n2\n3")).end_found
    assert not score(hole("1"), HoleAnswer("1", ended=False)).end_found
    assert not score(hole("1"), HoleAnswer("(1")).parses
    assert score(hole("1", HoleKind.NEXT_LINE), HoleAnswer("1")).end_found is None
    assert not score(hole("1\n2", HoleKind.LINES), HoleAnswer("1")).exact


@pytest.mark.parametrize(
    ("truth", "answer", "early", "late"),
    [
        ("f(x)", HoleAnswer("f(x)"), False, False),
        ("f(x)", HoleAnswer("f(x) \n"), False, False),
        ("f(x)", HoleAnswer("f("), True, False),
        ("f(x)", HoleAnswer(""), True, False),
        ("f(x)", HoleAnswer("f(", ended=False), False, False),
        ("f(x)", HoleAnswer("f(x)\ny"), False, True),
        ("f(x)", HoleAnswer("f(x)", ended=False), False, True),
        ("f(x)", HoleAnswer("g(x)\ny"), False, False),
        ("f(x)\ny", HoleAnswer("f(x)"), True, False),
    ],
)
def test_early_and_late_ends_are_recognized(truth: str, answer: HoleAnswer, early: bool, late: bool) -> None:
    found = score(hole(truth, HoleKind.LINES), answer)
    assert (found.early, found.late) == (early, late)
    left_to_right = score(hole(truth, HoleKind.NEXT_LINE), answer)
    assert (left_to_right.early, left_to_right.late) == (None, None)


@pytest.mark.parametrize(
    ("a", "b", "similarity"), [("", "", 1), ("ab", "ab", 1), ("ab", "cd", 0), ("abcd", "abd", 0.75)]
)
def test_edit_similarity(a: str, b: str, similarity: float) -> None:
    assert edit_similarity(a, b) == edit_similarity(b, a) == similarity


def test_the_bootstrap_resamples_files_not_holes() -> None:
    one_file = bootstrap([("a", 1.0), ("a", 0.0)] * 50)
    assert (one_file.low, one_file.mean, one_file.high) == (0.5, 0.5, 0.5)
    many = bootstrap([(str(n), float(n % 2)) for n in range(100)])
    assert 0.38 < many.low < many.mean == 0.5 < many.high < 0.62


@pytest.mark.parametrize(
    ("prefix", "suffix", "copied"),
    [
        ("for item in items:\n    print(item)\nfor item in ", "", "items:"),
        ("self.width = width\nself.wi", "", "dth = width"),
        ("x = ", "\ndef f():\n    return x\n", "x"),
        ("", "", ""),
    ],
)
def test_the_copier_repeats_what_followed_before(prefix: str, suffix: str, copied: str) -> None:
    assert copy(prefix, suffix, lines=1) == copied


def test_a_table_has_a_row_for_each_kind_and_answerer() -> None:
    holes = run.holes([FILE], 2, 0)
    fake = list(run.scores(holes, run.by_engine(FakeEngine("pass"), 16)))
    copied = list(run.scores(holes, run.by_copier))
    tables = {"fake": report.rows(fake), "copier": report.rows(copied)}
    assert report.markdown(tables).count("\n") == 1 + 2 * len(HoleKind)
    assert len(report.as_json(tables)["fake"]) == len(HoleKind)
    assert report.end_found_single_line(fake).mean == 1.0


def test_the_chart_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from lacuna_lab.evaluation import chart

    copied = report.rows(list(run.scores(run.holes([FILE], 1, 0), run.by_copier)))
    chart.draw({"copier": copied, "again": copied[:3]}, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadRequest, match="no folder"):
        chart.check(tmp_path / "none" / "chart.png")
    with pytest.raises(BadRequest, match="is a folder"):
        chart.check(tmp_path)
    with pytest.raises(BadRequest, match="cannot be written"):
        chart.draw({"copier": copied}, tmp_path / "none" / "chart.png")


def test_held_out_files_come_from_packages_that_were_never_trained_on() -> None:
    sources = files.held_out(12, 0)
    assert len(sources) == 12
    assert {source.group for source in sources} <= set(files.held_out_packages())
    assert len({source.group for source in sources}) > 3
    assert sources == files.held_out(12, 0)


def test_own_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    (tmp_path / "broken.py").write_text("def f(:\n" * 200)
    for folder in (".venv", "lib/site-packages/p", "a"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("\ufeff" + TEXT, encoding="utf-8")
    first, second = sorted(files.from_paths([tmp_path], 5, 0), key=lambda source: source.path)
    assert first.name == second.name == "a.py"
    assert first.text == second.text == TEXT
    scores = run.scores(run.holes([first, second], 1, 0), run.by_copier)
    assert {score.file for score in scores} == {str(tmp_path / "a" / "a.py"), str(tmp_path / "a.py")}
    assert len(files.from_paths([tmp_path], 1, 0)) == 1
    assert files.from_paths([tmp_path / ".venv"], 5, 0)
    with pytest.raises(BadRequest, match="no Python file"):
        files.from_paths([tmp_path / "none"], 5, 0)
