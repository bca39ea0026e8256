"""Chooses between all threads and one for each pass, because other programs may keep the processor busy.

OpenMP's threads wait for each other hundreds of times in a pass. Where one of them has lost its core to another
program, all wait until it runs again: on two cores, at a load average of 8, SmolLM2-135M decoded 2 tokens/s with two
threads and 20 with one. Results must not depend on the number of threads, or be allowed to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_FEW, _MANY = 8, 64
"""Tokens of a pass up to which it costs little more than one token, and from which each costs the same."""
_MIN_INTERVAL_S, _MAX_INTERVAL_S = 1.0, 60.0
"""Seconds between two trials of the slower number of threads; doubled while it stays the slower one."""
_FASTER = 0.9
"""A trial must take at most this share of the time, or chance would decide."""
_SUDDENLY = 2.0
"""A pass that takes this many times what the last ones took is a reason for a trial."""
_WEIGHT = 0.3
"""Of the latest pass in the mean."""


class ThreadChooser:
    """Runs passes with `threads` threads, or with one while that is faster. Not thread-safe."""

    def __init__(
        self, threads: int, set_threads: Callable[[int], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._threads, self._set_threads, self._clock = threads, set_threads, clock
        self._kinds = {kind: _Kind(threads) for kind in ("one", "few", "many")}

    def run(self, tokens: int, run_pass: Callable[[], Result]) -> Result:
        """Runs a pass over so many tokens."""
        if self._threads < 2:
            return run_pass()
        kind = self._kinds["one" if tokens == 1 else "few" if tokens <= _FEW else "many"]
        comparable = tokens <= _FEW or tokens >= _MANY
        start = self._clock()
        chosen = kind.choose(start) if comparable else kind.chosen
        self._set_threads(chosen)
        try:
            return run_pass()
        finally:
            self._set_threads(self._threads)
            end = self._clock()
            if comparable:
                kind.learn(chosen, (end - start) / (1 if tokens <= _FEW else tokens), end)


class _Kind:
    """What is known of passes that take about the same time."""

    def __init__(self, threads: int) -> None:
        self.chosen, self._other = threads, 1
        self._seconds: float | None = None
        """Of the latest passes with the chosen number of threads, a mean."""
        self._trial_at, self._interval = 0.0, _MIN_INTERVAL_S

    def choose(self, now: float) -> int:
        return self._other if self._seconds is not None and now >= self._trial_at else self.chosen

    def learn(self, threads: int, seconds: float, now: float) -> None:
        """Learns that a pass with so many `threads` took so many `seconds`."""
        if threads == self.chosen:
            if self._seconds is not None and threads > 1 and seconds > _SUDDENLY * self._seconds:
                self._interval, self._trial_at = _MIN_INTERVAL_S, min(self._trial_at, now)
            mean = seconds if self._seconds is None else self._seconds
            self._seconds = mean + _WEIGHT * (seconds - mean)
            return
        if self._seconds is not None and seconds < _FASTER * self._seconds:
            self.chosen, self._other, self._seconds = threads, self.chosen, seconds
            self._interval = _MIN_INTERVAL_S
        else:
            self._interval = min(2 * self._interval, _MAX_INTERVAL_S)
        self._trial_at = now + self._interval
