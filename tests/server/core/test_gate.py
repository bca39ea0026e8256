"""The gate: chances of beginnings, and how much is shown at which eagerness."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import pytest
from helpers import at_cursor
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import (
    CancelToken,
    Candidate,
    CompletionResult,
    Fill,
    Request,
    RequestMetrics,
    Source,
    StopReason,
    TokenLogprob,
)
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.core import evidence as evidence_module
from lacuna_server.core.admission import Rules
from lacuna_server.core.completer import Completer
from lacuna_server.core.cuts import Part, cuts
from lacuna_server.core.evidence import NAMES, evidence, log_odds
from lacuna_server.core.gate import DEFAULT, Verdict, chances, coefficients_for, judged, threshold
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions
from lacuna_server.core.snapshot import Snapshot

HERE = at_cursor("def f(self):\n    return |\n\nx = 1\n")


def fill_of(*tokens: tuple[str, float], reason: StopReason = StopReason.NEWLINE) -> Fill:
    """A fill of tokens with their probabilities."""
    scored = tuple(TokenLogprob(text, math.log(probability)) for text, probability in tokens)
    return Fill("".join(token.text for token in scored), reason, len(scored), -0.1, scored)


UNSURE_END = fill_of(("self", 0.99), (".get", 0.99), ("(url)", 0.98), (".json", 0.2), ("()", 0.9))
HOPELESS = fill_of(("some", 0.02), ("thing", 0.05), (".else_", 0.01))


def shown(fill: Fill, eagerness: float, snapshot: Snapshot = HERE) -> str:
    return judged(fill, fill.text.rstrip(), snapshot, "bundled", eagerness)[0]


class Scored(FakeEngine):
    """An engine that answers with one fill, whatever is asked, as often as candidates are requested."""

    def __init__(self, fill: Fill) -> None:
        super().__init__()
        self._fill = fill

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        found = super().submit(request, cancel).result()
        answered: Future[CompletionResult] = Future()
        answered.set_result(replace(found, candidates=(Candidate((self._fill,)),), metrics=RequestMetrics()))
        return answered


def ask(fill: Fill, eagerness: float, invoked: bool = False) -> Suggestions:
    completer = Completer(Scored(fill))
    return asyncio.run(completer.complete(HERE, Rules(), Policy(eagerness=eagerness), invoked))


def test_the_longest_beginning_that_is_likely_enough_is_shown() -> None:
    assert shown(UNSURE_END, 0.4) == "self.get(url)"
    assert shown(UNSURE_END, 1.0) == "self.get(url).json()"
    assert shown(HOPELESS, 0.6) == ""


def test_lines_after_the_first_are_judged_apart() -> None:
    fill = fill_of(("a = 1", 0.99), ("\n", 0.9), ("b = 2", 0.05), ("\n", 0.9), ("c = 3", 0.9))
    text, verdict = judged(fill, fill.text, HERE, "bundled", 0.6)
    assert text == "a = 1"
    assert verdict is not None
    assert (verdict.part, verdict.whole) == (Part.LINE, False)
    assert verdict.chance >= verdict.least == pytest.approx(0.4)


@given(
    st.lists(st.tuples(st.text(alphabet="ab1 ().\n\"'", min_size=1), st.floats(0.001, 1)), min_size=1),
    st.lists(st.floats(0, 1), min_size=2, max_size=5),
)
def test_more_eagerness_never_shows_less(tokens: list[tuple[str, float]], eagernesses: Sequence[float]) -> None:
    fill = fill_of(*tokens)
    lengths = [len(shown(fill, eagerness)) for eagerness in sorted(eagernesses)]
    assert lengths == sorted(lengths)
    assert shown(fill, 1.0) == fill.text.rstrip()


@given(st.lists(st.tuples(st.text(alphabet="ab1 ().\n\"'", min_size=1), st.floats(0.001, 1)), min_size=1))
def test_a_longer_beginning_is_never_more_likely(tokens: list[tuple[str, float]]) -> None:
    fill = fill_of(*tokens)
    found = [one.right for one in chances(fill, fill.text.rstrip(), HERE, "any")]
    assert found == sorted(found, reverse=True)
    assert all(0 < right < 1 for right in found)


def test_what_the_model_finds_likelier_is_likelier() -> None:
    likely, unlikely = (fill_of(("total", p), ("(x)", p)) for p in (0.95, 0.4))
    pairs = zip(chances(likely, likely.text, HERE, "m"), chances(unlikely, unlikely.text, HERE, "m"), strict=True)
    assert all(a.right > b.right for a, b in pairs)


@pytest.mark.parametrize(
    ("marked", "fill", "expected"),
    [
        ("a\n|\nb", UNSURE_END, {"line_start": 1, "ended": 1}),
        ("a\nx = |)", UNSURE_END, {"followed": 1, "ended": 1}),
        ("a\nx = |", fill_of(("foo", 0.9), reason=StopReason.MAX_TOKENS), {"ended": 0}),
        ("a\nx = |", replace(UNSURE_END, source=Source.CANDIDATE), {"candidate": 1, "ended": 1}),
    ],
)
def test_the_place_and_the_text_are_evidence(marked: str, fill: Fill, expected: dict[str, float]) -> None:
    flags = ("line_start", "followed", "ended", "candidate")
    last = evidence(fill, fill.text, cuts(fill.text), at_cursor(marked))[-1]
    found = dict(zip(NAMES, last, strict=True))
    assert {name: found[name] for name in flags} == {**dict.fromkeys(flags, 0.0), **expected}


def test_the_log_odds_are_bounded() -> None:
    assert log_odds(math.log(0.5)) == pytest.approx(0)
    assert log_odds(math.log(0.8)) == pytest.approx(math.log(4))
    assert log_odds(0.0) == -log_odds(-math.inf) == evidence_module._MOST


def test_a_measured_model_is_known_by_its_name_and_by_its_file() -> None:
    own = coefficients_for("qwen2.5-coder-0.5b")
    assert own is coefficients_for("/models/Qwen2.5-Coder-0.5B-Instruct-Q8_0.gguf")
    assert own is coefficients_for("C:\\models\\qwen2.5-coder-0.5b.gguf")
    assert own is coefficients_for("Qwen/Qwen2.5-Coder-0.5B/")
    assert coefficients_for("bundled") is not coefficients_for("deepseek-coder-1.3b") is coefficients_for("")
    assert all(set(coefficients_for(name)) == {"bias", *NAMES} for name in (DEFAULT, "bundled", "qwen2.5-coder-0.5b"))


def test_everything_and_only_the_surest() -> None:
    assert threshold(1.0) == 0
    assert threshold(0.6) == pytest.approx(0.4)
    certain = fill_of(("self", 1.0))
    assert shown(certain, 0.0) == "self"
    assert shown(UNSURE_END, 0.0) != UNSURE_END.text


def test_what_is_unsure_is_withheld_with_a_reason() -> None:
    answer = ask(HOPELESS, 0.6)
    assert (answer.texts, answer.withheld) == ((), Withheld.UNSURE)
    assert "%" in answer.detail
    assert answer.verdict is not None
    assert answer.verdict.part is None
    assert answer.verdict.chance < answer.verdict.least


def test_an_invoked_request_is_never_gated() -> None:
    answer = ask(HOPELESS, 0.0, invoked=True)
    assert (answer.texts, answer.verdict) == ((HOPELESS.text,), None)


def test_the_largest_eagerness_shows_everything() -> None:
    answer = ask(HOPELESS, 1.0)
    assert answer.texts == (HOPELESS.text,)
    assert answer.verdict is not None
    assert answer.verdict.whole


def test_without_probabilities_everything_is_shown() -> None:
    unscored = replace(HOPELESS, token_logprobs=())
    assert ask(unscored, 0.1) == replace(ask(unscored, 1.0), delay_s=0.0)
    assert judged(HOPELESS, "another text", HERE, "m", 0.1) == ("another text", None)


def test_the_rest_of_a_beginning_is_judged_once_it_is_written() -> None:
    written = at_cursor("def f(self):\n    return self.get(url)|\n\nx = 1\n")
    rest = replace(UNSURE_END, text=".json()", token_logprobs=UNSURE_END.token_logprobs[3:])
    text, verdict = judged(rest, rest.text, written, "bundled", 0.6)
    assert text == ""
    assert isinstance(verdict, Verdict)


def test_a_chance_takes_less_than_a_millisecond() -> None:
    fill = fill_of(*((text, 0.9) for n in range(12) for text in ("    value", f"_{n}", " = ", "call(", "name)", "\n")))
    snapshot = at_cursor("x = 1\n" * 5000 + "|" + "\ny = 2\n" * 5000)
    taken = []
    for _ in range(20):
        started = time.perf_counter()
        chances(fill, fill.text.rstrip(), snapshot, "bundled")
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.001
