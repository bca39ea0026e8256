"""Tensor parallelism: a model's weights in equal shards, one for each device (Shoeybi et al., 2019, arXiv 1909.08053).

Attention is split by whole heads, a feed-forward by its inner dimension. The output of either is the sum over all
shards; between the sums all shards hold the same values. Each shard has the whole embedding, norms and head.
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
    """How an architecture is split. `config` is that of one shard: fewer heads, a smaller inner dimension.

    Layers are named by what precedes `.weight` or `.bias`. A shard of a `divided` layer computes a share of the
    outputs. A shard of a `summed` layer reads a share of the inputs, and the outputs are summed.
    """

    config: dict[str, Any]
    divided: frozenset[str]
    summed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `rank` of `world_size`."""

    rank: int
    world_size: int

    def of(self, tensor: Tensor, dimension: int) -> Tensor:
        """This shard's share of `tensor`, a view."""
        size = tensor.shape[dimension] // self.world_size
        return tensor.narrow(dimension, self.rank * size, size)


class ShardedTensors(Mapping[str, Tensor]):
    """The tensors of one shard. The bias of a summed layer belongs to the first shard and is 0 in the others."""

    def __init__(self, tensors: Mapping[str, Tensor], plan: ShardingPlan, shard: Shard) -> None:
        self._tensors, self._plan, self._shard = tensors, plan, shard

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        layer, kind = _layer_and_kind(name)
        if layer in self._plan.divided:
            return self._shard.of(tensor, 0)
        if layer not in self._plan.summed:
            return tensor
        if kind == "weight":
            return self._shard.of(tensor, 1).contiguous()
        return tensor if self._shard.rank == 0 else torch.zeros_like(tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def with_all_reduce(network: Network, all_reduce: Callable[[Tensor], None]) -> Network:
    """One shard's `network` with `all_reduce`, which sums in place, after each attention and feed-forward."""

    def summed(layer: TokenwiseLayer) -> TokenwiseLayer:
        def reduced(x: Tensor) -> Tensor:
            y = layer(x).contiguous()
            all_reduce(y)
            return y

        return reduced

    blocks = [
        replace(
            block,
            attention=replace(block.attention, out=summed(block.attention.out)),
            feed_forward=summed(block.feed_forward),
        )
        for block in network.blocks
    ]
    return replace(network, blocks=blocks)


def indivisible(world_size: int, **counts: int) -> str | None:
    """A message naming the `counts` that cannot be split into `world_size` shards; None if all can."""
    problems = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count % world_size]
    return f"{' and '.join(problems)} cannot be split into {world_size} shards" if problems else None


def _layer_and_kind(name: str) -> tuple[str, str]:
    """`transformer.h.3.mlp.fc_in.bias` -> `fc_in`, `bias`."""
    *_, layer, kind = name.rsplit(".", 2)
    return layer, kind
