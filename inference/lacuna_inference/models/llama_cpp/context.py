"""A GGUF file that llama.cpp has loaded, and the sequences of tokens that it holds keys and values of."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.llama_cpp.library import Batch, Library

_MAX_BATCH = 512


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens that continue sequence `sequence` at position `start`; logits are wanted after the last `n_logits`."""

    ids: Sequence[int]
    sequence: int
    start: int
    n_logits: int


class Context:
    """A model in memory, with room for `sequences` sequences of `context` tokens each. Not thread-safe."""

    def __init__(self, library: Library, file: Path, context: int, sequences: int, gpu: bool) -> None:
        """Raises ModelUnusable if llama.cpp cannot load the file, or is another llama.cpp than expected."""
        self._functions = functions = library.functions
        model_params = functions.llama_model_default_params()
        if not gpu and functions.llama_supports_gpu_offload():
            model_params.n_gpu_layers = 0
        self._model = functions.llama_model_load_from_file(str(file).encode(), model_params)
        if not self._model:
            raise ModelUnusable(
                f"llama.cpp ({library.name} {library.version}) cannot load {file}: {library.errors()}.",
                f"Try a newer version of {library.name}, or another file of the model.",
            )
        params = functions.llama_context_default_params()
        params.n_ctx, params.n_seq_max = context * sequences, sequences
        params.n_batch = params.n_ubatch = _MAX_BATCH
        self._context = functions.llama_init_from_model(self._model, params)
        if not self._context or not self._is_as_asked(context * sequences, sequences):
            self.close()
            raise ModelUnusable(
                f"llama.cpp ({library.name} {library.version}) does not take a context of {context} tokens for {file}.",
                f"Choose a smaller --context, or a version of {library.name} that Lacuna was tested with.",
            )
        self._memory = functions.llama_get_memory(self._context)
        self.max_batch: int = functions.llama_n_batch(self._context)
        """Tokens of one pass."""
        self.vocabulary: int = functions.llama_vocab_n_tokens(functions.llama_model_get_vocab(self._model))
        self._sequences = np.arange(sequences, dtype=np.int32)

    def read(self, parts: Sequence[Part]) -> list[Tensor]:
        """Reads at most `max_batch` tokens in one pass; returns logits [n_logits, vocabulary] of each part.

        Raises RuntimeError if llama.cpp fails; then none of the tokens was read.
        """
        ids = np.array([token for part in parts for token in part.ids], np.int32)
        positions = np.array([part.start + n for part in parts for n in range(len(part.ids))], np.int32)
        wanted = np.array([n >= len(part.ids) - part.n_logits for part in parts for n in range(len(part.ids))], np.int8)
        counts = np.ones(len(ids), np.int32)
        of_sequence = np.repeat([part.sequence for part in parts], [len(part.ids) for part in parts])
        sequences = (self._sequences.ctypes.data + self._sequences.itemsize * of_sequence).astype(np.uintp)
        arrays = (ids, positions, counts, sequences, wanted)
        token, pos, n_seq_id, seq_id, logits = (array.ctypes.data for array in arrays)
        failure = self._functions.llama_decode(
            self._context, Batch(len(ids), token, None, pos, n_seq_id, seq_id, logits)
        )
        if failure:
            for part in parts:
                self.drop(part.sequence, part.start)
            raise RuntimeError(f"llama.cpp could not read {len(ids)} tokens (code {failure})")
        return self._logits(parts)

    def set_threads(self, threads: int) -> None:
        """Sets how many threads the next passes use."""
        self._functions.llama_set_n_threads(self._context, threads, threads)

    def drop(self, sequence: int, start: int = 0) -> bool:
        """Drops a sequence's tokens from position `start` on; False if a recurrent state cannot be taken back."""
        return bool(self._functions.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def state_bytes(self, sequence: int) -> int:
        return int(self._functions.llama_state_seq_get_size(self._context, sequence))

    def state(self, sequence: int) -> Tensor:
        """A copy of what the model keeps of a sequence, as bytes."""
        copy = torch.empty(self.state_bytes(sequence), dtype=torch.uint8)
        self._functions.llama_state_seq_get_data(self._context, copy.data_ptr(), len(copy), sequence)
        return copy

    def restore(self, sequence: int, state: Tensor) -> None:
        """Replaces a sequence by what `state` returned. Raises RuntimeError if llama.cpp does not take it."""
        self.drop(sequence)
        if not self._functions.llama_state_seq_set_data(self._context, state.data_ptr(), len(state), sequence):
            raise RuntimeError("llama.cpp did not take the keys and values that were saved")

    def close(self) -> None:
        """Frees the model's memory."""
        if self._context:
            self._functions.llama_free(self._context)
        if self._model:
            self._functions.llama_model_free(self._model)
        self._context = self._model = None

    def __del__(self) -> None:
        if getattr(self, "_model", None):
            self.close()

    def _is_as_asked(self, tokens: int, sequences: int) -> bool:
        """Whether llama.cpp understood the parameters."""
        n_ctx, n_seq_max, n_batch = (
            int(getattr(self._functions, f"llama_{name}")(self._context)) for name in ("n_ctx", "n_seq_max", "n_batch")
        )
        return n_ctx >= tokens and n_seq_max == sequences and min(tokens, _MAX_BATCH) <= n_batch <= _MAX_BATCH

    def _logits(self, parts: Sequence[Part]) -> list[Tensor]:
        found, end = [], 0
        for part in parts:
            end += len(part.ids)
            logits = np.empty((part.n_logits, self.vocabulary), np.float32)
            for number in range(part.n_logits):
                logits[number] = self._row(end - part.n_logits + number)
            found.append(torch.from_numpy(logits))
        return found

    def _row(self, index: int) -> NDArray[np.float32]:
        """The logits after the token with this index in the last pass; valid until the next one."""
        pointer = self._functions.llama_get_logits_ith(self._context, index)
        if not pointer:
            raise RuntimeError("llama.cpp has no logits where they were asked for")
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.vocabulary,))
