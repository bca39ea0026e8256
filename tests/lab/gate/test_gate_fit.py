"""Answers beside what was written, the coefficients fitted to them, and how they are judged."""

from __future__ import annotations

import json
import math
import random
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from lacuna_inference.api import Fill, StopReason, TokenLogprob
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import BadRequest
from lacuna_lab.commands import gate
from lacuna_lab.gate import answers, fit, report
from lacuna_lab.gate.answers import GateAnswer
from lacuna_lab.gate.judged import judged, shown_at
from lacuna_lab.gate.other_files import OtherFiles
from lacuna_lab.gate.places import Place, PlacePlan
from lacuna_server.core.evidence import NAMES
from lacuna_server.core.gate import coefficients_for
from lacuna_server.core.service import Policy
from lacuna_server.settings import Settings


def answered(probability: float, right: bool, project: str = "p") -> GateAnswer:
    """An answer of one word, which its model finds this likely."""
    truth = "total\n" if right else "other\n"
    token = TokenLogprob("total", math.log(probability))
    fill = Fill("total", StopReason.NEWLINE, 1, token.logprob, (token,))
    return GateAnswer(Place(project, "a.py", "python", "x = ", "\n", truth), fill, "/models/Some-Model.gguf")


def overconfident(count: int = 2000) -> list[GateAnswer]:
    """Answers that are right half as often as their model says, in ten projects."""
    rng = random.Random(1)
    drawn = [rng.uniform(0.05, 0.95) for _ in range(count)]
    return [answered(p, rng.random() < p / 2, f"p{number % 10}") for number, p in enumerate(drawn)]


def test_the_parts_of_an_answer_are_right_up_to_a_word_s_end() -> None:
    place = Place("p", "a.py", "python", "x = ", "\n", "self.get(url).json()\n")
    for text, right in (
        ("self.get(url).text", [True, True, False]),
        ("self.get(url).json()", [True, True, True]),
        ("self.ge", [True, False]),
        ("selfish", [False]),
    ):
        (found,) = judged([GateAnswer(place, Fill(text, StopReason.NEWLINE, 1, 0.0), "m")])
        assert list(found.right) == right


def test_an_answer_that_is_trimmed_away_is_not_judged() -> None:
    assert judged([GateAnswer(answered(0.5, True).place, Fill(" ", StopReason.NEWLINE, 1, 0.0), "m")]) == []


def test_fitted_chances_agree_with_how_often_answers_are_right() -> None:
    found = judged(overconfident())
    raw = [[math.exp(-math.log1p(math.exp(-answer.evidence[0][0])))] for answer in found]
    assert report.reliability(found, raw).error > 0.15
    reliable = report.reliability(found, fit.cross_fitted(found))
    assert reliable.error < 0.05
    assert 0 < reliable.by_chance < 0.03


def test_likelier_never_counts_for_less() -> None:
    backwards = [answered(p, right) for p, right in ((0.9, False), (0.1, True)) * 200]
    assert fit.fit(judged(backwards))["joint"] == pytest.approx(0)


def test_what_is_shown_and_kept_is_counted() -> None:
    found = judged([answered(0.9, True), answered(0.2, False)])
    everything, *_, least = shown_at(found, [[0.8], [0.3]])
    assert (everything.answers, everything.precision, everything.kept, everything.kept_share) == (2, 0.5, 5, 1.0)
    half = next(row for row in shown_at(found, [[0.8], [0.3]]) if row.eagerness == 0.5)
    assert (half.answers, half.precision, half.kept_share) == (1, 1.0, 1.0)
    assert least.answers == 0


def test_answers_are_kept_as_json(tmp_path: Path) -> None:
    file, known = tmp_path / "answers.jsonl", [answered(0.5, True), answered(0.4, False)]
    with file.open("w") as stream:
        for answer in known:
            answers.write(stream, answer)
    assert answers.read([file]) == known
    file.write_text("{}\n")
    with pytest.raises(BadRequest):
        answers.read([file])
    with pytest.raises(BadRequest):
        answers.read([])


def test_the_model_is_asked_as_the_server_asks() -> None:
    engine = FakeEngine("total")
    place = Place("p", "a.py", "python", "def f():\n    return ", "\n", "total\n")
    inside_word = Place("p", "a.py", "python", "ret", "urn", "")
    (found,) = answers.answers(engine, [place, inside_word], Policy(max_tokens=9))
    assert found == GateAnswer(place, Fill("total", StopReason.END_OF_HOLE, 5, -0.1), "fake")
    (request,) = engine.requests
    assert (request.stop.single_line, request.stop.max_tokens, request.sampling.temperature) == (True, 9, 0)


def test_the_model_is_shown_other_files_as_the_server_shows_them(tmp_path: Path) -> None:
    (tmp_path / "ledger.py").write_text("class Ledger:\n    def total(self):\n        return 1\n")
    own = tmp_path / "report.py"
    before = "from ledger import Ledger\n\n\ndef report(ledger: Ledger):\n    return ledger."
    place = Place("p", "report.py", "python", before, "\n", "total()\n", str(own))
    shown = OtherFiles([tmp_path], 1000).at
    assert {file.path for file in shown(place)} == {"ledger.py"}
    assert shown(replace(place, path="")) == ()
    engine = FakeEngine("total()")
    list(answers.answers(engine, [place], Policy(), shown))
    assert "class Ledger" in engine.requests[0].context_files[0].text


def test_without_a_project_there_are_no_other_files(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--files"):
        gate.collect(Settings(), PlacePlan(), tmp_path / "answers.jsonl", excerpts=100)


def test_coefficients_are_written_as_the_server_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, table = tmp_path / "answers.jsonl", tmp_path / "gate.toml"
    with file.open("w") as stream:
        for answer in overconfident(300):
            answers.write(stream, answer)
    gate.fit([file], table)
    fits = tomllib.loads(table.read_text())
    assert set(fits) == {"some-model", "default"}
    assert all(set(fitted) == {"bias", *NAMES} for fitted in fits.values())
    capsys.readouterr()
    gate.judge([file], as_json=True)
    told = json.loads(capsys.readouterr().out)["some-model"]
    (one, *_) = judged(overconfident(1))
    assert 0 <= told["reliability"]["error"] <= 1
    assert fit.chances(one, coefficients_for("some-model"))


def test_a_file_that_cannot_be_written_is_an_error_to_fix(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with file.open("w") as stream:
        for answer in overconfident(50):
            answers.write(stream, answer)
    with pytest.raises(BadRequest):
        gate.fit([file], tmp_path / "missing" / "gate.toml")


def test_answers_of_a_single_project_are_not_enough(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with file.open("w") as stream:
        answers.write(stream, answered(0.5, True))
    with pytest.raises(BadRequest, match="fewer than 5 projects"):
        gate.fit([file], None)
