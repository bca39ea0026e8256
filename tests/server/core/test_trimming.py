"""Trigger, trimming and service: from a cursor to what is shown, without a protocol or a model."""

from __future__ import annotations

import asyncio

import pytest
from helpers import at_cursor

from lacuna_inference.api import EngineState, Phase, Request, Stop, StopReason
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.errors import NotEnoughMemory
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions, complete
from lacuna_server.core.trigger import stop_for
from lacuna_server.core.trimming import once, trim

LINE = Stop(64, single_line=True)


def block(below: int) -> Stop:
    return Stop(64, dedent_below=below, max_lines=12)


@pytest.mark.parametrize(
    ("marked", "stop"),
    [
        ("x = |", LINE),
        ("    return |\n", LINE),
        ("f(|)", LINE),
        ("f(a|, b)", LINE),
        ("if x|:\n", LINE),
        ("|", block(0)),
        ("def f():\n    |\n", block(4)),
        ("def f():\n\t|\n", block(4)),
        ("    for x in y:|\n", block(5)),
        ("na|me", None),
        ("x.|y", LINE),
    ],
)
def test_one_line_a_block_or_nothing(marked: str, stop: Stop | None) -> None:
    assert stop_for(at_cursor(marked), 64, 12) == stop


@pytest.mark.parametrize(
    ("marked", "answer", "shown"),
    [
        ("x = |", "1", "1"),
        ("x = |", "1   \n", "1"),
        ("x = |", "  \n ", Withheld.EMPTY),
        ("f(|)", "a, b)", "a, b"),
        ("f(|)", "g(x)", "g(x)"),
        ("f(|)", "g(x))", "g(x)"),
        ("print(|)", ")", Withheld.REPEATS),
        ("a = |b", "b", Withheld.REPEATS),
        ("x = foo(|, key=1)", "a, key=1)", "a"),
        ("def f():\n    |\n    return total\n", "total = 1\n    return total", "total = 1"),
        ("def f():\n    |\n    y()\n    z()\n", "x()\n    y()\n    z()", "x()"),
        ("def f():\n    |\n", "a = 1\r\n    b = 2", "a = 1\n    b = 2"),
        ("print(len(|))", "list(set(x))", "list(set(x))"),
        ('d = {"k": [|]}', '{"x": [1]}', '{"x": [1]}'),
        ('print("|")', 'hello, " + name + "', 'hello, " + name + "'),
        ('print("|")', 'hello")', "hello"),
        ('print(|end="")', "value", "value"),
        ("return |x", "not ", "not "),
        ("foo(|b)", "a, ", "a, "),
        ("f(|)", "a, b) + c", "a, b"),
        ("if foo(|):", "x) and y:", "x"),
        ("f(|)", "')', x)", "')', x"),
        ("def f():\n    |\n    return total\n", "return total", Withheld.REPEATS),
        ("@decorator|\ndef f(): pass\n", "(1)\ndef f(): pass", "(1)"),
    ],
)
def test_trim(marked: str, answer: str, shown: str | Withheld) -> None:
    assert trim(answer, at_cursor(marked)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a + b" + " + b" * 30 + " +", "a + b"),
        (", a, b" * 9, ", a, b"),
        ("x = 1\n" + "self.retry = []\n" * 5, "x = 1\nself.retry = []"),
        ("_mutable" + "Mutable" * 12 + "Mut", Withheld.LOOP),
        ("f(x, " * 12, Withheld.LOOP),
        ("'a', 'Data" + "', b'Data" * 8, "'a', 'Data', b'Data'"),
        ("x = 1" + "0" * 60, Withheld.LOOP),
        ("x" + ", y.x" * 12 + ", y.", "x, y.x"),
        ("# " + "-" * 60, "# " + "-" * 60),
        ("[0, 1, 2, 3, 4]", "[0, 1, 2, 3, 4]"),
        ("a = b = c = d", "a = b = c = d"),
    ],
)
def test_a_repeating_answer_is_shown_for_one_round(text: str, shown: str | Withheld) -> None:
    assert once(text) == shown


