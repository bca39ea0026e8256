"""llama.vim's rules: what is asked, what is kept, what is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_lab.replay import llama_vim as rules
from lacuna_lab.replay.llama_vim_client import LlamaVim
from lacuna_lab.replay.tasks import ReplayTask
from lacuna_lab.replay.typist import acceptable, is_right

BEFORE, AFTER = "import os\ndef f(a):\n    ret", "\n\nlast = 1\n"


def test_whole_lines_around_the_cursor_and_the_typed_line_apart() -> None:
    at = rules.context(BEFORE, AFTER)
    assert at == rules.Context("import os\ndef f(a):\n", "    ret", "\n\nlast = 1\n", 4, "")
    assert rules.context("", "") == rules.Context("\n", "", "\n\n", 0, "")
    long = rules.context("a\n" * 300, "\n" + "b\n" * 300)
    assert (long.prefix.count("\n"), long.suffix.count("\n")) == (rules.N_PREFIX, rules.N_SUFFIX + 1)


def test_a_line_of_blanks_is_sent_empty() -> None:
    at = rules.context("def f(a):\n    ", "\nlast = 1\n")
    assert (at.middle, at.suffix, at.indent) == ("", "\nlast = 1\n", 0)
    assert rules.shown("    return a", "def f(a):\n    ", "\nlast") == "return a"
    assert rules.shown("      return a", "def f(a):\n    ", "\nlast") == "  return a"
    assert rules.shown("return a", "def f(a):\n    ", "\nlast") == "return a"


def test_nothing_is_asked_with_much_to_the_right() -> None:
    assert rules.context("f(", ", 12345)").asks
    assert not rules.context("f(", ", 1234567)").asks


def test_limits_of_time_are_sent_only_where_time_counts() -> None:
    at = rules.context(BEFORE, AFTER)
    assert {"t_max_prompt_ms": 500, "t_max_predict_ms": 250}.items() <= at.body(timed=True).items()
    assert not [name for name in at.body(timed=False) if name.startswith("t_max")]
    assert at.body(timed=False)["n_indent"] == 4


def test_what_is_asked_in_advance_is_as_if_accepted() -> None:
    ahead = rules.context_after(BEFORE, AFTER, "urn a\n    more", 4)
    assert ahead == rules.Context("import os\ndef f(a):\n    return a\n", "    more", "\n\nlast = 1\n", 4, "")


def kept(before: str, answer: str) -> rules.Answers:
    answers = rules.Answers()
    answers.put(rules.context(before, AFTER), answer)
    return answers


def test_the_rest_of_an_answer_is_found_while_it_is_typed() -> None:
    answers = kept(BEFORE, "urn a")
    assert answers.find(rules.context(BEFORE, AFTER)) == "urn a"
    assert answers.find(rules.context(BEFORE + "ur", AFTER)) == "n a"
    assert answers.find(rules.context(BEFORE + "uX", AFTER)) is None
    assert answers.find(rules.context(BEFORE + "urn a", AFTER)) is None
    assert answers.find(rules.context(BEFORE + "ur", AFTER + "x")) is None
    far = "x" * rules.LOOK_BACK
    assert kept(BEFORE, far + "yz").find(rules.context(BEFORE + far, AFTER)) == "yz"
    assert kept(BEFORE, far + "yz").find(rules.context(BEFORE + far + "y", AFTER)) is None


def test_of_several_answers_the_longest_counts_but_not_the_nearest() -> None:
    answers = kept(BEFORE, "urn abc")
    answers.put(rules.context(BEFORE + "u", AFTER), "rn abcdefgh")
    answers.put(rules.context(BEFORE + "ur", AFTER), "n a much longer one")
    assert answers.find(rules.context(BEFORE + "urn", AFTER)) == " abcdefgh"


def test_an_answer_is_kept_for_text_that_lost_its_first_lines() -> None:
    answers = kept(BEFORE, "urn a")
    assert answers.find(rules.context(BEFORE.partition("\n")[2], AFTER)) == "urn a"
    assert answers.has(rules.context("one more\n" + BEFORE, AFTER))
    assert not answers.has(rules.context(BEFORE + "u", AFTER))


def test_the_oldest_answers_are_dropped() -> None:
    answers = kept("first", "answer")
    for number in range(rules.MAX_CACHED):
        answers.put(rules.context(f"{number}", AFTER), "x")
    assert answers.find(rules.context("first", AFTER)) is None


@pytest.mark.parametrize(
    ("answer", "before", "after", "expected"),
    [
        ("urn a\n\n", BEFORE, AFTER, "urn a"),
        ("", BEFORE, AFTER, ""),
        ("  \n ", BEFORE, AFTER, ""),
        ("\nb = 1", "a = 1", "\nb = 1\n", ""),  # repeats the lines below
        ("\nb = 2", "a = 1", "\nb = 1\n", "\nb = 2"),
        (")", "f(a", ")\n", ""),  # repeats the rest of the line
        (")x", "f(a", ")\n", ")x"),
        ("b = 1", "", "\n\nb = 1\n", ""),  # repeats the next line with text
        ("= 1", "b ", "\nb = 1\n", ""),
        ("= 1\nc", "b ", "\nb = 1\nc = 2\n", ""),
        ("= 1\nd", "b ", "\nb = 1\nc = 2\n", "= 1\nd"),
        ("= 1\nc = 2\nd", "b ", "\nb = 1\nc = 2\nd\n", ""),
        ("= 1\nc = 2\ne", "b ", "\nb = 1\nc = 2\nd\n", "= 1\nc = 2\ne"),
        ("= 1", "b ", "", "= 1"),
    ],
)
def test_what_stands_there_already_is_not_shown(answer: str, before: str, after: str, expected: str) -> None:
    assert rules.shown(answer, before, after) == expected


TASK = ReplayTask("group", "x.py", "x.py", "python", BEFORE, AFTER, "urn a")
Handler = Callable[[dict[str, Any]], httpx.Response]


def asked(handler: Handler, keys: str, patient: bool) -> tuple[list[str], list[str]]:
    """What is shown at first and after each of `keys`, and the typed lines that were sent."""
    bodies: list[dict[str, Any]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return handler(bodies[-1])

    async def run() -> list[str]:
        async with httpx.AsyncClient(base_url="http://x", transport=httpx.MockTransport(serve)) as client:
            contestant = LlamaVim(None, client, patient)  # type: ignore[arg-type]
            await contestant.open(TASK)
            shown = [(await contestant.ask()).text]
            for key in keys:
                contestant.insert(key)
                await asyncio.sleep(0.01)
                shown.append((await contestant.ask()).text)
            contestant.leave()
            await contestant.open(TASK)
        return shown

    return asyncio.run(run()), [body["prompt"] for body in bodies]


def says(text: str) -> Handler:
    """Answers with `text`, in two pieces if it is wanted in pieces."""

    def answer(body: dict[str, Any]) -> httpx.Response:
        if not body["stream"]:
            return httpx.Response(200, json={"content": text})
        pieces = [json.dumps({"content": piece}) for piece in (text[:2], text[2:])]
        return httpx.Response(200, text="".join(f"data: {piece}\n\n" for piece in pieces))

    return answer


@pytest.mark.parametrize(
    ("answer", "before", "reference", "enough"),
    [
        ("urn a", BEFORE, "urn a\nmore", False),  # may go on
        ("urn b", BEFORE, "urn a\nmore", False),
        ("urn b\n", BEFORE, "urn a\nmore", True),
        ("urn a\n", BEFORE, "urn a\nmore", False),
        ("urn a\nmost", BEFORE, "urn a\nmore", False),
        ("urn a\nmost\n", BEFORE, "urn a\nmore", True),
        ("urn a\nmore\n", BEFORE, "urn a", True),
        ("\nmore\n", BEFORE, "urn a", False),  # may repeat what follows
        ("b = 1\n", "", "a = 1", True),
        ("last = 1\n", "", "a = 1", False),
        ("    b = 1\n", "if a:\n    ", "a = 1", True),
        ("    a = 1\n", "if a:\n    ", "a = 1\n    b", False),
    ],
)
def test_an_answer_is_read_as_far_as_it_matters(answer: str, before: str, reference: str, enough: bool) -> None:
    assert rules.is_enough(answer, before, AFTER, reference) is enough


@given(st.text("ab \n", max_size=12), st.text("ab \n", max_size=12), st.data())
def test_the_rest_of_an_answer_changes_nothing(answer: str, reference: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(answer)))
    if reference and rules.is_enough(answer[:length], "x\n", "\nbb\na\n", reference):
        part, whole = (rules.shown(text, "x\n", "\nbb\na\n") for text in (answer[:length], answer))
        assert is_right(part, reference) is is_right(whole, reference)
        assert acceptable(part, reference) == acceptable(whole, reference)


def test_patient_only_what_is_not_known_is_asked() -> None:
    assert asked(says("urn a"), "ur", patient=True) == (["urn a", "rn a", "n a"], ["    ret"])
    assert asked(says("urn a"), "x", patient=True) == (["urn a", "urn a"], ["    ret", "    retx"])
    assert asked(says(""), "", patient=True) == ([""], ["    ret"])


def test_in_time_more_is_asked_for_in_advance() -> None:
    shown, sent = asked(says("urn a"), "u", patient=False)
    assert shown == ["urn a", "rn a"]
    assert sent[:2] == ["    ret", "    return a"]


def test_in_time_nothing_is_an_answer_too() -> None:
    assert asked(says(""), "", patient=False)[0] == [""]


def test_failures_say_what_to_do() -> None:
    error = {"error": {"message": "no"}}
    with pytest.raises(BadRequest, match="--rival"):
        asked(lambda _: httpx.Response(501, json=error), "", patient=True)
    with pytest.raises(LacunaError, match="answered: no"):
        asked(lambda _: httpx.Response(400, json=error), "", patient=False)
    with pytest.raises(LacunaError, match="no answer"):
        asked(lambda _: httpx.Response(200, text="?"), "", patient=False)
    with pytest.raises(LacunaError, match="no answer"):
        asked(lambda _: httpx.Response(200, text="data: ?"), "", patient=True)


def test_what_is_under_way_at_the_end_is_given_up() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def run() -> bool:
        async with httpx.AsyncClient(base_url="http://x", transport=httpx.MockTransport(never)) as client:
            contestant = LlamaVim(None, client, patient=False)  # type: ignore[arg-type]
            await contestant.open(TASK)
            asked = asyncio.ensure_future(contestant.ask())
            await asyncio.sleep(0)
            await contestant.end()
            return asked.cancel()

    assert asyncio.run(asyncio.wait_for(run(), 10))
