"""Typing along a suggestion: the rest of it is the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, CompletionResult, Fill, Request, Sampling, Stop, StopReason, TokenLogprob
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.per_document import MAX_DOCUMENTS
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse

SHOWN = Request(("a\nx = ", "\nb"), document_id="document")
FILL = Fill("foo(1)", StopReason.END_OF_HOLE, 3, -0.1)


def test_a_suggestion_for_the_lines_at_the_cursor_counts_only_while_it_is_typed() -> None:
    """Asked again for the same text, the model may have read the rest of it meanwhile."""
    reuse = SuggestionReuse()
    reuse.remember(SHOWN, FILL, is_narrow=True)
    assert reuse.rest_of(SHOWN) is None
    along = reuse.rest_of(replace(SHOWN, parts=("a\nx = fo", "\nb")))
    assert along is not None
    assert along.text == "o(1)"


def along(prefix: str, shown: Request = SHOWN, fill: Fill = FILL, **changed: object) -> str | None:
    reuse = SuggestionReuse()
    reuse.remember(shown, fill)
    found = reuse.rest_of(replace(shown, parts=(prefix, *shown.parts[1:]), **changed))  # type: ignore[arg-type]
    return found.text if found else None


def test_the_rest_of_the_suggestion_is_the_answer() -> None:
    assert along("a\nx = ") == "foo(1)"
    assert along("a\nx = fo") == "o(1)"
    assert along("a\nx = foo(1") == ")"
    assert along("a\nx = fo", shown=Request(("a\nx = ",), document_id="document")) == "o(1)"


@pytest.mark.parametrize("prefix", ["a\nx = b", "a\nx =", "c\nx = f", "a\nx = foo(1)", "a\nx = foo(1)2"])
def test_leaving_the_suggestion_computes_a_new_answer(prefix: str) -> None:
    assert along(prefix) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"document_id": "another"},
        {"document_id": None},
        {"stop": Stop(single_line=True)},
        {"candidates": 2},
        {"sampling": Sampling(0.5)},
        {"path": "y.py"},
        {"is_prefetch": True},
    ],
)
def test_a_different_request_computes_a_new_answer(changed: dict[str, object]) -> None:
    assert along("a\nx = f", **changed) is None


def test_a_changed_suffix_computes_a_new_answer() -> None:
    reuse = SuggestionReuse()
    reuse.remember(SHOWN, FILL)
    assert reuse.rest_of(replace(SHOWN, parts=("a\nx = f", ")\nb"))) is None


@pytest.mark.parametrize("reason", [StopReason.MAX_TOKENS, StopReason.DEADLINE, StopReason.MAX_LINES])
def test_a_text_that_was_cut_is_not_kept(reason: StopReason) -> None:
    assert along("a\nx = f", fill=replace(FILL, reason=reason)) is None


def test_only_the_latest_documents_are_remembered() -> None:
    reuse = SuggestionReuse()
    for number in range(MAX_DOCUMENTS + 1):
        reuse.remember(replace(SHOWN, document_id=str(number)), FILL)
    assert reuse.rest_of(replace(SHOWN, document_id="0")) is None
    assert reuse.rest_of(replace(SHOWN, document_id="1")) is not None


@given(st.text("ab (", min_size=1, max_size=12), st.integers(0, 12))
def test_typing_along_gives_what_the_model_would_have_written(fill: str, typed: int) -> None:
    def asked(key: str | None) -> CompletionResult:
        decoder = scripted_decoder(fill)
        answer(decoder, "s", Request(("a\n", "\nb"), document_id=key), CancelToken(), 0.0)
        request = Request(("a\n" + fill[:typed], "\nb"), document_id=key)
        return answer(decoder, "s", request, CancelToken(), 0.0)

    with_reuse, without = asked("document"), asked(None)
    assert with_reuse.candidates[0].text == without.candidates[0].text
    if typed < len(fill):
        assert with_reuse.metrics.forward_passes == 0


def test_the_rest_keeps_the_log_probabilities_of_its_tokens() -> None:
    scored = tuple(TokenLogprob(text, -number / 10) for number, text in enumerate(("fo", "o(", "1", ")")))
    reuse = SuggestionReuse()
    reuse.remember(SHOWN, replace(FILL, token_logprobs=scored))
    rest = reuse.rest_of(replace(SHOWN, parts=("a\nx = foo", "\nb")))
    assert rest is not None
    assert [(token.text, token.logprob) for token in rest.token_logprobs] == [("(", -0.1), ("1", -0.2), (")", -0.3)]


def test_an_answer_has_its_tokens_unasked() -> None:
    asked = replace(SHOWN, parts=("a\n", "\nb"))
    decoder = scripted_decoder("foo(1)")
    found = [answer(decoder, "m", asked, CancelToken(), 0.0).candidates[0].fills[0] for _ in range(2)]
    assert found[0].tokens > found[1].tokens == 0, "the second is the rest of the first"
    assert found[0].token_logprobs == found[1].token_logprobs
    assert "".join(token.text for token in found[0].token_logprobs) == found[0].text == "foo(1)"
