"""What is said again and again is said once in a while."""

from __future__ import annotations

import logging

import pytest

from lacuna_server.http import quiet


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def log(clock: list[float], caplog: pytest.LogCaptureFixture) -> logging.Logger:
    made = logging.Logger("sparing")
    made.addHandler(caplog.handler)
    made.addFilter(quiet.RateLimit(60))
    return made


def test_a_message_comes_once_a_minute_with_the_number_of_those_between(
    log: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 150, 10):
        clock[0] = second
        log.warning("no place for %d: 100%% full", second)
    assert caplog.messages == [
        "no place for 0: 100% full",
        "no place for 60: 100% full (5 similar messages dropped)",
        "no place for 120: 100% full (5 similar messages dropped)",
    ]


def test_what_differs_in_its_first_line_or_its_cause_is_told(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for line in ("accept failed\nfd=1", "accept failed\nfd=2", "another"):
        log.error(line)
    for divisor in (0, "", 0):
        try:
            1 / divisor  # type: ignore[operator]
        except (ZeroDivisionError, TypeError) as error:
            log.error("it failed", exc_info=error)
    assert [message.partition("\n")[0] for message in caplog.messages] == [
        "accept failed", "another", "it failed", "it failed",
    ]  # fmt: skip


def test_kinds_without_end_take_no_memory_without_end(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    (rate_limit,) = log.filters
    assert isinstance(rate_limit, quiet.RateLimit)
    for number in range(1000):
        log.warning(f"kind {number}")
    assert len(caplog.messages) == 1000
    assert len(rate_limit._kinds) <= 200
