"""llama.cpp through llama-cpp-python, as a `Forward` of the engine: the reference for other engines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.errors import BadRequest
from lacuna_inference.forward import Step


def load(file: Path, context: int) -> Any:
    """The model of a GGUF file, with one thread per core. Raises BadRequest if the library or the file is missing."""
    try:
        from llama_cpp import Llama  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadRequest("llama.cpp is not installed.", "Run pip install llama-cpp-python, or omit it.") from error
    if not file.is_file():
        raise BadRequest(f"There is no file {file}.", "Write one with python -m training gguf.")
    threads = os.cpu_count() or 1
    return Llama(
        str(file),
        n_ctx=context,
        n_batch=context,
        n_threads=threads,
        n_threads_batch=threads,
        logits_all=True,
        verbose=False,
    )


@dataclass(frozen=True, slots=True)
class LlamaCache:
    """The single sequence that the model holds."""

    llama: Any

    @property
    def length(self) -> int:
        return int(self.llama.n_tokens)

    @property
    def nbytes(self) -> int:
        return 0

    def rollback(self, length: int) -> int:
        self.llama.n_tokens = min(self.length, length)
        return self.length


@dataclass(frozen=True, slots=True)
class LlamaForward:
    """A `Forward` with a single KV cache."""

    llama: Any
    max_draft_tokens: int = 0

    def new_kv_cache(self) -> LlamaCache:
        self.llama.reset()
        return LlamaCache(self.llama)

    def step_batch(self, steps: Sequence[Step]) -> None:
        """Not supported: only one caller is measured."""

    def step(self, ids: Sequence[int], kv_cache: LlamaCache, n_logits: int = 1) -> Tensor:
        self.llama.eval(list(ids))
        return torch.from_numpy(self.llama.scores[kv_cache.length - n_logits : kv_cache.length])
