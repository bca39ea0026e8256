"""Line ends between the callers of the HTTP server and the model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import (
    Candidate,
    CompletionResult,
    Fill,
    Raw,
    Request,
    RequestMetrics,
    Stop,
    StopReason,
    StreamEvent,
    TokenLogprob,
)
from lacuna_server.http import line_ends

TEXT = st.text("ab\n\r", max_size=20)


@given(TEXT, TEXT)
def test_the_model_sees_lf_and_an_answer_has_crlf(before: str, written: str) -> None:
    request = line_ends.with_lf(Request((before, "\r\n"), stop=Stop(strings=("\r\n#",))))
    assert request.parts == (before.replace("\r\n", "\n"), "\n")
    scored = (TokenLogprob(written, -1.0, ((written, -1.0),)),)
    fill = Fill(written, StopReason.NEWLINE, 1, -1.0, scored)
    answer = line_ends.with_crlf(CompletionResult((Candidate((fill,)),), RequestMetrics(), "m"))
    text = answer.candidates[0].text
    assert text.count("\n") == text.count("\r\n") == written.count("\n")
    assert answer.candidates[0].fills[0].token_logprobs[0].text == text
    assert line_ends.event_with_crlf(StreamEvent(0, 0, scored[0])).token.top_logprobs[0][0] == text


@pytest.mark.parametrize(
    ("parts", "crlf"),
    [
        (("a\r\nb\r\n", "\n"), True),
        (("a\r\n", "\n"), False),
        (("a", "b"), False),
        (("a\n", "\r\n\r\n"), True),
    ],
)
def test_the_majority_of_lines_decides(parts: tuple[str, ...], crlf: bool) -> None:
    assert line_ends.uses_crlf(Request(parts)) is crlf


def test_a_raw_prompt_and_the_stops_of_a_text_with_lf_are_unchanged() -> None:
    built = Request(("a\r\n",), raw=Raw.YES, stop=Stop(strings=("\r\n",)))
    assert line_ends.with_lf(built) == built
    assert not line_ends.uses_crlf(built)
    assert line_ends.with_lf(Request(("a\n",), stop=Stop(strings=("\r\n",)))).stop.strings == ("\r\n",)