def ask(engine: FakeEngine, marked: str = "x = |", invoked: bool = False) -> Suggestions:
    return asyncio.run(complete(engine, at_cursor(marked), Policy(), invoked))


def test_an_automatic_request_is_greedy_with_one_candidate() -> None:
    engine = FakeEngine("1")
    assert ask(engine).texts == ("1",)
    (request,) = engine.requests
    assert (request.candidates, request.sampling.temperature) == (1, 0)
    assert (request.parts, request.path, request.document_id) == (("x = ", ""), "test.py", "test")


def test_only_an_unfinished_answer_is_shown_for_one_round() -> None:
    rounds = "a" + ", a" * 20
    assert ask(FakeEngine(rounds)).texts == (rounds,)
    for reason in (StopReason.MAX_TOKENS, StopReason.MAX_LINES, StopReason.CONTEXT_FULL, StopReason.DEADLINE):
        assert ask(FakeEngine(rounds, reason=reason)).texts == ("a, a",)
    lines = ask(FakeEngine('"b",\n' * 12, reason=StopReason.MAX_LINES), "items = [\n|")
    assert lines.texts == ('"b",\n"b"',)
    lost = ask(FakeEngine("f(x, " * 12, reason=StopReason.MAX_TOKENS))
    assert (lost.texts, lost.withheld) == ((), Withheld.LOOP)


def test_an_invoked_request_samples_several_and_shows_each_once() -> None:
    engine = FakeEngine(lambda _: ["1", "2", "1 "])
    assert ask(engine, invoked=True).texts == ("1", "2")
    assert engine.requests[0].candidates == 3
    assert engine.requests[0].sampling.temperature > 0


def test_the_model_sees_lf_only() -> None:
    engine = FakeEngine("1")
    ask(engine, "a\r\nb = |\r\nc\r")
    assert engine.requests[0].parts == ("a\nb = ", "\nc\n")


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.LOADING, Withheld.LOADING), (Phase.UNLOADED, Withheld.LOADING), (Phase.FAILED, Withheld.UNAVAILABLE)],
)
def test_an_engine_that_is_not_ready_is_not_asked(phase: Phase, reason: Withheld) -> None:
    engine = FakeEngine(phase=phase)
    assert ask(engine).withheld is reason
    assert engine.requests == []


def test_an_unloaded_engine_is_asked_and_wakes() -> None:
    async def scenario() -> FakeEngine:
        engine = FakeEngine(phase=Phase.ASLEEP)
        task = asyncio.create_task(complete(engine, at_cursor("x = |"), Policy()))
        await asyncio.sleep(0)
        task.cancel()
        return engine

    assert len(asyncio.run(scenario()).requests) == 1


def test_failures_and_empty_answers_have_a_reason() -> None:
    assert ask(FakeEngine("")).withheld is Withheld.EMPTY
    assert ask(FakeEngine("x"), "na|me").withheld is Withheld.INSIDE_WORD
    failed = ask(FakeEngine(lambda _: NotEnoughMemory("Too large.", "Shrink it.")))
    assert (failed.withheld, failed.detail) == (Withheld.UNAVAILABLE, "Too large. Shrink it.")


def test_a_cancelled_task_cancels_the_request() -> None:
    async def scenario() -> FakeEngine:
        engine = FakeEngine("1", held=True)
        task = asyncio.create_task(complete(engine, at_cursor("x = |"), Policy()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return engine

    engine = asyncio.run(scenario())
    assert engine.pending[0].cancel.cancelled


def test_the_fake_engine_follows_the_protocol() -> None:
    engine = FakeEngine("1", phase=Phase.UNLOADED)
    states: list[EngineState] = []
    engine.watch(states.append)
    waiting = engine.submit(Request(("a", "b")))
    assert not waiting.done()
    engine.start()
    engine.release()
    assert waiting.result(1).candidates[0].text == "1"
    assert [state.phase for state in states] == [Phase.UNLOADED, Phase.WARM]
    assert engine.close()
