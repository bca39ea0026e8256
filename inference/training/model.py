"""The trained network: a Llama shape (RoPE, grouped-query attention, SwiGLU, RMSNorm, tied embeddings).

Projections of the same input are fused, because few large products are faster than many small ones; `export.py` splits
them into the names that transformers' LlamaForCausalLM loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BEGIN = 0
"""Id of the token that every sample begins with; the first id of `training.tokenizer`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network. `heads * head_size` may differ from `width`."""

    vocabulary: int = 8192
    width: int = 384
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 96
    feed_forward: int = 1024
    rope_base: float = 10_000.0
    context: int = 1024
    norm_epsilon: float = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)
        return normed


class TrainingBlock(nn.Module):
    """Attention and feed-forward, each after its own norm. x: [batch, time, width]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        q, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.attention_norm = RMSNorm(shape.width, shape.norm_epsilon)
        self.qkv = nn.Linear(shape.width, q + 2 * kv, bias=False)
        self.out = nn.Linear(q, shape.width, bias=False)
        self.feed_forward_norm = RMSNorm(shape.width, shape.norm_epsilon)
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, samples: Tensor) -> Tensor:
        s = self.shape
        batch, time, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, time, s.heads + 2 * s.kv_heads, s.head_size)
        q, k, v = qkv.transpose(1, 2).split([s.heads, s.kv_heads, s.kv_heads], dim=1)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        groups = s.heads // s.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        attended = causal_attention(q, k, v, samples)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, time, -1))
        gate, up = self.gate_up(self.feed_forward_norm(x)).chunk(2, dim=-1)
        result: Tensor = x + self.down(F.silu(gate) * up)
        return result


class Model(nn.Module):
    """Maps token ids int64 [batch, time] to hidden states [batch, time, width]; `embedding` is also the head."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(TrainingBlock(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_epsilon)
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialize()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        time = ids.shape[1]
        samples = (ids == BEGIN).cumsum(1)
        for block in self.blocks:
            x = block(x, self.cos[:time], self.sin[:time], samples)
        hidden: Tensor = self.norm(x)
        return hidden

    def _initialize(self) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and "embedding" not in name:
                nn.init.normal_(parameter, std=0.5 * parameter.shape[1] ** -0.5)
            if name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(parameter)


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each float32 [context, head_size], with repeated halves, as Llama's checkpoints expect."""
    frequencies = shape.rope_base ** (-torch.arange(0, shape.head_size, 2).float() / shape.head_size)
    angles = torch.outer(torch.arange(shape.context).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def causal_attention(q: Tensor, k: Tensor, v: Tensor, samples: Tensor) -> Tensor:
    """Softmax attention over [batch, heads, time, head_size], without a fused kernel.

    `samples` [batch, time] numbers the samples that a row is packed with. A token attends only to its own sample,
    because the hole of an earlier sample would make it hard to learn whether one is open.

    On a CPU with bfloat16 products, this trains faster than the fused kernel: the two products use the matrix library,
    and the compiler fuses the operations between them.
    """
    time = q.shape[2]
    visible = torch.ones((time, time), dtype=torch.bool, device=q.device).tril()
    visible = visible & (samples[:, None, :, None] == samples[:, None, None, :])
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    attended: Tensor = scores.float().masked_fill(~visible, -torch.inf).softmax(-1).to(v.dtype) @ v
    return attended


def loss_of(model: nn.Module, head: Tensor, ids: Tensor, targets: Tensor, weights: Tensor, chunk: int = 2048) -> Tensor:
    """Weighted mean cross-entropy in nats per token, with logits in chunks: all at once they would fill the caches."""
    hidden, targets, weights = model(ids).flatten(0, 1), targets.flatten(), weights.flatten()
    total = torch.zeros((), dtype=torch.float32)
    parts = (torch.split(tensor, chunk) for tensor in (hidden, targets, weights))
    for h, t, w in zip(*parts, strict=True):
        total = total + (F.cross_entropy(F.linear(h, head).float(), t, reduction="none") * w).sum()
    mean: Tensor = total / weights.sum()
    return mean


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of x [batch, heads, time, head_size] (Su et al., 2021)."""
    first, second = x.chunk(2, dim=-1)
    rotated: Tensor = (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
    return rotated
