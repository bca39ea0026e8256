"""Copies whose surroundings match both sides of a hole: which are found, and how they are weighted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import family_text
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.forward import VocabRow
from lacuna_inference.in_file.candidates import ranker
from lacuna_inference.in_file.candidates.copied import copied
from lacuna_inference.in_file.candidates.ranker import rank_candidates
from lacuna_inference.in_file.mixer import EVIDENCE, CandidateMixer

TEXT = family_text("lacuna")
END = TEXT.sentinel("<|endofmask|>")
FLAT: VocabRow = np.full(TEXT.size, 1 / TEXT.size, np.float32)
CODE = "def area(width, height):\n    return width * height\n\n"
CHARACTERS = st.text("ab \n(é漢", max_size=40)


def texts(before: str, after: str) -> list[str]:
    return [text for text, _ in rank_candidates(before, after)]


def likeliest(distribution: VocabRow) -> str:
    token = int(distribution.argmax())
    return "END" if token == END else TEXT.decode([token])


def written(
    texts: list[tuple[str, float]], healed_prefix: str = "", other: VocabRow = FLAT, max_tokens: int = 50
) -> str:
    """The text of greedy decoding."""
    mixer, tokens = CandidateMixer(texts, healed_prefix, TEXT), list[int]()
    while len(tokens) < max_tokens:
        rest = healed_prefix.encode()[len(TEXT.decode(tokens).encode()) :]
        allowed = TEXT.vocabulary.agreeing(rest) if rest else None
        token = int(mixer.mix(other, tokens, allowed).argmax())
        if token == END:
            break
        tokens.append(token)
    return TEXT.decode(tokens)


def test_text_between_matching_sides_is_found_before_and_after_the_hole() -> None:
    assert texts(CODE + "def area(wi", "ght):\n")[0] == "dth, hei"
    assert texts("def area(wi", "ght):\n" + CODE)[0] == "dth, hei"


def test_a_candidate_may_have_several_lines_or_be_empty() -> None:
    steps = "    begin()\n    turn(it)\n    wait(now)\n    end[0]\n"
    assert texts(steps + "    begin()\n", "    end[0]\n")[0] == "    turn(it)\n    wait(now)\n"
    assert texts(CODE + "def area(width, ", "height):\n")[0] == ""


def test_the_hole_itself_is_not_a_candidate() -> None:
    assert texts("def area(width, ", "height):\n    return") == []
    assert texts("def area(width, height)", ":\n") == []
    assert texts("", "def area") == []


def test_no_candidate_spans_the_hole() -> None:
    assert texts("xy one xy", "zw two zw") == []


def test_a_candidate_with_a_longer_match_is_likelier() -> None:
    found = dict(rank_candidates("total = first + last\nother = first * last\ntotal = first", "last\n"))
    assert found[" + "] > found[" * "]


def test_an_unlikely_candidate_counts_more_where_the_model_is_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a line's start and inside a line, but not from inside a line to its end. An empty candidate never does."""
    above = "one = f(1)\ntwo = f(2)\nthree = f(3)\n"
    holes = {
        (above + "two", "(2)\nthree", " = f"): True,
        (above + "one = f(1)\n", "\nthree", "two = f(2)"): True,
        (above + "two", "\nthree", " = f(2)"): False,
        (above + "one = f(1)\n", "two = f(2)\n", ""): False,
    }
    for (before, after, text), more in holes.items():
        weight = dict(rank_candidates(before, after))[text]
        with monkeypatch.context() as patched:
            patched.setattr(ranker, "SMALL_MODEL_ACCURACY", 1.0)
            chance = dict(rank_candidates(before, after))[text]
        assert (weight > chance) == more


