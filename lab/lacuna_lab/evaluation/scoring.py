"""Bits per byte of a text under a model, from left to right."""

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
    distributions = forward.step(ids, forward.new_kv_cache(), len(ids))[:-1].float().log_softmax(-1)
    chosen: Tensor = distributions.gather(1, torch.tensor(ids[1:], device=distributions.device)[:, None])[:, 0]
    return chosen


class Scorer:
    """Scores texts with a loaded model, in chunks that fit its context, each preceded by the prompt's header only."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._tokenizer = loaded.decoder.tokenizer
        self._context = loaded.decoder.context
        assert loaded.forward is not None
        self._forward = loaded.forward

    def bits(self, text: str, path: str) -> float:
        """Total bits of `text`. Divide by its UTF-8 bytes for bits per byte."""
        header = list(plan(PromptSpec(("",), path, 1), self._tokenizer, self._context).ids)
        ids = self._tokenizer.encode(text)
        room = self._context - len(header)
        return sum(self._chunk_bits(header, ids[start : start + room]) for start in range(0, len(ids), room))

    def _chunk_bits(self, header: list[int], ids: list[int]) -> float:
        scores = logprobs(self._forward, [*header, *ids])
        return -float(scores[len(header) - 1 :].sum()) / math.log(2)
