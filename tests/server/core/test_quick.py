"""The quick model: whose answer is shown, and what becomes of the other one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest
from helpers import at_cursor

from lacuna_inference.api import (
    CancelToken,
    Candidate,
    CompletionResult,
    EngineState,
    Fill,
    ModelFacts,
    Phase,
    Request,
    StopReason,
    TokenLogprob,
)
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.core.admission import Rules
from lacuna_server.core.completer import Completer
from lacuna_server.core.quick import QuickModel
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions

SURE, UNSURE = 0.0, -6.0
"""Log-probabilities of a quick answer, in nats."""


class Scored(FakeEngine):
    """A fake whose answers have log-probabilities."""

    def __init__(self, text: str, logprob: float | None, phase: Phase = Phase.WARM) -> None:
        super().__init__(text, phase)
        self._text, self._logprob = text, logprob

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        found = super().submit(request, cancel).result()
        scored = () if self._logprob is None else (TokenLogprob(self._text, self._logprob),)
        fill = Fill(self._text, StopReason.NEWLINE, 1, 0.0, scored)
        answered: Future[CompletionResult] = Future()
        answered.set_result(replace(found, candidates=(Candidate((fill,)),), model="quick"))
        return answered


@dataclass
class Pair:
    """A completer with a larger model that answers when it is released, and a quick one that answers at once."""

    quick: FakeEngine
    larger: FakeEngine = field(default_factory=lambda: FakeEngine("larger()", held=True))

    def __post_init__(self) -> None:
        self.completer = Completer(self.larger, quick=QuickModel(self.quick))

    async def ask(self, marked: str, invoked: bool = False, rules: Rules | None = None) -> Suggestions:
        return await self.completer.complete(at_cursor(marked), rules or Rules(), Policy(), invoked)

    async def ask_and_release(self, marked: str, invoked: bool = False) -> Suggestions:
        """Asks; the larger model answers once the quick one had its chance."""
        asked = asyncio.ensure_future(self.ask(marked, invoked))
        await turns()
        self.larger.release()
        return await asked


async def turns() -> None:
    """Lets the event loop run everything that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


def texts(scenario: Callable[[], Awaitable[Suggestions]]) -> tuple[str, ...]:
    async def run() -> Suggestions:
        return await scenario()

    return asyncio.run(run()).texts


def test_a_sure_answer_does_not_wait_for_the_larger_model() -> None:
    assert texts(lambda: Pair(Scored("quick()", SURE)).ask("x = |")) == ("quick()",)


@pytest.mark.parametrize("logprob", [UNSURE, None])
def test_an_answer_that_is_not_sure_is_not_shown(logprob: float | None) -> None:
    assert texts(lambda: Pair(Scored("quick()", logprob)).ask_and_release("x = |")) == ("larger()",)


def test_a_suggestion_that_is_asked_for_comes_from_the_larger_model() -> None:
    assert texts(lambda: Pair(Scored("quick()", SURE)).ask_and_release("x = |", invoked=True)) == ("larger()",)


def test_a_larger_model_that_is_as_quick_answers() -> None:
    assert texts(lambda: Pair(Scored("quick()", UNSURE), FakeEngine("larger()")).ask("x = |")) == ("larger()",)


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.FAILED])
def test_the_quick_model_answers_while_there_is_no_other(phase: Phase) -> None:
    assert texts(lambda: Pair(Scored("quick()", SURE), FakeEngine(phase=phase)).ask("x = |")) == ("quick()",)


def test_while_both_load_the_reason_is_the_larger_model_s() -> None:
    async def scenario() -> Suggestions:
        loading = FakeEngine(phase=Phase.LOADING)
        loading.enter(EngineState(Phase.LOADING, message="reading"))
        return await Pair(FakeEngine(phase=Phase.LOADING), loading).ask("x = |")

    answer = asyncio.run(scenario())
    assert (answer.withheld, answer.detail) == (Withheld.LOADING, "reading")


def test_a_visible_answer_changes_only_with_a_key() -> None:
    async def scenario() -> None:
        pair = Pair(Scored("quick()", SURE))
        first = await pair.ask("x = |")
        pair.larger.release()
        await turns()
        again = await pair.ask("x = |")
        assert first.texts == again.texts == ("quick()",)
        assert (first.cached, again.cached) == (False, True)
        typed = await pair.ask("x = l|")
        assert typed.texts == ("arger()",)
        assert len(pair.larger.requests) == 1

    asyncio.run(scenario())


def test_other_settings_or_a_closed_document_forget_what_was_visible() -> None:
    for forget in (lambda c: c.forget_answers(), lambda c: c.forget("test")):

        async def scenario(forget: Callable[[Completer], None] = forget) -> None:
            pair = Pair(Scored("quick()", SURE))
            await pair.ask("x = |")
            forget(pair.completer)
            assert not (await pair.ask("x = |")).cached

        asyncio.run(scenario())


def test_languages_that_the_quick_model_does_not_know_are_the_larger_one_s() -> None:
    async def scenario() -> Suggestions:
        quick = Scored("quick()", SURE)
        quick.enter(EngineState(Phase.WARM, facts=ModelFacts(languages=("rust",))))
        return await Pair(quick).ask_and_release("x = |")

    assert asyncio.run(scenario()).texts == ("larger()",)


def test_a_client_that_cancels_cancels_both() -> None:
    async def scenario() -> None:
        pair = Pair(FakeEngine("quick()", held=True))
        asked = asyncio.ensure_future(pair.ask("x = |"))
        await turns()
        asked.cancel()
        await turns()
        assert [pending.cancel.cancelled for pending in (*pair.larger.pending, *pair.quick.pending)] == [True, True]

    asyncio.run(scenario())


def test_the_quick_model_is_not_asked_to_look_ahead() -> None:
    async def scenario() -> Request:
        pair = Pair(Scored("quick()", SURE))
        await pair.completer.complete(at_cursor("x = |"), Rules(), Policy(look_ahead=True))
        return pair.quick.requests[0]

    assert not asyncio.run(scenario()).prefetch_next
