"""The contestants of `lacuna bench accelerations`: the own decoding loop, and `generate()` of transformers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from lacuna_inference.api import CancelToken, Request
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.answer import answer, prompt_for
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.prompt.families import TrailingBlanks
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_lab.bench.accelerations_steps import Acceleration


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A text, the tokens that the model evaluated for it, and the number of forward passes."""

    text: str
    evaluated: int
    passes: int


class Contestant(Protocol):
    """Answers the keystrokes of one session after the other."""

    def begin(self) -> None:
        """Begins a new session and forgets everything else."""

    def ask(self, request: Request) -> ModelReply: ...

    @property
    def kept_bytes(self) -> int:
        """Bytes that the last answer left in memory: KV cache and cached logits."""
        ...


class UnhealedTokenizer(PromptTokenizer):
    """A tokenizer without token healing: prompts end at the cursor, even inside a word."""

    def healed_prefix(self, prefix: str, blanks: TrailingBlanks) -> str:
        return ""


class OwnLoop:
    """The own decoding loop. Without the prefix cache it evaluates every prompt from scratch."""

    def __init__(self, new_decoder: Callable[[], Decoder], enabled: frozenset[Acceleration]) -> None:
        self._new_decoder, self._enabled = new_decoder, enabled
        self._decoder = new_decoder()

    def begin(self) -> None:
        self._decoder = self._new_decoder()

    def ask(self, request: Request) -> ModelReply:
        decoder = self._decoder
        if Acceleration.PREFIX_CACHE not in self._enabled:
            decoder.caches.cache_for(request.document_id, ()).clear()
        if Acceleration.SUGGESTION_REUSE not in self._enabled:
            decoder = replace(decoder, reuse=SuggestionReuse())
        result = answer(decoder, "", request, CancelToken(), time.perf_counter())
        metrics = result.metrics
        return ModelReply(result.candidates[0].text, metrics.evaluated_tokens, metrics.forward_passes)

    @property
    def kept_bytes(self) -> int:
        return self._decoder.caches.nbytes


class LibraryGenerate:
    """transformers' `generate()`, greedy, with the prompts and the rules of the own loop; it ends with the line."""

    def __init__(self, new_decoder: Callable[[], Decoder], cached: bool) -> None:
        self._decoder, self._cached = new_decoder(), cached
        forward: Any = self._decoder.caches.forward
        self._model, self._kv_cache = forward.model, forward.new_kv_cache()
        tokenizer = self._decoder.tokenizer
        newlines = [token for token, content in tokenizer.vocabulary.bytes_of.items() if b"\n" in content]
        self._stops = sorted({*tokenizer.ends, *newlines})
        padding = range(tokenizer.size, self._model.config.vocab_size)
        self._suppressed = sorted({*tokenizer.banned, *padding})

    def begin(self) -> None:
        self._decoder = replace(self._decoder, anchors=Anchors())

    def ask(self, request: Request) -> ModelReply:
        ids = prompt_for(self._decoder, request).ids
        generated = self._generate(ids, request.stop.max_tokens)
        tokenizer = self._decoder.tokenizer
        text = tokenizer.decode([token for token in generated if token not in tokenizer.ends]).split("\n")[0]
        count, length = len(generated), len(ids)
        evaluated = length + count - 1 if self._cached else count * length + count * (count - 1) // 2
        return ModelReply(text, evaluated, count)

    @property
    def kept_bytes(self) -> int:
        return int(self._kv_cache.nbytes)

    @torch.inference_mode()
    def _generate(self, ids: tuple[int, ...], max_tokens: int) -> list[int]:
        prompt = torch.tensor([ids], device=self._model.device)
        output = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            repetition_penalty=1.0,
            use_cache=self._cached,
            max_new_tokens=max_tokens,
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
            suppress_tokens=self._suppressed or None,
            return_dict_in_generate=True,
        )
        if self._cached:
            self._kv_cache.cache = output.past_key_values
        return [int(token) for token in output.sequences[0, len(ids) :]]
