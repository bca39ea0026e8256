"""What is said of the typed keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lacuna_lab.replay import chart, report
from lacuna_lab.replay.figures import TOTAL, rows
from lacuna_lab.replay.session import Answer, Keystroke, Session
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_lab.replay.typist import Key, Kind

TYPED = Keystroke(Key("a"), "", False, False, Answer("", 0.1, "empty", 3))
LATE = Keystroke(Key("a"), "", False, False, None)
WRONG = Keystroke(Key("a"), "b", True, False, Answer("b", 0.3, read=1))
ACCEPTED = Keystroke(Key("abc\n    d", Kind.BLOCK), "abc\n    d", True, True, Answer("abc\n    d", 0.2))


def typed(language: str, *keys: Keystroke, path: str = "x") -> Session:
    target = "".join(key.key.text for key in keys)
    return Session(ReplayTask("group", "x", path, language, "before", "after", target), keys)


def test_shares_are_of_characters_and_counts_of_keys() -> None:
    (row,) = rows({"one": [typed("go", TYPED, LATE, WRONG, WRONG, ACCEPTED)]})
    assert (row.language, row.tasks, row.files, row.characters, row.keys) == ("go", 1, 1, 9, 5)
    assert row.kept.mean == pytest.approx(5 / 9)
    assert row.kept_by == {"word": 0, "line": 0, "block": pytest.approx(5 / 9)}
    assert row.saved.mean == pytest.approx(4 / 9)
    assert (row.displays.mean, row.wrong.mean) == (60.0, 40.0)
    assert row.precision.mean == pytest.approx(1 / 3)
    assert (row.silent.mean, row.answered.mean) == (0.4, 0.8)
    assert (row.p50_s, row.p95_s) == (pytest.approx(0.25), pytest.approx(0.3))
    assert row.read == pytest.approx(5 / 3)
    assert row.reasons == {"empty": 1}
    assert row.against_first.mean == 0


def test_contestants_are_compared_task_by_task_in_each_language() -> None:
    nothing = [TYPED] * 5
    first = [typed("go", *nothing), typed("c", *nothing, path="y")]
    other = [typed("go", ACCEPTED), typed("c", *nothing, path="y")]
    table = {(row.contestant, row.language): row for row in rows({"first": first, "other": other})}
    assert list(table) == [(name, part) for part in (TOTAL, "c", "go") for name in ("first", "other")]
    assert table["other", "go"].against_first.mean == 1.0
    assert table["other", "c"].against_first.mean == 0.0
    assert table["other", TOTAL].against_first.mean == 0.5
    assert (table["other", TOTAL].against_first.low, table["other", TOTAL].against_first.high) == (0.0, 1.0)


def test_the_table_the_json_and_the_chart(tmp_path: Path) -> None:
    found = rows({"one": [typed("go", WRONG, ACCEPTED)], "two": [typed("go", *[LATE] * 6)]})
    lines = report.markdown(found).split("\n")
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(report.COLUMNS) + 1}
    assert "| go | two | 6 | 0.0 % (0.0 to 0.0) |" in lines[3]
    assert lines[3].endswith("| -83.3 (-83.3 to -83.3) |")
    assert json.loads(json.dumps(report.as_json(found)))[0]["kept"]["mean"] == pytest.approx(5 / 6)
    pytest.importorskip("matplotlib")
    chart.draw(found, tmp_path / "kept.png")
    assert (tmp_path / "kept.png").read_bytes().startswith(b"\x89PNG")


def test_each_display_is_told_with_what_was_written_instead() -> None:
    told = [json.loads(line) for line in report.displays({"one": [typed("go", TYPED, WRONG, ACCEPTED)]})]
    assert [(one["before"], one["shown"], one["right"], one["accepted"]) for one in told] == [
        ("beforea", "b", False, None), ("beforeaa", "abc\n    d", True, "block")
    ]  # fmt: skip
    assert told[0]["written"] == "aabc\n    d"
