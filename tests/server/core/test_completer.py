"""Rules, cache, pace and completer: what is decided without the model."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace

import pytest
from helpers import at_cursor
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, CompletionResult, EngineState, Phase, Request, StopReason
from lacuna_inference.engine.fake import FakeEngine
from lacuna_server.core.admission import Rules, may_be_read, refusal
from lacuna_server.core.answer_cache import AnswerCache
from lacuna_server.core.completer import Completer
from lacuna_server.core.pace import MAX_DELAY_S, Pace
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.service import Policy, Suggestions
from lacuna_server.core.snapshot import Snapshot


@pytest.mark.parametrize(
    ("rules", "invoked", "reason"),
    [
        (Rules(), False, None),
        (Rules(off=True), True, Withheld.OFF),
        (Rules(automatic=False), False, Withheld.MANUAL),
        (Rules(automatic=False), True, None),
        (Rules(snoozed=True), False, Withheld.SNOOZED),
        (Rules(snoozed=True), True, None),
        (Rules(languages={"python": False}), False, Withheld.LANGUAGE),
        (Rules(languages={"*": False}), False, Withheld.LANGUAGE),
        (Rules(languages={"*": False, "python": True}), False, None),
        (Rules(exclude=("test.*",)), False, Withheld.EXCLUDED),
        (Rules(max_characters=3), False, Withheld.TOO_LARGE),
    ],
)
def test_the_rules(rules: Rules, invoked: bool, reason: Withheld | None) -> None:
    assert refusal(at_cursor("x = |"), rules, invoked) is reason


SECRET = (
    ".env~", "#.env#", ".#.env", ".env-prod", ".env_staging", "prod.env.bak", "a.auto.tfvars.json", ".netrc.bak",
    ".s3cfg", ".s3cfg.swp", ".id_rsa.swp", ".htpasswd.old", "local.settings.json", "secrets/db.yml", ".npmrc.save.2",
    "secrets/a/b.json", "gradle.properties", ".config/gh/hosts.yml", "htpasswd", "wp-config.php", "wp-config.php.orig",
    "secrets-prod.yml", "key.pem.1", "key.pem (2)", "key.pem copy", "._key.pem", ".ENV~", "kubeconfig-dev",
    "terraform.tfstate.backup", ".netrc.~1~", "server.key.",
)  # fmt: skip
HARMLESS = (
    "secrets/manager.py", "dev.py", "test", "a.py~", "#a.py#", ".a.py.swp", "hosts.yml", "gcloud/run.py", "config.json",
    "settings.json", "app.properties", "credentials_form.tsx", "environment-prod.ts", "~", "#",
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("/home/me/project/.env", True),
        ("/home/me/project/.env.local", True),
        ("C:\\Users\\me\\.ssh\\config", True),
        ("/home/me/.ssh/known_hosts", True),
        ("/x/server.PEM", True),
        ("/x/id_ed25519", True),
        ("/x/secrets.yaml", True),
        (r"C:\Users\me\.netrc~", True),
        *((f"/home/me/{name}", True) for name in SECRET),
        *((f"/home/me/{name}", False) for name in HARMLESS),
        ("/x/environment.py", False),
        ("/x/keys.py", False),
        ("/x/ssh/config.py", False),
        (None, False),
    ],
)
def test_secret_files_are_never_read(path: str | None, secret: bool) -> None:
    found = refusal(at_cursor("x = |", path), Rules(), invoked=True)
    assert found is (Withheld.SECRET if secret else None)
    assert may_be_read(path or "", Rules()) is not secret


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.min.js", "/a/b.min.js", True),
        ("*.min.js", "/a/b.js", False),
        ("vendor/**", "/a/vendor/b/c.py", True),
        ("**/vendor/*", "/vendor/c.py", True),
        ("vendor/**", "/a/myvendor/c.py", False),
        ("vendor/", "/a/vendor/b/c.py", True),
    ],
)
def test_file_name_patterns(pattern: str, path: str, fits: bool) -> None:
    assert may_be_read(path, Rules(exclude=(pattern,))) is not fits


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        ("x = 1  # set |", Withheld.COMMENT),
        ("x = 1  # set|\ny = 2\n", Withheld.COMMENT),
        ('def f():\n    """Do |\n    """\n', Withheld.COMMENT),
        ('x = "a |"\n', Withheld.STRING),
        ('x = "a"|\n', None),
        ("x = |\n", None),
        ("# note\nx = |\n", None),
        ("|", None),
    ],
)
def test_comments_and_strings_can_be_excluded(marked: str, reason: Withheld | None) -> None:
    rules = Rules(in_comments=False, in_strings=False)
    assert refusal(at_cursor(marked), rules, invoked=False) is reason
    assert refusal(at_cursor(marked), rules, invoked=True) is None
    assert refusal(replace(at_cursor(marked), language="no-such"), rules, invoked=False) is reason
    assert refusal(replace(at_cursor(marked, None), language="no-such"), rules, invoked=False) is None


def left(cache: AnswerCache, snapshot: Snapshot) -> tuple[str, ...] | None:
    found = cache.find(snapshot)
    return None if found is None else found.texts


@given(st.text("ab\n", max_size=6), st.text("ab\n", min_size=1, max_size=6), st.text("ab\n", max_size=3), st.data())
def test_the_cache_finds_exactly_the_rest_of_an_answer(before: str, text: str, after: str, data: st.DataObject) -> None:
    cache = AnswerCache()
    cache.put(Snapshot(before + after, len(before)), Suggestions((text,)))
    typed = data.draw(st.text("ab\n", max_size=6))
    now = Snapshot(before + typed + after, len(before) + len(typed))
    agrees = text.startswith(typed) and text != typed
    assert left(cache, now) == ((text[len(typed) :],) if agrees else None)
    assert left(cache, replace(now, text=now.text + "c")) is None
    assert left(cache, replace(now, document_id="another document")) is None


def test_the_cache_continues_after_a_crlf() -> None:
    cache = AnswerCache()
    cache.put(Snapshot("a", 1), Suggestions(("\nb",)))
    assert left(cache, Snapshot("a\r\n", 3)) == ("b",)


def test_the_cache_is_small_and_keeps_useful_answers() -> None:
    cache = AnswerCache(2)
    for text in "abc":
        cache.put(Snapshot(text, 1), Suggestions(("x",)))
        assert left(cache, Snapshot("a", 1)) == ("x",)
    assert left(cache, Snapshot("b", 1)) is None
    assert left(cache, Snapshot("c", 1)) == ("x",)


def test_an_empty_answer_is_cached_for_its_position_only_with_its_reason() -> None:
    cache = AnswerCache()
    cache.put(at_cursor("x|"), Suggestions(withheld=Withheld.REPEATS))
    found = cache.find(at_cursor("x|"))
    assert found is not None
    assert found.withheld is Withheld.REPEATS
    assert left(cache, at_cursor("xy|")) is None


def test_only_a_request_for_unread_text_waits() -> None:
    pace = Pace()
    for now, marked in enumerate(["a\nb|\nc\n", "a\nbb|\nc\n", "a\nbb\nd|\nc\n"]):
        pace.on_key(float(now))
        assert pace.delay(at_cursor(marked)) == 0
        pace.on_request(at_cursor(marked))
    for _ in range(2):
        assert pace.delay(at_cursor("z|\nc\n")) == MAX_DELAY_S
    for _ in range(10):
        pace.on_answer(5.0)
    assert pace.delay(at_cursor("a\ny|\nc\n")) == 0


def test_fast_typing_shortens_the_wait() -> None:
    pace = Pace()
    for number in range(40):
        pace.on_key(0.02 * number)
    pace.on_request(at_cursor("a|\nb\n"))
    assert pace.delay(at_cursor("a|\nc\n")) == pytest.approx(0.03)


async def both(completer: Completer, first: Snapshot, second: Snapshot) -> tuple[Suggestions, Suggestions]:
    """The answers to two requests of which the second arrives while the first is computed."""
    one = asyncio.ensure_future(completer.complete(first, Rules(), Policy()))
    await asyncio.sleep(0)
    two = asyncio.ensure_future(completer.complete(second, Rules(), Policy()))
    await asyncio.sleep(0)
    return await one, await two


def test_identical_requests_are_computed_once() -> None:
    async def scenario() -> FakeEngine:
        engine = FakeEngine("1", held=True)
        asking = asyncio.ensure_future(both(Completer(engine), at_cursor("x = |"), at_cursor("x = |")))
        while not engine.pending:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.release()
        one, two = await asking
        assert one.texts == two.texts == ("1",)
        assert (one.cached, two.cached) == (False, True)
        return engine

    assert len(asyncio.run(scenario()).requests) == 1


def test_a_request_lives_while_any_caller_waits() -> None:
    async def scenario() -> None:
        engine = FakeEngine("1", held=True)
        completer = Completer(engine)
        waiting = [asyncio.ensure_future(completer.complete(at_cursor("x|"), Rules(), Policy())) for _ in range(2)]
        while not engine.pending:
            await asyncio.sleep(0)
        for number, task in enumerate(waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            assert engine.pending[0].cancel.cancelled is (number == 1)

    asyncio.run(scenario())


def test_a_request_that_repeats_a_cancelled_one_is_answered() -> None:
    async def scenario() -> Suggestions:
        engine = FakeEngine("1", held=True)
        completer = Completer(engine)
        first = asyncio.ensure_future(completer.complete(at_cursor("x|"), Rules(), Policy()))
        while not engine.pending:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.ensure_future(completer.complete(at_cursor("x|"), Rules(), Policy()))
        with pytest.raises(asyncio.CancelledError):
            await first
        while len(engine.requests) < 2:
            await asyncio.sleep(0)
        engine.release()
        return await second

    answer = asyncio.run(scenario())
    assert (answer.texts, answer.cached) == (("1",), False)


def test_typing_along_never_asks_the_engine_but_manual_invocation_always_does() -> None:
    async def scenario() -> list[Suggestions]:
        completer = Completer(engine)
        marked = [("x = |", False), ("x = ab|", False), ("x = abz|", False), ("x = |", True)]
        return [await completer.complete(at_cursor(m), Rules(), Policy(), invoked) for m, invoked in marked]

    engine = FakeEngine("abc")
    first, along, away, by_hand = asyncio.run(scenario())
    assert (first.cached, along.cached, away.cached, by_hand.cached) == (False, True, False, False)
    assert along.texts == ("c",)
    assert len(engine.requests) == 3


def test_temporarily_withheld_suggestions_are_requested_again() -> None:
    async def scenario() -> list[Suggestions]:
        engine = FakeEngine("1", phase=Phase.LOADING)
        completer = Completer(engine)
        early = await completer.complete(at_cursor("x = |"), Rules(), Policy())
        engine.enter(EngineState(Phase.WARM))
        return [early, await completer.complete(at_cursor("x = |"), Rules(), Policy())]

    early, late = asyncio.run(scenario())
    assert early.withheld is Withheld.LOADING
    assert late.texts == ("1",)


def test_an_answer_cut_by_the_deadline_is_requested_again() -> None:
    async def scenario() -> FakeEngine:
        engine = FakeEngine("1", reason=StopReason.DEADLINE)
        completer = Completer(engine)
        for _ in range(2):
            assert not (await completer.complete(at_cursor("x = |"), Rules(), Policy())).cached
        return engine

    assert len(asyncio.run(scenario()).requests) == 2


def test_a_delayed_request_yields_to_a_newer_one() -> None:
    async def scenario() -> tuple[Suggestions, Suggestions]:
        completer = Completer(engine)
        await completer.complete(at_cursor("a\n|\nb\n"), Rules(), Policy())
        return await both(completer, at_cursor("z|\nb\n"), at_cursor("zz|\nb\n"))

    engine = FakeEngine("1")
    older, newer = asyncio.run(scenario())
    assert older.withheld is Withheld.CANCELLED
    assert newer.texts == ("1",)
    assert [request.parts[0] for request in engine.requests] == ["a\n", "zz"]


def test_an_answer_reports_its_stop_reason_and_confidence() -> None:
    answer = asyncio.run(Completer(FakeEngine("a, b")).complete(at_cursor("f(|)"), Rules(), Policy()))
    assert answer.stop is StopReason.END_OF_HOLE
    assert answer.confidence == pytest.approx(0.905, abs=0.001)
    assert not answer.cut
    cut = asyncio.run(Completer(FakeEngine("g(x))")).complete(at_cursor("f(|)"), Rules(), Policy()))
    assert (cut.texts, cut.cut) == (("g(x)",), True)


@pytest.mark.parametrize(
    ("rules", "policy", "read"),
    [
        (Rules(in_comments=False), Policy(look_ahead=True), True),
        (Rules(), Policy(look_ahead=False), False),
        (Rules(off=True), Policy(look_ahead=True), False),
        (Rules(automatic=False), Policy(look_ahead=True), False),
        (Rules(languages={"python": False}), Policy(look_ahead=True), False),
        (Rules(exclude=("test.*",)), Policy(look_ahead=True), False),
        (Rules(max_characters=3), Policy(look_ahead=True), False),
        (Rules(model_languages=("rust",)), Policy(look_ahead=True), False),
    ],
)
def test_only_documents_that_may_be_completed_are_read_ahead(rules: Rules, policy: Policy, read: bool) -> None:
    engine = FakeEngine()
    completer = Completer(engine)
    completer.read_ahead(at_cursor("|# a comment\r\n"), rules, policy)
    assert [pending.request.parts for pending in engine.read] == [("# a comment\n",)] * read


def test_a_document_that_is_closed_is_not_read_any_more() -> None:
    engine = FakeEngine()
    completer = Completer(engine)
    completer.read_ahead(at_cursor("|x"), Rules(), Policy(look_ahead=True))
    assert not engine.read[0].cancel.cancelled
    completer.forget("test")
    assert engine.read[0].cancel.cancelled
    completer.forget("test")


class Narrow(FakeEngine):
    """An engine whose answers are narrow wherever they may be."""

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        result = super().submit(request, cancel).result()
        narrow: Future[CompletionResult] = Future()
        metrics = replace(result.metrics, narrow=request.may_be_narrow)
        narrow.set_result(replace(result, metrics=metrics))
        return narrow


@pytest.mark.parametrize(("look_ahead", "requests"), [(True, 2), (False, 1)])
def test_an_answer_from_a_narrow_window_is_not_given_again(look_ahead: bool, requests: int) -> None:
    engine = Narrow("1")
    completer, policy = Completer(engine), Policy(look_ahead=look_ahead)
    for _ in range(2):
        answer = asyncio.run(completer.complete(at_cursor("x = |"), Rules(), policy))
        assert answer.texts == ("1",)
    assert len(engine.requests) == requests
    asyncio.run(completer.complete(at_cursor("x = |"), Rules(), policy, invoked=True))
    assert not engine.requests[-1].may_be_narrow
