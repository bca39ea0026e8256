"""The figures of `lacuna precision`: against an independent implementation, and by hand."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ScriptedForward, scripted_decoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lacuna_inference.api import BUNDLED, ModelOptions
from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import EvaluationHole, HoleKind
from lacuna_lab.evaluation.run import HoleAnswer
from lacuna_lab.precision import answers, gates, kl_statistics, logits, study_dir, variants
from lacuna_lab.precision.kl_statistics import Measure, Positions, Summary
from lacuna_lab.precision.layers import LayerError
from lacuna_lab.precision.questions import TextWindow, questions
from lacuna_lab.precision.study_dir import StudyDir

Array = NDArray[np.float64]


def by_numpy(reference: Array, test: Array, following: list[int]) -> dict[str, float]:
    """The figures of one text, computed independently: probabilities instead of logarithms, position by position."""
    kls, same, ratios, deltas = [], [], [], []
    for p_logits, q_logits, token in zip(reference, test, following, strict=True):
        p, q = (np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in (p_logits, q_logits))
        kls.append(float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)))
        same.append(int(np.argmax(p) == np.argmax(q)))
        ratios.append(float(np.log(p[token]) - np.log(q[token])))
        deltas.append(float(q[token] - p[token]))
    ordered, count = sorted(kls), len(kls)
    at = 0.99 * (count - 1)
    low = int(at)
    return {
        "mean": sum(kls) / count,
        "naive": float(np.std(kls, ddof=1)) / count**0.5,
        "median": float(np.median(kls)),
        "p99": ordered[low] + (at - low) * (ordered[min(low + 1, count - 1)] - ordered[low]),
        "largest": max(kls),
        "same": sum(same) / count,
        "ppl_ratio": float(np.exp(sum(ratios) / count)),
        "ratio_naive": float(np.std(ratios, ddof=1)) / count**0.5,
        "rms": (sum(d * d for d in deltas) / count) ** 0.5,
    }


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 3), st.integers(2, 120))
def test_the_figures_are_those_of_an_independent_computation(seed: int, apart: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    reference = 3 * rng.standard_normal((count, 17))
    test = reference + apart * rng.standard_normal((count, 17))
    following = [int(token) for token in rng.integers(0, 17, count)]
    expected = by_numpy(reference, test, following)
    found = kl_statistics.summary(
        [kl_statistics.compare(torch.from_numpy(reference), torch.from_numpy(test), torch.tensor(following), 5)]
    )
    assert found.divergence.mean == pytest.approx(expected["mean"], rel=1e-9, abs=1e-15)
    assert found.divergence.error == found.divergence.naive_error == pytest.approx(expected["naive"], rel=1e-9)
    assert found.median == pytest.approx(expected["median"], rel=1e-9)
    assert found.p99 == pytest.approx(expected["p99"], rel=1e-9)
    assert found.largest == pytest.approx(expected["largest"], rel=1e-9)
    assert found.same_top.mean == expected["same"]
    assert found.ppl_ratio == pytest.approx(expected["ppl_ratio"], rel=1e-9)
    assert found.log_ppl_ratio.naive_error == pytest.approx(expected["ratio_naive"], rel=1e-9)
    assert found.delta_p_rms == pytest.approx(expected["rms"], rel=1e-9)


def test_impossible_tokens_add_nothing_and_lost_ones_are_infinite() -> None:
    certain = torch.tensor([[0.0, -torch.inf]])
    even = torch.zeros(1, 2)
    token = torch.tensor([0])
    assert kl_statistics.compare(certain, even, token, 0).divergence[0] == pytest.approx(log(2))
    assert np.isnan(kl_statistics.compare(even, certain, token, 0).divergence[0])  # a logit that is not finite


def test_positions_without_finite_numbers_are_counted_separately() -> None:
    reference = torch.zeros(3, 4)
    test = reference.clone()
    test[1, 2] = torch.nan
    found = kl_statistics.summary([kl_statistics.compare(reference, test, torch.tensor([0, 1, 2]), 0)])
    assert (found.positions, found.not_finite) == (3, 1)
    assert found.divergence.mean == 0
    everywhere = kl_statistics.summary(
        [kl_statistics.compare(reference, reference * torch.nan, torch.tensor([0, 1, 2]), 0)]
    )
    assert everywhere.not_finite == 3
    assert np.isnan(everywhere.divergence.mean)


def test_errors_are_computed_over_windows_because_their_positions_are_dependent() -> None:
    """Two windows of two equal values each: as good as two values, not four."""
    found = kl_statistics.measure([np.array([0.0, 0.0]), np.array([1.0, 1.0])])
    assert found.mean == 0.5
    assert found.error == pytest.approx(0.5)  # the error of the mean of 0 and 1
    assert found.naive_error == pytest.approx(np.std([0, 0, 1, 1], ddof=1) / 2)


@pytest.mark.parametrize(
    ("b", "c", "p"), [(0, 0, 1.0), (1, 1, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024), (10, 0, 2 / 1024)]
)
def test_mcnemars_exact_test(b: int, c: int, p: float) -> None:
    assert kl_statistics.mcnemar(b, c) == kl_statistics.mcnemar(c, b) == pytest.approx(p)


SOURCE = SourceFile("group", "x.py", "value = 1\n")
HOLE = EvaluationHole(HoleKind.REST_OF_LINE, SOURCE, "value", "\n", " = 1")


def test_suggestions_are_compared_to_each_other_and_to_the_file() -> None:
    reference = [HoleAnswer(text) for text in (" = 1", " = 1", " = 2", " = 2")]
    test = [HoleAnswer(text) for text in (" = 1", " = 3", " = 1", " + 2")]
    found = answers.compare([HOLE] * 4, reference, test)
    assert found.identical.mean == 0.25
    assert found.first_difference == 3  # of 3, 3 and 1
    assert (found.exact_reference, found.exact_test) == (0.5, 0.5)
    assert (found.flips.to_wrong, found.flips.to_right, found.flips.p_value) == (1, 1, 1.0)


def test_identical_suggestions_still_have_an_uncertainty() -> None:
    found = answers.compare([HOLE] * 10, [HoleAnswer("x")] * 10, [HoleAnswer("x")] * 10)
    assert found.identical.mean == 1
    assert 0.05 < found.identical.error < 0.15
    assert found.first_difference is None


def test_answers_resume_where_they_were_interrupted(tmp_path: Path) -> None:
    hole = EvaluationHole(HoleKind.WHOLE_LINE, SOURCE, "value = 1\n", "\n", "other = 2")
    decoder, holes, kept = scripted_decoder("other = 2"), [hole] * 25, StudyDir("x", tmp_path)
    done: list[int] = []

    def interrupted(number: int) -> None:
        done.append(number)
        if number == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers.ask(decoder, "float16", holes, 16, kept, interrupted)
    done.clear()
    found = answers.ask(decoder, "float16", holes, 16, kept, done.append)
    assert [one.text for one in found] == ["other = 2"] * 25
    assert done == list(range(11, 26))


def summary(kl: float, same_top: float, not_finite: int = 0, error: float = 1e-9) -> Summary:
    nothing = Measure(0, 0, 0)
    return Summary(
        100, 2, not_finite, Measure(kl, error, error), 0, 0, 0, 0, Measure(same_top, error, error), nothing, 1, 1, 0, 0
    )


def suggested(identical: float, p_value: float = 1.0) -> answers.SuggestionComparison:
    return answers.SuggestionComparison(
        100, Measure(identical, 1e-9, 1e-9), None, 0.5, 0.5, kl_statistics.Flips(0, 0, p_value)
    )


@pytest.mark.parametrize(
    ("dtype", "kl", "same_top", "identical", "p_value", "missed"),
    [
        ("float16", 9e-4, 0.996, 0.98, 1, []),
        ("float16", 2e-3, 0.990, 0.90, 1, ["mean KL divergence", "same top token", "suggestions identical"]),
        ("bfloat16", 9e-4, 0.994, 0.98, 1, ["same top token"]),
        ("int8", 4e-3, 0.981, 0.10, 1, []),
        ("int8", 6e-3, 0.979, 0.99, 1, ["mean KL divergence", "same top token"]),
        ("int4", 1.0, 0.5, 0.1, 0.2, []),
        ("int4", 1.0, 0.5, 0.1, 0.04, ["exact match changed"]),
    ],
)
def test_the_gates(dtype: str, kl: float, same_top: float, identical: float, p_value: float, missed: list[str]) -> None:
    verdict = gates.judge(dtype, summary(kl, same_top), [], suggested(identical, p_value))
    assert [gate.name for gate in verdict.gates if not gate.met] == missed
    assert verdict.passed == (not missed)
    assert all(name in verdict.sentence for name in missed)


def test_a_single_non_finite_number_fails_the_gate() -> None:
    assert not gates.judge("float16", summary(0, 1, not_finite=1), [], None).passed
    assert not gates.judge("float16", summary(0, 1), [LayerError(3, 0.1, 6e4, 0.9, 2)], None).passed


def test_inconclusive_results_are_reported_as_such() -> None:
    verdict = gates.judge("float16", summary(9e-4, 0.999, error=1e-4), [], None)
    assert verdict.passed
    assert "Too close to the bar to be certain: mean KL divergence" in verdict.sentence


def test_dtypes_by_their_names() -> None:
    assert variants.parse_dtypes("fp16, BF16,int8,half"[:-5]) == ["float16", "bfloat16", "int8"]
    with pytest.raises(BadRequest, match="no dtype called 'int3'"):
        variants.parse_dtypes("fp16,int3")
    with pytest.raises(BadRequest, match="No dtype is named"):
        variants.parse_dtypes(" , ")
    assert variants.options(ModelOptions(), "int4").quantization == "int4"
    assert variants.options(ModelOptions(), "bfloat16").dtype == "bfloat16"


def test_windows_hold_the_requested_number_of_positions() -> None:
    asked = questions(ModelOptions(context=128), [], tokens=500, hole_count=7, seed=0)
    assert sum(window.positions for window in asked.windows) == 500
    assert all(1 <= window.first < len(window.ids) <= 128 for window in asked.windows)
    assert len(asked.holes) == 7
    assert asked.folder.name == BUNDLED
    assert asked == questions(ModelOptions(context=128), [], tokens=500, hole_count=7, seed=0)


def test_the_users_own_text_in_any_language(tmp_path: Path) -> None:
    (tmp_path / "main.rs").write_text('fn main() { println!("Hello"); }\n' * 40)
    (tmp_path / ".hidden").write_text("secret = 1\n" * 100)
    (tmp_path / "image.png").write_bytes(bytes(range(256)) * 10)
    asked = questions(ModelOptions(), [tmp_path], tokens=100, hole_count=0, seed=0)
    assert {window.file for window in asked.windows} == {f"{tmp_path.name}/main.rs"}
    with pytest.raises(BadRequest, match="no file or folder"):
        questions(ModelOptions(), [tmp_path / "missing"], 100, 0, 0)
    with pytest.raises(BadRequest, match="no text"):
        questions(ModelOptions(), [tmp_path / "image.png"], 100, 0, 0)


WINDOWS = (TextWindow("a", tuple(range(2, 40)), 3), TextWindow("b", tuple(range(5, 20)), 1))


def test_every_position_is_evaluated_once_after_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logits, "CHUNK", 8)
    for window in WINDOWS:
        forward = ScriptedForward(64, lambda tokens: tokens[-1] + 1)
        found = torch.cat([rows for _, rows in logits.chunks(forward, window)])
        assert found.argmax(-1).tolist() == list(window.ids[window.first :])
        assert forward.tokens == list(window.ids[:-1])


def test_reading_resumes_where_it_was_interrupted(tmp_path: Path) -> None:
    kept = StudyDir("x", tmp_path)

    def fails(step: int) -> None:
        if step == 3:  # the header and the positions of the first window are read
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        logits.keep(ScriptedForward(64, lambda _: 0, on_step=fails), WINDOWS, 60, kept, lambda _: None)
    assert (kept.has_logits(0), kept.has_logits(1)) == (True, False)
    forward = ScriptedForward(64, lambda _: 0)
    logits.keep(forward, WINDOWS, 60, kept, lambda _: None)
    assert forward.tokens == list(WINDOWS[1].ids[:-1])
    assert [kept.logits(number).shape for number in (0, 1)] == [(35, 60), (14, 60)]
    for _ in range(2):
        logits.compare(forward, "float16", WINDOWS, 60, kept, lambda _: None)
    assert len(forward.kv_caches) == 1 + 2  # the second comparison reads nothing
    found = kept.positions("float16", 0)
    assert found is not None
    assert found.divergence.tolist() == [0] * 35
    assert found.place.tolist() == list(range(3, 38))


def test_a_disk_that_is_too_small_is_reported_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--work"):
        StudyDir("x", tmp_path).require_free_space(10**18)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequest, match="cannot be created"):
        StudyDir("x", tmp_path / "file")


def test_studies_of_different_things_have_different_names() -> None:
    names = {
        study_dir.fingerprint({"a": 1}, [1, 2]),
        study_dir.fingerprint({"a": 1}, [1, 3]),
        study_dir.fingerprint({"a": 2}, [1]),
    }
    assert len(names) == 3
    assert study_dir.fingerprint({"a": 1, "b": 2}) == study_dir.fingerprint({"b": 2, "a": 1})


def test_saved_results_are_restored(tmp_path: Path) -> None:
    kept = StudyDir("x", tmp_path)
    assert kept.arrays("layers") is kept.data("answers") is kept.positions("int8", 0) is None
    kept.save_arrays("layers", [np.full((2, 3), number, np.float32) for number in range(12)])
    assert [float(array[0, 0]) for array in kept.arrays("layers") or []] == list(range(12))
    kept.save_data("answers", [{"text": "é\n", "ended": True}])
    assert kept.data("answers") == [{"text": "é\n", "ended": True}]
    found = Positions(*(np.arange(3.0) + number for number in range(5)))
    kept.save_positions("int8", 0, found)
    again = kept.positions("int8", 0)
    assert again is not None
    assert json.dumps([again.place.tolist(), again.test_logprob.tolist()]) == "[[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]]"
    kept.remove()
    assert not kept.folder.exists()
