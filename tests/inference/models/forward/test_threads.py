"""The number of threads follows what is faster at the moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from lacuna_inference.models.forward.threads import ThreadChooser


@dataclass
class Machine:
    """A clock, and a processor whose passes take `seconds` by their number of threads."""

    seconds: dict[int, float]
    now: float = 0.0
    threads: int = 2
    used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chooser = ThreadChooser(2, self.set_threads, lambda: self.now)

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def run(self, passes: int, tokens: int = 1) -> list[int]:
        """The threads that each of some passes used."""
        self.used.clear()
        for _ in range(passes):
            self.chooser.run(tokens, lambda: self.pass_over(tokens))
            assert self.threads == 2
        return list(self.used)

    def pass_over(self, tokens: int) -> None:
        self.used.append(self.threads)
        self.now += self.seconds[self.threads] * (tokens if tokens > 8 else 1)


QUIET, BUSY = {1: 0.03, 2: 0.02}, {1: 0.05, 2: 0.5}


def test_a_quiet_machine_uses_all_threads() -> None:
    machine = Machine(QUIET)
    used = machine.run(1000)
    assert used.count(1) <= 8


def test_a_busy_machine_uses_one_thread() -> None:
    machine = Machine(BUSY)
    used = machine.run(200)
    assert used.count(2) <= 8


def test_it_notices_that_a_machine_became_busy() -> None:
    machine = Machine(QUIET)
    machine.run(500)
    machine.seconds = BUSY
    assert machine.run(20).count(2) <= 3


def test_it_notices_that_a_machine_became_quiet() -> None:
    machine = Machine(BUSY)
    machine.run(100)
    machine.seconds = QUIET
    machine.run(4000)
    assert machine.run(100).count(2) >= 99


def test_long_prompts_are_judged_apart_and_by_the_token() -> None:
    machine = Machine({1: 0.002, 2: 0.001})
    machine.run(20, tokens=64)
    assert machine.run(20, tokens=256).count(2) >= 18
    machine.seconds = BUSY
    assert machine.run(10, tokens=1).count(2) <= 3


def test_passes_that_cannot_be_compared_are_no_trials() -> None:
    machine = Machine(QUIET)
    machine.run(2, tokens=64)
    machine.now += 1000
    assert machine.run(20, tokens=20) == [2] * 20


def test_a_pass_that_fails_leaves_all_threads() -> None:
    machine = Machine(BUSY)
    machine.run(100)

    def fail() -> None:
        raise ValueError

    for _ in range(3):
        try:
            machine.chooser.run(1, fail)
        except ValueError:
            assert machine.threads == 2
