"""One token through a small Llama-shaped network on a CPU, in preallocated memory.

A small model spends half of a decoded token's time outside its matrix products: on two hundred operations over a few
hundred numbers, each with a new tensor. Here the residual stream and all intermediate values have fixed buffers, a norm
is a factor of the product after it, and a projection is added to the stream in place. Buffers have two equal columns,
because torch multiplies two columns several times faster than one (see `linear.columns`).

Attention is written three times for speed: see `network.py`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lacuna_inference.models.forward.layers import RmsNorm, SwiGlu
from lacuna_inference.models.forward.linear import Linear
from lacuna_inference.models.forward.network import Attention, KVTensor, Network


def obstacle(network: Network) -> str | None:
    """Why `network` needs the general forward even for one token, or None."""
    if network.head.device.type != "cpu" or network.head.dtype is not torch.float32:
        return "it is not in fp32 on a CPU"
    norms = [network.norm, *(norm for block in network.blocks for norm in (block.norm, block.feed_forward_norm))]
    if not all(isinstance(norm, RmsNorm) for norm in norms):
        return "its norms are no RMS norms"
    if network.rotation is None:
        return "it has no rotary positions"
    linears = [network.head]
    for block in network.blocks:
        if not isinstance(block.feed_forward, SwiGlu) or block.feed_forward.activation is not F.silu:
            return "its feed-forward is not SwiGLU"
        if not isinstance(block.attention.out, Linear):
            return "its products are summed over several devices"
        linears += [block.attention.qkv, block.attention.out, block.feed_forward.gate_up, block.feed_forward.down]
    return None if all(linear.column_weight is not None for linear in linears) else "other products are faster"


class SingleStep:
    """Reads one token into a KV cache; for networks without `obstacle`. Not thread-safe."""

    def __init__(self, network: Network) -> None:
        self._network = network
        heads, width = network.heads, network.head.inputs
        block = network.blocks[0]
        assert isinstance(block.feed_forward, SwiGlu)
        hidden = block.feed_forward.down.inputs
        self._stream = torch.zeros(width, 2)
        self._first, self._stream_rows = self._stream[:, 0], self._stream.T
        self._scaled = torch.zeros(2, width)
        self._scaled_columns = self._scaled.T
        self._qkv = torch.zeros((heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, 2)
        self._heads = torch.zeros(heads.n_heads + 2 * heads.n_kv_heads, heads.head_dim)
        self._flat, self._flat_qkv = self._heads.view(-1), self._qkv[:, 0]
        self._queries = self._heads[: heads.n_heads].view(1, heads.n_kv_heads, -1, heads.head_dim)
        self._keys_values = self._heads[heads.n_heads :]
        self._queries_keys = self._heads[: heads.n_heads + heads.n_kv_heads]
        rotated = self._queries_keys[:, : heads.rotary_dim]
        self._pairs = torch.view_as_complex(rotated.view(len(rotated), -1, 2))
        self._attended = torch.zeros(2, heads.n_heads * heads.head_dim)
        self._attended_columns = self._attended.T
        self._gate_up = torch.zeros(2 * hidden, 2)
        self._gate, self._gate_rows = self._gate_up[:hidden], self._gate_up[:hidden].T
        self._up_rows = self._gate_up[hidden:].T
        self._hidden = torch.zeros(2, hidden)
        self._hidden_columns = self._hidden.T

    def __call__(self, token: int, kv_cache: KVTensor) -> Tensor:
        """Logits [1, vocabulary] after `token`, in new memory."""
        network, position = self._network, kv_cache.length
        assert network.rotation is not None
        rotation = network.rotation[position]
        embedded = network.embed(torch.tensor([token]), torch.tensor([position]))
        self._stream.copy_(embedded.T)
        for block, keys_values in zip(network.blocks, kv_cache.keys_values, strict=True):
            self._attend(block.norm, block.attention, keys_values, position, rotation)
            self._feed_forward(block.feed_forward_norm, block.feed_forward)
        kv_cache.length = position + 1
        logits = torch.empty(len(_weight(network.head)), 2)
        self._product(network.norm, network.head, logits, 1.0 / network.logit_divisor)
        return logits[:, :1].T.contiguous()

    def _attend(self, norm: object, attention: Attention, keys_values: Tensor, position: int, rotation: Tensor) -> None:
        heads, n_kv_heads = self._network.heads, self._network.heads.n_kv_heads
        self._product(norm, attention.qkv, self._qkv)
        self._flat.copy_(self._flat_qkv)
        if attention.head_norm is not None:
            self._queries_keys.copy_(attention.head_norm(self._queries_keys))
        self._pairs.mul_(rotation)
        keys_values[:, position] = self._keys_values
        seen = keys_values[None, :, : position + 1]
        attended = F.scaled_dot_product_attention(
            self._queries, seen[:, :n_kv_heads], seen[:, n_kv_heads:], scale=heads.scale
        )
        self._attended.copy_(attended.view(1, -1))
        assert isinstance(attention.out, Linear)
        self._stream.addmm_(_weight(attention.out), self._attended_columns, alpha=self._network.residual_scale)

    def _feed_forward(self, norm: object, feed_forward: object) -> None:
        assert isinstance(feed_forward, SwiGlu)
        self._product(norm, feed_forward.gate_up, self._gate_up)
        F.silu(self._gate, inplace=True)
        torch.mul(self._gate_rows, self._up_rows, out=self._hidden)
        self._stream.addmm_(_weight(feed_forward.down), self._hidden_columns, alpha=self._network.residual_scale)

    def _product(self, norm: object, linear: Linear, out: Tensor, scale: float = 1.0) -> None:
        """Writes `scale` times `linear` of the normalized stream to `out` [out, 2]."""
        assert isinstance(norm, RmsNorm)
        square = float(torch.dot(self._first, self._first)) / len(self._first)
        torch.mul(self._stream_rows, norm.weight, out=self._scaled)
        out.addmm_(_weight(linear), self._scaled_columns, beta=0, alpha=scale / math.sqrt(square + norm.epsilon))


def _weight(linear: Linear) -> Tensor:
    assert linear.column_weight is not None
    return linear.column_weight
