"""Any causal model of the transformers library behind the `Forward` protocol, with its own modules and DynamicCache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class LibraryForward:
    """One sequence over one DynamicCache; eager, without `generate()`.

    Positions are always given: models with absolute positions (XGLM, GPTBigCode) would otherwise derive them from a
    mask that is not there.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        model.train(False)
        self._cache = DynamicCache(config=model.config)
        accepted = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    @property
    def held(self) -> int:
        return int(self._cache.get_seq_length())

    @torch.inference_mode()
    def step(self, ids: Sequence[int]) -> Tensor:
        """Appends `ids` to the cache; logits [vocabulary] after the last of them, in the model's dtype."""
        held, device = self.held, self._model.device
        output = self._model(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=torch.arange(held, held + len(ids), device=device)[None],
            past_key_values=self._cache,
            use_cache=True,
            **self._last_only,
        )
        logits: Tensor = output.logits[0, -1]
        return logits

    @torch.inference_mode()
    def logprobs(self, ids: Sequence[int]) -> Tensor:
        """Log-probability in nats of each of `ids` but the first, given those before it; float32 [len(ids) - 1]."""
        device = self._model.device
        tokens = torch.tensor([list(ids)], device=device)
        positions = torch.arange(len(ids), device=device)[None]
        logits = self._model(input_ids=tokens, position_ids=positions, use_cache=False).logits[0, :-1]
        found: Tensor = logits.float().log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        return found

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens; how many it kept.

        Caches with a full sliding window or a recurrent state cannot be cropped: then nothing is kept.
        """
        surplus = self.held - length
        if length > 0 and surplus > 0:
            try:
                self._cache.crop(-surplus)
            except (RuntimeError, ValueError, NotImplementedError):
                length = 0
        if length <= 0:
            self._cache = DynamicCache(config=self._model.config)
        return self.held
