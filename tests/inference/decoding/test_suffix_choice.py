"""The suffix counts: of several answers, and of the places where each may end, the one that leads into it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from helpers import ScriptedCache, ScriptedForward, family_text

from lacuna_inference.api import CancelToken, Fill, Request, Sampling, Stop, StopReason, StreamEvent
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.cache.prefix_cache import PrefixCache
from lacuna_inference.decoding.answer import answer, answer_steps
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.request import RequestState
from lacuna_inference.errors import RequestCancelled
from lacuna_inference.forward import Step, run_steps

Next = Callable[[str], Mapping[str, float]]
"""Written text -> the logits of the next characters; all others have 0."""
LINE = Stop(single_line=True)


@dataclass
class Spelling(ScriptedForward):
    """A forward that chooses characters by what was written, after the last special token if there is one."""

    spelled: Callable[[Sequence[int]], Mapping[int, float]] = lambda _: {}

    def step(self, ids: Sequence[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:
        logits = torch.zeros_like(super().step(ids, kv_cache, n_logits))
        for row in range(n_logits):
            length = len(kv_cache.tokens) - n_logits + row + 1
            for token, logit in self.spelled(kv_cache.tokens[:length]).items():
                logits[row, token] = logit
        return logits


def decoder_of(likely: Next, family: str, **more: Any) -> Decoder:
    """A decoder of one-character tokens. One that fills in the middle was tuned for chat."""
    text = family_text(family)
    special = range(256, text.size)

    def spelled(tokens: Sequence[int]) -> Mapping[int, float]:
        start = max((number + 1 for number, token in enumerate(tokens) if token in special), default=0)
        return {text.encode(key)[0]: logit for key, logit in likely(text.decode(tokens[start:])).items()}

    forward = Spelling(text.size, lambda _: 0, spelled=spelled, **more)
    return Decoder(PrefixCachePool(forward), text, 256, closes_holes=text.family.infill is None)


def assignments(written: str) -> Mapping[str, float]:
    """`a` is likelier than `b` until the next line is known, which prints what was assigned."""
    line = written.rpartition("\n")[2]
    if line.endswith("= "):
        return {"a": 30.0, "b": 29.0}
    if line.startswith("x = ") or line.endswith(")"):
        return {"\n": 30.0}
    if "print("[: len(line)] == line and len(line) < 6:
        return {"print("[len(line)]: 30.0}
    return {written.partition("\n")[0][-1]: 30.0} if line == "print(" else {")": 30.0}


def arguments(written: str) -> Mapping[str, float]:
    """`q(1)` is the likeliest beginning, and closes the call; `x` is followed by another argument."""
    rows = {
        "f(": {"q": 30.0, "x": 29.0},
        "f(q": {"(": 30.0},
        "f(q(": {"1": 30.0},
        "f(q(1": {")": 30.0},
        "f(x": {",": 30.0},
        "f(x,": {" ": 30.0},
        "f(x, ": {"z": 30.0},
        "f(x, z": {")": 30.0},
    }
    return rows.get(written.rpartition("\n")[2], {")": 30.0})


def request(document: str, **more: Any) -> Request:
    return Request(tuple(document.split("|")), "a.py", **{"stop": LINE, **more})


BESIDE = request("x = |\nprint(b)\n")
INSIDE = request("f(|, y)\n")


def fill_of(decoder: Decoder, asked: Request) -> Fill:
    return answer(decoder, "m", asked, CancelToken(), 0.0).candidates[0].fills[0]


def test_a_model_that_does_not_see_the_suffix_writes_the_line_that_leads_into_it() -> None:
    for name in "ab":
        fill = fill_of(decoder_of(assignments, "codegen"), request(f"x = |\nprint({name})\n"))
        assert (fill.text, fill.reason) == (name, StopReason.NEWLINE)
        assert fill.suffix_logprob is not None
        assert fill.suffix_logprob > -12 * 0.1


@pytest.mark.parametrize(
    "asked",
    [
        request("x = |\n\n"),
        request("x = "),
        replace(BESIDE, stop=Stop(max_lines=1)),
        replace(BESIDE, stop=Stop(single_line=True, outside=False)),
        replace(BESIDE, top_logprobs=2),
    ],
)
def test_without_a_suffix_and_where_it_does_not_count_the_likeliest_is_written(asked: Request) -> None:
    fill = fill_of(decoder_of(assignments, "codegen"), asked)
    assert (fill.text, fill.suffix_logprob) == ("a", None)
    assert fill_of(decoder_of(assignments, "codegen"), BESIDE).text == "b"


def test_samples_are_drawn_as_ever() -> None:
    asked = replace(BESIDE, sampling=Sampling(1.0, seed=1), candidates=2, distinct=False)
    decoder = decoder_of(assignments, "codegen")
    fills = [candidate.fills[0] for candidate in answer(decoder, "m", asked, CancelToken(), 0.0).candidates]
    assert {fill.suffix_logprob for fill in fills} == {None}
    assert fill_of(decoder, BESIDE).suffix_logprob is not None


def test_a_model_tuned_for_chat_writes_and_ends_what_the_line_goes_on_after() -> None:
    fill = fill_of(decoder_of(arguments, "starcoder"), INSIDE)
    assert (fill.text, fill.reason) == ("x", StopReason.OUTSIDE)


def test_models_that_close_holes_and_lines_that_end_cost_nothing_more() -> None:
    for asked, closes in ((INSIDE, True), (request("f(|\ny = 1\n"), False)):
        decoder = replace(decoder_of(arguments, "starcoder"), closes_holes=closes)
        assert fill_of(decoder, asked).text.startswith("q(1)")
    likely = decoder_of(lambda text: {"f(": {"x": 30.0}, "f(x": {",": 30.0}}.get(text, {" ": 9.0}), "starcoder")
    assert fill_of(likely, INSIDE).text == "x"
    assert likely.caches.counts.passes <= 4, "a likely answer is not compared with any other"


def test_no_word_and_no_bracket_is_left_open() -> None:
    def numbers(written: str) -> Mapping[str, float]:
        text = "f(g(1,2), "
        return {text[len(written)]: 30.0} if text.startswith(written) and written != text else {"z": 30.0}

    assert fill_of(decoder_of(numbers, "starcoder"), INSIDE).text == "g(1,2)"


def test_what_is_streamed_is_the_answer() -> None:
    for likely, family, asked in ((assignments, "codegen", BESIDE), (arguments, "starcoder", INSIDE)):
        streamed: list[StreamEvent] = []
        fill = fill_of(decoder_of(likely, family), replace(asked, on_token=streamed.append))
        assert "".join(event.token.text for event in streamed) == fill.text
        assert fill.text in "bx"


def test_what_was_tried_does_not_stay_cached() -> None:
    forward = ScriptedForward(9, lambda tokens: tokens[-1])
    cache = PrefixCache(forward)
    cache.compute_logits_after([1, 2, 3, 8], CancelToken())

    def tried(following: list[int]) -> list[int]:
        logits = run_steps(cache.logits_along([1, 2, 3], following, CancelToken()), forward)
        return [int(row.argmax()) for row in logits]

    assert tried([4, 5, 6]) == [3, 4, 5]
    assert tried([7]) == [3]
    assert list(cache.tokens) == forward.tokens == [1, 2, 3]
    assert cache.counts.evaluated == sum(forward.widths)
    assert cache.counts.passes == forward.steps


def test_a_document_is_answered_the_same_again_and_typed_along() -> None:
    decoder = decoder_of(assignments, "codegen")
    asked = replace(BESIDE, document_id="d")
    first = fill_of(decoder, asked)
    assert fill_of(decoder, replace(asked, parts=("x = ", "\nprint(a)\n"))).text == "a"
    assert fill_of(decoder, asked).text == first.text == "b"
    assert "print" not in decoder.tokenizer.decode(decoder.caches.cache_for("d", [0]).tokens)


def test_it_can_be_cancelled_between_two_answers() -> None:
    cancel = CancelToken()
    decoder = decoder_of(assignments, "codegen", on_step=lambda number: cancel.cancel() if number == 3 else None)
    with pytest.raises(RequestCancelled):
        answer(decoder, "m", BESIDE, cancel, 0.0)
    assert fill_of(decoder, BESIDE).text == "b"


def test_a_cache_that_cannot_roll_back_is_not_read_again_and_again() -> None:
    decoder = decoder_of(assignments, "codegen", rolls_back=False)
    asked = replace(BESIDE, document_id="d")
    fill_of(decoder, asked)
    before = decoder.caches.counts.passes
    assert fill_of(decoder, replace(asked, parts=("yx = ", asked.parts[1]))).suffix_logprob is None
    assert decoder.caches.counts.passes - before <= 4


def test_requests_side_by_side_get_the_same_answers() -> None:
    decoder = decoder_of(assignments, "codegen")
    asked = [request(f"x = |\nprint({name})\n") for name in "ab"]
    running = {
        name: answer_steps(decoder, "m", RequestState(one, CancelToken()))
        for name, one in zip("ab", asked, strict=True)
    }
    steps: dict[str, Step] = {name: next(generator) for name, generator in running.items()}
    texts = dict[str, str]()
    while steps:
        batch = decoder.caches.forward.step_batch(list(steps.values()))
        assert batch is not None
        for name, logits in zip(list(steps), batch, strict=True):
            try:
                steps[name] = running[name].send(logits)
            except StopIteration as end:
                texts[name] = end.value.candidates[0].text
                del steps[name]
    assert texts == {"a": "a", "b": "b"}
