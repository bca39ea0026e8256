"""Traces a forward: the residual stream after each layer, and the largest magnitude of its activations."""

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
class LayerTrace:
    """One layer. `stream` is float32 [tokens, width] on the CPU, `largest` the largest finite magnitude of the layer's
    outputs, `not_finite` the number of outputs that are infinite or NaN."""

    stream: Tensor
    largest: float = 0.0
    not_finite: int = 0

    def record(self, x: Tensor) -> None:
        """Updates the statistics with `x`."""
        finite = torch.isfinite(x)
        self.not_finite += int((~finite).sum())
        self.largest = max(self.largest, float(x[finite].abs().max()) if finite.any() else 0.0)


def trace(forward: Forward, ids: Sequence[int]) -> list[LayerTrace]:
    """Evaluates `ids` from scratch and traces each layer. Raises ValueError for a forward without known layers."""
    if isinstance(forward, OwnForward):
        return _trace_own(forward.network, ids)
    model = getattr(forward, "model", None)
    if model is None:
        raise ValueError("only the own forward and that of transformers can be traced")
    traces: list[LayerTrace] = []
    with _hooked(model, traces):
        forward.step(ids, forward.new_kv_cache())
    return traces


def _trace_own(network: Network, ids: Sequence[int]) -> list[LayerTrace]:
    """Runs a network over the same weights whose layers record their inputs and outputs."""
    traces = [LayerTrace(torch.empty(0)) for _ in network.blocks]

    def traced(number: int, block: Block) -> Block:
        record = traces[number].record
        out = _observe_output(block.attention.out, record)
        return replace(
            block,
            norm=_observe_input(block.norm, _stream_recorder(traces, number - 1)),
            attention=replace(block.attention, out=out),
            feed_forward=_observe_output(block.feed_forward, record),
        )

    blocks = [traced(number, block) for number, block in enumerate(network.blocks)]
    last = _observe_input(network.norm, _stream_recorder(traces, len(blocks) - 1))
    forward = OwnForward(replace(network, blocks=blocks, norm=last))
    forward.step(ids, forward.new_kv_cache(), len(ids))
    return traces


def _stream_recorder(traces: list[LayerTrace], number: int) -> Callable[[Tensor], None]:
    """Records the stream after layer `number`; -1, the input of the first layer, is ignored."""

    def record(x: Tensor) -> None:
        if number >= 0:
            traces[number].stream = x.detach().float().cpu()
            traces[number].record(x)

    return record


def _observe_input(layer: TokenwiseLayer, observe: Callable[[Tensor], None]) -> TokenwiseLayer:
    def observed(x: Tensor) -> Tensor:
        observe(x)
        return layer(x)

    return observed


def _observe_output(layer: TokenwiseLayer, observe: Callable[[Tensor], None]) -> TokenwiseLayer:
    def observed(x: Tensor) -> Tensor:
        y = layer(x)
        observe(y)
        return y

    return observed


@contextmanager
def _hooked(model: torch.nn.Module, traces: list[LayerTrace]) -> Iterator[None]:
    """Hooks the layers of a transformers model, its longest list of modules, so that they append their traces."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    if not lists:
        raise ValueError("the model has no list of layers")

    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        x: Tensor = output[0] if isinstance(output, tuple) else output
        traces.append(LayerTrace(x.detach().float().cpu().flatten(0, -2)))
        traces[-1].record(x)

    handles = [layer.register_forward_hook(hook) for layer in max(lists, key=len)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