def test_every_feature_column_has_a_name_that_the_weights_know() -> None:
    before, after = CODE + "def area(wi", "ght):\n"
    rows = ranker.features(ranker.find_candidates(before, after), before, after)
    assert rows.shape[1] == len(ranker.FEATURE_NAMES) == len(set(ranker.FEATURE_NAMES))
    weights = ranker.load_weights(Path(ranker.__file__).with_name(ranker.WEIGHTS))
    assert weights["line.weight"].shape == (1, rows.shape[1])
    typed = rows[:, ranker.FEATURE_NAMES.index("log_typed_length")]
    np.testing.assert_allclose(typed, np.log1p(len("def area(wi")), rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "named"),
    [(("log_same",), "copied.is_kind"), (ranker.FEATURE_NAMES[::-1], "their order"), (None, "log_same")],
)
def test_weights_for_other_features_are_rejected(names: tuple[str, ...] | None, named: str, tmp_path: Path) -> None:
    metadata = None if names is None else {"features": json.dumps(names)}
    save_file({"line.bias": np.zeros(1, np.float32)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(ModelUnusable, match=r"other\.safetensors was fitted to other features") as raised:
        ranker.load_weights(tmp_path / "other.safetensors")
    assert named in raised.value.message


@given(CHARACTERS, CHARACTERS, CHARACTERS)
@example("ab", "", "ab" * 3000)
def test_copies_occur_in_the_file_and_probabilities_sum_to_less_than_one(before: str, after: str, more: str) -> None:
    before += more
    found = rank_candidates(before, after)
    assert len(found) <= ranker.MAX_CANDIDATES
    assert sum(chance for _, chance in found) < 1
    assert len({text for text, _ in found}) == len(found)
    assert all(chance > 0 for _, chance in found)
    assert all(candidate.text in before or candidate.text in after for candidate in copied(before, after))


def test_a_likely_candidate_is_completed() -> None:
    assert written([("dth, hei", 0.5)]) == "dth, hei"
    assert written([("", 0.5)]) == ""


def test_the_word_at_the_cursor_is_not_evidence() -> None:
    """Any model has to spell it again, and a flat model would find that very unlikely."""
    unlikely = FLAT.copy()
    unlikely[TEXT.encode("!")[0]] = 3
    unlikely /= unlikely.sum()
    assert written([("th", 0.3)], healed_prefix="wid", other=unlikely, max_tokens=6).startswith("wid!")
    assert written([("th", 0.6)], healed_prefix="wid", other=unlikely) == "width"


def test_every_token_updates_the_probabilities() -> None:
    """After a letter that the model did not expect, the candidate that has it is all but certain."""
    mixer = CandidateMixer([("ab", 0.01)], "", TEXT)
    a, b = TEXT.encode("ab")
    assert mixer.mix(FLAT, [])[a] == pytest.approx(0.01 + 0.99 / TEXT.size, rel=1e-5)
    sure = 0.01 / (0.01 + 0.99 / TEXT.size)
    assert mixer.mix(FLAT, [a])[b] == pytest.approx(sure + (1 - sure) / TEXT.size, rel=1e-5)


def test_where_candidates_diverge_the_model_weights_them() -> None:
    a, b = (TEXT.encode(character)[0] for character in "ab")
    prefers_b = FLAT.copy()
    prefers_b[b] *= 4
    prefers_b /= prefers_b.sum()
    mixed = CandidateMixer([("ax", 0.2), ("bx", 0.2)], "", TEXT).mix(prefers_b, [])
    of_a, of_b = (float(mixed[token] - 0.6 * prefers_b[token]) for token in (a, b))
    assert of_b / of_a == pytest.approx(4**EVIDENCE, rel=1e-3)
    assert of_a + of_b == pytest.approx(0.4, rel=1e-3)


def test_a_text_that_occurs_more_often_is_likelier() -> None:
    once = dict(rank_candidates("if a:\n    go()\nif b:\n    stop()\nif c:\n    ", "\nelse:\n"))
    twice = dict(rank_candidates("if a:\n    go()\nif b:\n    stop()\nif d:\n    stop()\nif c:\n    ", "\nelse:\n"))
    assert twice["stop()"] / twice["go()"] > once["stop()"] / once["go()"]


def test_a_candidate_that_no_longer_matches_is_dropped() -> None:
    mixer = CandidateMixer([("ab", 0.5)], "", TEXT)
    mixer.mix(FLAT, [])
    c = TEXT.encode("c")
    np.testing.assert_array_equal(mixer.mix(FLAT, c), FLAT)


@given(st.lists(st.tuples(st.text("ab\n", max_size=4), st.floats(0, 0.2)), max_size=4), st.text("ab\n", max_size=5))
@example([("a", 0.0), ("b", 0.0)], "a")
def test_the_result_is_a_distribution(found: list[tuple[str, float]], text: str) -> None:
    mixer, tokens = CandidateMixer(found, "", TEXT), TEXT.encode(text)
    for length in range(len(tokens) + 1):
        mixed = mixer.mix(FLAT, tokens[:length])
        assert float(mixed.sum()) == pytest.approx(1, abs=1e-4)
        assert float(mixed.min()) >= 0


def test_with_allowed_tokens_the_result_is_a_distribution_over_them() -> None:
    mixer = CandidateMixer([("th", 0.25)], "wid", TEXT)
    allowed = TEXT.vocabulary.agreeing(b"wid")
    mixed = mixer.mix(FLAT, [], allowed)
    assert float(mixed.sum()) == pytest.approx(1, abs=1e-4)
    assert float(np.delete(mixed, allowed).max()) == 0


def test_candidates_are_ignored_when_the_model_finds_them_impossible() -> None:
    never = np.zeros_like(FLAT)
    never[TEXT.encode("x")] = 1
    a, b = TEXT.encode("ab")
    mixer = CandidateMixer([("ab", 0.5), ("b", 0.2)], "", TEXT)
    assert mixer.mix(never, [])[a] == pytest.approx(0.5)
    assert likeliest(mixer.mix(never, [a])) == "b"
    assert likeliest(CandidateMixer([("a", 0.0)], "", TEXT).mix(never, [])) == "x"
    lost = CandidateMixer([("ab", 0.5)], "", TEXT)
    lost.mix(never, [])
    np.testing.assert_array_equal(lost.mix(never, [b]), never)


@pytest.mark.parametrize("text", ["=", "()", "a = b\n"])
def test_in_repetitive_text_only_the_nearest_matches_are_checked(text: str) -> None:
    calls = 0

    def count(frame: object, event: str, function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        found = list(copied(text * (200_000 // len(text)), text * (50_000 // len(text))))
    finally:
        sys.setprofile(None)
    assert found
    assert calls < 60_000
