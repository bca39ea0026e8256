"""How surprised a model is by a text: bits per byte, read from left to right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.forward import Forward
from lacuna_inference.prompt.planner import PromptSpec, plan


def logprobs(forward: Forward, ids: Sequence[int]) -> Tensor:
    """Log-probability in nats of each of `ids` but the first, given those before it; float32 [len(ids) - 1]."""
    logits = forward.step(ids, forward.new_kv_cache(), len(ids))[:-1].float().log_softmax(-1)
    found: Tensor = logits.gather(1, torch.tensor(ids[1:], device=logits.device)[:, None])[:, 0]
    return found


class Scorer:
    """Reads with a loaded model. Texts are read in pieces that fit its context, each from nothing but the header."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._text = loaded.decoder.tokenizer
        self._context = loaded.decoder.context
        assert loaded.forward is not None
        self._forward = loaded.forward

    def bits(self, text: str, path: str) -> float:
        """Bits that `text` costs in all. Divide by its UTF-8 bytes for bits per byte."""
        before = list(plan(PromptSpec(("",), path, 1), self._text, self._context).ids)
        ids = self._text.encode(text)
        room = self._context - len(before)
        return sum(self._piece(before, ids[start : start + room]) for start in range(0, len(ids), room))

    def _piece(self, before: list[int], ids: list[int]) -> float:
        found = logprobs(self._forward, [*before, *ids])
        return -float(found[len(before) - 1 :].sum()) / math.log(2)
