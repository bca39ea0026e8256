"""The statistics file: what Lacuna wrote is read; anything else is rejected with an error and left unchanged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.errors import LacunaError
from lacuna_server.commands import stats
from lacuna_server.statistics import Counts, Statistics, read

DAY = "2026-01-02"


def counting(file: Path) -> None:
    """Counts one suggestion."""
    statistics = Statistics(file)
    statistics.shown()
    statistics.save()


@pytest.mark.parametrize(
    "content",
    [
        f'{{"{DAY}": {{"shown": Infinity}}}}',
        f'{{"{DAY}": {{"shown": NaN}}}}',
        f'{{"{DAY}": {{"shown": 1e400}}}}',
        f'{{"{DAY}": {{"shown": 1.5}}}}',
        f'{{"{DAY}": {{"shown": -1}}}}',
        f'{{"{DAY}": {{"shown": true}}}}',
        f'{{"{DAY}": {{"shown": "1"}}}}',
        f'{{"{DAY}": {{"shown": null}}}}',
        f'{{"{DAY}": {{"shown": 1{"0" * 20}}}}}',
        f'{{"{DAY}": {{"shown": 1{"0" * 400}}}}}',
        f'{{"{DAY}": {{"shown": 1{"0" * 5000}}}}}',
        f'{{"{DAY}": {{"seen": 1}}}}',
        f'{{"{DAY}": [1]}}',
        f'{{"{DAY}": null}}',
        '{"[/x]": {"shown": 1}}',
        '{"\\ud800": {"shown": 1}}',
        '{"20260102": {"shown": 1}}',
        "[1]",
        "null",
        "7",
        "{",
        "[" * 100_000,
        b"\xff\x00\x93",
    ],
    ids=lambda content: repr(content)[:40],
)
def test_a_file_without_counts_is_named_and_left_unchanged(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "statistics.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = file.read_bytes()
    with pytest.raises(LacunaError, match=r"statistics.json holds something else .* begins anew\."):
        read(file)
    counting(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("make", [os.mkdir, pytest.param(getattr(os, "mkfifo", os.mkdir), id="mkfifo")])
def test_a_path_that_is_not_a_file_does_not_block(tmp_path: Path, make: object) -> None:
    file = tmp_path / "statistics.json"
    make(file)  # type: ignore[operator]
    with pytest.raises(LacunaError, match="no plain file"):
        read(file)
    counting(file)
    assert not file.is_file()


@pytest.mark.parametrize("content", [None, "", "\n", "{}"])
def test_counting_starts_where_nothing_was_counted(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "state" / "statistics.json"
    if content is not None:
        file.parent.mkdir()
        file.write_text(content)
    assert read(file) == {}
    counting(file)
    assert [counts.shown for counts in read(file).values()] == [1]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "statistics.json"
    file.write_bytes(b'\xef\xbb\xbf{"2026-01-03": {"shown": 2}, "2026-01-02": {}}')
    assert list(read(file).items()) == [("2026-01-02", Counts()), ("2026-01-03", Counts(shown=2))]


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["shown", "accepted", "characters", "x"]), inner),
)
COUNTS = st.dictionaries(st.sampled_from(["shown", "accepted", "retained", "characters"]), st.integers(0, 2**53))


@given(st.dictionaries(st.dates().map(str) | st.text(), COUNTS | WILD) | WILD)
def test_the_output_is_a_table_or_a_one_line_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    file = tmp_path_factory.mktemp("wild") / "statistics.json"
    file.write_text(json.dumps(content))
    try:
        counts = read(file)
    except LacunaError:
        return
    assert not counts or stats._table(counts).row_count == len(counts) + 1
