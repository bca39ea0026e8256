"""Muon for the matrices of the blocks, AdamW for embeddings and norms, and the learning-rate schedule.

Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon): the momentum of each matrix is replaced by its nearest
semi-orthogonal matrix, found by a quintic Newton-Schulz iteration.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Updates with the orthogonalized momentum; every parameter must be a matrix."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonal(parameter.grad.lerp(state["momentum"], group["momentum"]))
                scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The semi-orthogonal matrix nearest to `matrix`, to about one bfloat16 digit, as the method intends."""
    a, b, c = _COEFFICIENTS
    x: Tensor = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def optimizers(model: nn.Module, muon_lr: float, adam_lr: float) -> tuple[torch.optim.Optimizer, ...]:
    """One optimizer for the matrices of the blocks, one for everything else."""
    named = list(model.named_parameters())
    matrices = [p for n, p in named if p.ndim == 2 and "embedding" not in n]
    others = [p for n, p in named if p.ndim != 2 or "embedding" in n]
    adam = torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    return Muon(matrices, muon_lr), adam


def schedule(tokens: int, warm_up: int, decay_from: int, end: int) -> float:
    """Factor on the learning rate after `tokens` tokens: linear warm-up, constant, linear decay to zero."""
    if tokens < warm_up:
        return (tokens + 1) / warm_up
    if tokens < decay_from:
        return 1.0
    return max(0.0, (end - tokens) / max(1, end - decay_from))
