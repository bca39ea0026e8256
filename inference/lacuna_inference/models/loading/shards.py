"""A model's weights in equal parts, one for each of several devices (Shoeybi et al., 2019, arXiv 1909.08053).

Attention is parted by whole heads, a feed-forward by its inner numbers. What comes out of either is then the sum of
what all parts computed; between the sums every part holds the same. Embedding, norms and head are whole in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.models.forward.network import Network, TokenwiseLayer


@dataclass(frozen=True, slots=True)
class ShardingPlan:
    """How an architecture is parted. `config` is that of one part: fewer heads, fewer inner numbers.

    Tensors are known by what comes before `.weight` or `.bias`. `divided` layers give a part of their outputs each,
    `summed` ones read a part of the inputs each, and their outputs are summed.
    """

    config: dict[str, Any]
    divided: frozenset[str]
    summed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `rank` of `ways`."""

    rank: int
    world_size: int

    def of(self, tensor: Tensor, dimension: int) -> Tensor:
        """Its share of `tensor`, not copied."""
        size = tensor.shape[dimension] // self.world_size
        return tensor.narrow(dimension, self.rank * size, size)


class ShardedTensors(Mapping[str, Tensor]):
    """The tensors that one part holds. A bias that is added to a sum belongs to the first part; for others it is 0."""

    def __init__(self, tensors: Mapping[str, Tensor], parting: ShardingPlan, part: Shard) -> None:
        self._tensors, self._parting, self._part = tensors, parting, part

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        layer, kind = _layer_and_kind(name)
        if layer in self._parting.divided:
            return self._part.of(tensor, 0)
        if layer not in self._parting.summed:
            return tensor
        if kind == "weight":
            return self._part.of(tensor, 1).contiguous()
        return tensor if self._part.rank == 0 else torch.zeros_like(tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def with_all_reduce(network: Network, total: Callable[[Tensor], None]) -> Network:
    """`network` of one part, in which `total` sums, in place, what each block's halves come to in all parts."""

    def added(layer: TokenwiseLayer) -> TokenwiseLayer:
        def in_all(x: Tensor) -> Tensor:
            y = layer(x).contiguous()
            total(y)
            return y

        return in_all

    blocks = [
        replace(
            block,
            attention=replace(block.attention, out=added(block.attention.out)),
            feed_forward=added(block.feed_forward),
        )
        for block in network.blocks
    ]
    return replace(network, blocks=blocks)


def indivisible(ways: int, **counts: int) -> str | None:
    """Which of `counts` cannot be parted in so many `ways`, in words; None when all can."""
    found = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count % ways]
    return f"{' and '.join(found)} cannot be parted in {ways}" if found else None


def _layer_and_kind(name: str) -> tuple[str, str]:
    """`transformer.h.3.mlp.fc_in.bias` -> `fc_in`, `bias`."""
    *_, layer, kind = name.rsplit(".", 2)
    return layer, kind
