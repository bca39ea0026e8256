"""Looks into a forward while it reads a text: the stream behind each layer, and how large its numbers become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.forward import Forward
from lacuna_inference.models.forward.network import Block, Network, OwnForward, TokenwiseLayer


@dataclass(slots=True)
class LayerSeen:
    """One layer. `stream` is float32 [tokens, width] on the CPU; `largest` the largest finite magnitude of what the
    layer wrote, `not_finite` how many of its numbers were infinite or none."""

    stream: Tensor
    largest: float = 0.0
    not_finite: int = 0

    def note(self, x: Tensor) -> None:
        """Takes `x` into account."""
        finite = torch.isfinite(x)
        self.not_finite += int((~finite).sum())
        self.largest = max(self.largest, float(x[finite].abs().max()) if finite.any() else 0.0)


def layers(forward: Forward, ids: Sequence[int]) -> list[LayerSeen]:
    """What each layer does with `ids`, read from nothing. Raises ValueError for a forward that has no known layers."""
    if isinstance(forward, OwnForward):
        return _own(forward.network, ids)
    model = getattr(forward, "model", None)
    if model is None:
        raise ValueError("only the own forward and transformers' can be looked into")
    seen: list[LayerSeen] = []
    with _hooked(model, seen):
        forward.step(ids, forward.new_kv_cache())
    return seen


def _own(network: Network, ids: Sequence[int]) -> list[LayerSeen]:
    """A network over the same weights, whose parts tell what they are given and what they make of it."""
    seen = [LayerSeen(torch.empty(0)) for _ in network.blocks]

    def watched(number: int, block: Block) -> Block:
        note = seen[number].note
        out = _telling(block.attention.out, note)
        return replace(
            block,
            norm=_given(block.norm, _keeper(seen, number - 1)),
            attention=replace(block.attention, out=out),
            feed_forward=_telling(block.feed_forward, note),
        )

    blocks = [watched(number, block) for number, block in enumerate(network.blocks)]
    last = _given(network.norm, _keeper(seen, len(blocks) - 1))
    forward = OwnForward(replace(network, blocks=blocks, norm=last))
    forward.step(ids, forward.new_kv_cache(), len(ids))
    return seen


def _keeper(seen: list[LayerSeen], number: int) -> Callable[[Tensor], None]:
    """Keeps the stream behind layer `number`; what goes into the first layer is not one's doing."""

    def keep(x: Tensor) -> None:
        if number >= 0:
            seen[number].stream = x.detach().float().cpu()
            seen[number].note(x)

    return keep


def _given(layer: TokenwiseLayer, tell: Callable[[Tensor], None]) -> TokenwiseLayer:
    def told(x: Tensor) -> Tensor:
        tell(x)
        return layer(x)

    return told


def _telling(layer: TokenwiseLayer, tell: Callable[[Tensor], None]) -> TokenwiseLayer:
    def told(x: Tensor) -> Tensor:
        y = layer(x)
        tell(y)
        return y

    return told


@contextmanager
def _hooked(model: torch.nn.Module, seen: list[LayerSeen]) -> Iterator[None]:
    """While inside, the layers of a transformers model, its longest list of modules, append what they write."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    if not lists:
        raise ValueError("the model has no list of layers")

    def hook(_module: Any, _given: Any, made: Any) -> None:
        x: Tensor = made[0] if isinstance(made, tuple) else made
        seen.append(LayerSeen(x.detach().float().cpu().flatten(0, -2)))
        seen[-1].note(x)

    hooks = [layer.register_forward_hook(hook) for layer in max(lists, key=len)]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()
