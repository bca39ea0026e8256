"""The frequencies of rotary positions, and how published models scale them for contexts longer than their training's.

The formulas are those of transformers (`modeling_rope_utils.py`), whose logits are the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_FAST, _SLOW = 32.0, 1.0
"""YaRN's defaults: pairs that turn this often in the original context are kept, and those that turn less are scaled."""


@dataclass(frozen=True, slots=True)
class Span:
    """Lengths in tokens: of the training (`original`), as published (`longest`) and as configured by the user."""

    original: int
    longest: int
    context: int


def plain(base: float, size: int) -> Tensor:
    """Frequencies of a head's `size` rotated dimensions; fp32 [size / 2]."""
    return torch.reciprocal(base ** _exponents(size))


def scaled(kind: str, rope: dict[str, Any], base: float, size: int, span: Span) -> tuple[Tensor, float]:
    """The frequencies [size / 2] for positions of this `kind`, and the magnitude of rotated queries and keys."""
    if kind == "linear":
        return plain(base, size) / rope["factor"], 1.0
    if kind == "dynamic":
        return plain(_stretched(base, rope["factor"], size, span), size), 1.0
    if kind == "llama3":
        return _llama3(plain(base, size), rope, span.original), 1.0
    if kind == "yarn":
        return _yarn(base, size, rope, span.original), _yarn_magnitude(rope)
    if kind == "longrope":
        return _longrope(base, size, rope, span), _longrope_magnitude(rope, span)
    return plain(base, size), 1.0


def _exponents(size: int) -> Tensor:
    return torch.arange(0, size, 2, dtype=torch.int64).float() / size


def _stretched(base: float, factor: float, size: int, span: Span) -> float:
    """The base of dynamic NTK scaling for the configured context; as published up to the published length.

    transformers computes it anew for every length, and leaves the keys in its cache as they are; no context beyond the
    published length is configured, so that both agree.
    """
    stretch = factor * max(span.context, span.longest) / span.longest - (factor - 1)
    return float(base * stretch ** (size / (size - 2)))


def _llama3(frequencies: Tensor, rope: dict[str, Any], original: int) -> Tensor:
    """Llama 3.1's scaling: low frequencies are divided, high ones kept, those between interpolated."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = original * frequencies / (2 * math.pi)
    smooth: Tensor = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * frequencies / float(rope["factor"]) + smooth * frequencies


def _yarn(base: float, size: int, rope: dict[str, Any], original: int) -> Tensor:
    """YaRN (Peng et al., 2023, arXiv 2309.00071)."""

    def dimension(turns: float) -> float:
        """The dimension whose pair turns `turns` times in the original context."""
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dimension(rope.get("beta_fast") or _FAST), dimension(rope.get("beta_slow") or _SLOW)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    ramp = (torch.arange(size // 2).float() - low) / ((high - low) or 0.001)
    share, frequencies = ramp.clamp(0, 1), plain(base, size)
    return frequencies / float(rope["factor"]) * share + frequencies * (1 - share)


def _yarn_magnitude(rope: dict[str, Any]) -> float:
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    mscale, all_dim = rope.get("mscale"), rope.get("mscale_all_dim")
    if mscale and all_dim:
        return _mscale(rope["factor"], mscale) / _mscale(rope["factor"], all_dim)
    return _mscale(rope["factor"], 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _longrope(base: float, size: int, rope: dict[str, Any], span: Span) -> Tensor:
    """LongRoPE (Ding et al., 2024, arXiv 2402.13753): measured divisors, one set for long contexts and one for short.

    The configured context decides between them, as in vLLM: a key in a cache keeps its rotation. transformers switches
    sets when a text outgrows the original context, and leaves the keys in its cache rotated by the other set.
    """
    divisors = rope["long_factor"] if span.context > span.original else rope["short_factor"]
    return torch.reciprocal(torch.tensor(divisors, dtype=torch.float32) * base ** _exponents(size))


def _longrope_magnitude(rope: dict[str, Any], span: Span) -> float:
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    factor = rope.get("factor") or span.longest / span.original
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(span.original))
