"""N-grams of the open file: what they add to a model's distribution."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import family_text
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.forward import VocabRow
from lacuna_inference.in_file.index import FileIndex
from lacuna_inference.in_file.ngrams import END_ODDS, NgramMixer

TEXT = family_text("lacuna")
FLAT: VocabRow = np.full(TEXT.size, 1 / TEXT.size, np.float32)


def mixed(before: str, after: str = "", written: str = "", healed_prefix: str = "") -> VocabRow:
    return NgramMixer(FileIndex((before, after), healed_prefix, TEXT), TEXT).mix(FLAT, TEXT.encode(written))


def likeliest(distribution: VocabRow) -> str:
    return TEXT.decode([int(distribution.argmax())])


@given(st.text("ab\n", max_size=30), st.text("ab\n", max_size=30), st.text("ab\n", max_size=5))
def test_the_mixed_result_is_a_distribution(before: str, after: str, written: str) -> None:
    distribution = mixed(before, after, written)
    assert float(distribution.sum()) == pytest.approx(1, abs=1e-4)
    assert float(distribution.min()) >= 0


def test_continuations_before_and_after_the_hole_are_likely() -> None:
    assert likeliest(mixed("position = 1\nposit")) == "i"
    assert likeliest(mixed("x\nposit", "\nposition = 1\n")) == "i"
    assert likeliest(mixed("position = 1\n", written="posit")) == "i"


def test_the_longer_match_counts_more() -> None:
    assert likeliest(mixed("abcx cy cy\nabc")) == "x"


def test_healed_text_does_not_match_itself() -> None:
    z = TEXT.encode("z")[0]
    assert mixed("q\nzzz\nz")[z] > 0.1
    for healed_prefix in ("", "zzz"):
        assert mixed("q\nzzz", healed_prefix=healed_prefix)[z] < 0.1


def test_no_match_spans_the_hole() -> None:
    x = TEXT.encode("x")[0]
    across = mixed("abc", "x\nabc")
    assert float(across[x]) < 0.1


def test_in_an_empty_file_only_the_end_becomes_likelier() -> None:
    distribution = mixed("")
    ends = list(TEXT.ends)
    assert distribution.argmax() in ends
    assert distribution[ends] / distribution[0] == pytest.approx(END_ODDS)
    assert len(np.unique(distribution[:256])) == 1


def test_the_model_splits_line_ends_between_text_and_the_end_of_the_hole() -> None:
    end = min(TEXT.ends, key=lambda token: token)
    model = FLAT.copy()
    model[list(TEXT.ends)] = 0
    model[end] = 99 * model[TEXT.newlines].sum()
    distribution = NgramMixer(FileIndex(("abc\nabc", ""), "", TEXT), TEXT).mix(model / model.sum(), [])
    assert int(distribution.argmax()) == end
