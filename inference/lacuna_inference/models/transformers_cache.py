"""The KV cache of a model that transformers runs. It can be rolled back also where the library's own cache cannot.

Keys and values of full attention are cropped. A recurrent state (Mamba, gated DeltaNet) and a full sliding window have
forgotten what cropping would need, so a few snapshots of them are kept: a rollback returns to the last one before the
wanted position, and the tokens from there on are read again.

Where snapshots are taken follows from how prompts change. Each step of several tokens ends with one: the end of a
prompt is where the next key departs from it. Where a rollback found none, one is taken when that position is read
again: what precedes it (in prompts whose suffix comes last, all lines before the cursor's) stays for many keys. The
others are spread over the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

MAX_SNAPSHOTS = 4
"""The state of one layer of gated DeltaNet with 16 heads of 128 x 128 takes 1 MiB in fp32, so they add up."""
SPACING = 32
"""Tokens read one at a time after which a snapshot is taken nevertheless."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The states of all layers after the first `position` tokens; `windows` are keys, values and their length."""

    position: int
    states: tuple[Tensor, ...]
    windows: tuple[tuple[Tensor, Tensor, int], ...]

    @property
    def nbytes(self) -> int:
        kept = [*self.states, *(tensor for window in self.windows for tensor in window[:2])]
        return sum(tensor.nbytes for tensor in kept)


class TransformersCache:
    """A KV cache in a DynamicCache."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self.cache = DynamicCache(config=config)
        self.length = 0
        self._snapshots: list[_Snapshot] = []
        self._wanted = self._departed = 0
        """Where the last rollback wanted to go and found no snapshot, until it is read again; and thereafter."""

    @property
    def is_empty(self) -> bool:
        """Whether the library has put nothing into it."""
        return not _states(self.cache) and not _keys_values(self.cache)

    @property
    def nbytes(self) -> int:
        live = sum(tensor.nbytes for tensor in [*_keys_values(self.cache), *_states(self.cache)])
        return live + sum(snapshot.nbytes for snapshot in self._snapshots)

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens; returns how many it kept.

        That may be less for caches with a recurrent state or a full sliding window; see the module.
        """
        if length >= self.length:
            return self.length
        kept = max(0, length) if self._croppable else max((s.position for s in self._until(length)), default=0)
        self._wanted = length if kept < length else 0
        self._snapshots = self._until(kept)
        if kept == 0 or not self._crop(kept):
            self.cache, self.length, self._snapshots = DynamicCache(config=self._config), 0, []
        return self.length

    def read(self, count: int) -> None:
        """Counts `count` tokens that were read into the cache, and takes a snapshot if one is due."""
        self.length += count
        if 0 < self._wanted <= self.length:
            self._wanted, self._departed = 0, self._wanted
        last = self._snapshots[-1].position if self._snapshots else 0
        if not self._croppable and (count > 1 or self.length - last >= SPACING):
            self._snapshots.append(_Snapshot(self.length, *self._copied()))
            self._thin_out()

    def until_snapshot(self, count: int) -> int:
        """How many of the next `count` tokens are to be read before a snapshot; 0 if it is not within them."""
        return max(0, self._wanted - self.length) if self._wanted < self.length + count else 0

    @property
    def has_states(self) -> bool:
        """Whether it holds recurrent or convolutional states."""
        return bool(_states(self.cache))

    def _until(self, length: int) -> list[_Snapshot]:
        return [snapshot for snapshot in self._snapshots if snapshot.position <= length]

    @property
    def _croppable(self) -> bool:
        """Whether all layers hold every token. A sliding window does until it is full."""
        return not self.has_states and not any(
            layer.get_seq_length() >= layer.sliding_window for layer in _windows(self.cache)
        )

    def _crop(self, length: int) -> bool:
        """Returns to the first `length` tokens: the position of the last snapshot, or any for a croppable cache.

        Returns whether it could: some models have caches of their own, which cannot be cropped.
        """
        layers: list[Any] = list(self.cache.layers)
        surplus, croppable = self.length - length, self._croppable
        try:
            for layer in layers:
                is_window = isinstance(layer, DynamicSlidingWindowLayer)
                if not _has_state(layer) and (croppable or not is_window):
                    layer.crop(-surplus)
                elif isinstance(layer, DynamicLayer) and not is_window:
                    DynamicLayer.crop(layer, -surplus)  # attention beside a state, in one layer
        except (RuntimeError, ValueError, NotImplementedError, AttributeError):
            return False
        if not croppable:
            self._restore(self._snapshots[-1])
        self.length = length
        return True

    def _copied(self) -> tuple[tuple[Tensor, ...], tuple[tuple[Tensor, Tensor, int], ...]]:
        """States are copied, because the library writes into them. Windows are new tensors after every step."""
        windows = [(layer.keys, layer.values, int(layer.get_seq_length())) for layer in _windows(self.cache)]
        return tuple(state.clone() for state in _states(self.cache)), tuple(windows)

    @torch.inference_mode()
    def _restore(self, snapshot: _Snapshot) -> None:
        for state, saved in zip(_states(self.cache), snapshot.states, strict=True):
            state.copy_(saved)
        for layer, (keys, values, length) in zip(_windows(self.cache), snapshot.windows, strict=True):
            layer.keys, layer.values, layer.cumulative_length = keys, values, length

    def _thin_out(self) -> None:
        """Drops the snapshot whose loss lengthens the way to the next one least; never the last, nor the departure."""
        if len(self._snapshots) > MAX_SNAPSHOTS:
            positions = [0, *(snapshot.position for snapshot in self._snapshots)]
            gaps = {
                index: positions[index + 2] - positions[index]
                for index, snapshot in enumerate(self._snapshots[:-1])
                if snapshot.position != self._departed
            }
            del self._snapshots[min(gaps, key=gaps.__getitem__)]


def _keys_values(cache: DynamicCache) -> list[Tensor]:
    held = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    return [tensor for tensor in held if tensor is not None]


def _states(cache: DynamicCache) -> list[Tensor]:
    """The recurrent and convolutional states of all layers."""
    held = [getattr(layer, name, None) for layer in cache.layers for name in ("conv_states", "recurrent_states")]
    tensors = [tensor for states in held for tensor in (states.values() if isinstance(states, dict) else [states])]
    return [tensor for tensor in tensors if tensor is not None]


def _has_state(layer: Any) -> bool:
    return hasattr(layer, "recurrent_states")


def _windows(cache: DynamicCache) -> list[Any]:
    """The layers with a sliding window that have read something."""
    return [layer for layer in cache.layers if isinstance(layer, DynamicSlidingWindowLayer) and layer.keys is not None]
