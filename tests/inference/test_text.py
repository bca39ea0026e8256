"""A lone surrogate in an open document is read as U+FFFD, and the request is answered like any other."""

from __future__ import annotations

import pytest
from helpers import scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Request, Stop
from lacuna_inference.decoding.answer import answer
from lacuna_inference.text import without_surrogates

HIGH, LOW = "\ud83d", "\ude00"
ANY_TEXT = st.text(st.one_of(st.characters(), st.characters(categories=("Cs",))))


@given(ANY_TEXT)
def test_every_lone_surrogate_becomes_one_replacement_character(text: str) -> None:
    read = without_surrogates(text)
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert len(read) == len(joined)
    assert all(a == b or (b == "\ufffd" and "\ud800" <= a <= "\udfff") for a, b in zip(joined, read, strict=True))


def test_a_surrogate_pair_is_a_character() -> None:
    assert without_surrogates(f"a{HIGH}{LOW}{LOW}") == "a\U0001f600\ufffd"


def test_no_server_is_sent_a_lone_surrogate_as_a_stop() -> None:
    assert Stop(strings=(HIGH,)).strings == ("\ufffd",)


@pytest.mark.parametrize("family", ["lacuna", "starcoder", "codegen"])
@pytest.mark.parametrize(
    "request_",
    [
        Request((f"x = '{HIGH}'\ny = ", "\n")),
        Request((f"y = '{LOW}", "\n")),
        Request(("y = ", f"\nx = '{LOW}'\n")),
        Request(("y = \n", "\n"), related_files=(f"x = '{HIGH}'\n",)),
        Request(("y = \n", "\n"), path=f"{HIGH}.py"),
    ],
)
def test_a_lone_surrogate_is_answered_like_any_other_character(family: str, request_: Request) -> None:
    decoder = scripted_decoder("x", family, max_draft_tokens=4)
    assert answer(decoder, "scripted", request_, CancelToken(), 0.0).candidates
