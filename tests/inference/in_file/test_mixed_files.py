"""What other files say is mixed into the answers of a model that is not shown them."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType

import torch
from helpers import MARK, ScriptedCache, ScriptedForward, family_text

from lacuna_inference.api import CancelToken, ContextFile, Request, Source, Stop
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder

LEDGER = ContextFile("ledger.py", "def f(ledger):\n    total = ledger.sum_of_entries(2026)\n    return total\n")


def ignorant_decoder(family: str) -> Decoder:
    """A model that knows nothing: all tokens are equally likely."""
    text = family_text(family)

    def logits(self: ScriptedForward, ids: Sequence[int], kv_cache: ScriptedCache, n_logits: int = 1) -> torch.Tensor:
        kv_cache.tokens += ids
        return torch.zeros(n_logits, self.vocabulary)

    forward = ScriptedForward(text.size, lambda _: 0)
    forward.step = MethodType(logits, forward)  # type: ignore[method-assign]
    return Decoder(PrefixCachePool(forward), text, 512)


def answered(decoder: Decoder, marked: str, *files: ContextFile, **more: object) -> tuple[str, Source, int]:
    """The text, where it is from, and the length of the prompt in tokens."""
    before, after = marked.split(MARK)
    request = Request((before, after), "a.py", Stop(40, single_line=True), context_files=files, **more)  # type: ignore[arg-type]
    result = answer(decoder, "m", request, CancelToken(), 0.0)
    (fill,) = result.candidates[0].fills
    return fill.text, fill.source, result.metrics.prompt_tokens


def test_n_grams_of_other_files_continue_a_name() -> None:
    text, _, _ = answered(ignorant_decoder("lacuna"), "y = ledger.su|\n", LEDGER)
    assert text.startswith("m_of_entries(2026)")


def test_a_line_of_another_file_is_a_fill_candidate() -> None:
    text, source, _ = answered(ignorant_decoder("lacuna"), "def g():\n    total = |\n", LEDGER)
    assert (text, source) == ("ledger.sum_of_entries(2026)", Source.CANDIDATE)


def test_the_prompt_shows_nothing_of_them() -> None:
    decoder = ignorant_decoder("lacuna")
    assert answered(decoder, "y = |\n", LEDGER)[2] == answered(decoder, "y = |\n")[2]


def test_what_was_shown_last_is_kept() -> None:
    decoder = ignorant_decoder("lacuna")
    answered(decoder, "y = |\n", LEDGER, document_id="a")
    text, _, _ = answered(decoder, "y = ledger.su|\n", document_id="a", keeps_files=True)
    assert text.startswith("m_of_entries(2026)")


def test_nothing_is_mixed_into_other_models() -> None:
    assert answered(ignorant_decoder("starcoder"), "y = ledger.su|\n", LEDGER)[0] != "m_of_entries(2026)"
