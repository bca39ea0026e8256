"""Repeated log messages are rate-limited."""

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
    logger = logging.Logger("sparing")
    logger.addHandler(caplog.handler)
    logger.addFilter(quiet.RateLimit(60))
    return logger


def test_a_message_is_logged_once_a_minute_with_the_number_of_dropped_ones(
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


def test_messages_that_differ_in_first_line_or_cause_are_logged(
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


def test_unlimited_kinds_of_messages_take_limited_memory(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    (rate_limit,) = log.filters
    assert isinstance(rate_limit, quiet.RateLimit)
    for number in range(1000):
        log.warning(f"kind {number}")
    assert len(caplog.messages) == 1000
    assert len(rate_limit._kinds) <= 200
