"""Tokens per second for each forward, and the share of the memory bandwidth that this uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from lacuna_inference.forward import Forward
from lacuna_lab.bench.bandwidth import seconds

CACHED_TOKENS = 256
"""Tokens in the KV cache while a pass is timed."""


@dataclass(frozen=True, slots=True)
class DecodeSubject:
    """A model in one dtype under one forward. `weight_bytes` are read by a pass that decodes one token."""

    model: str
    forward_name: str
    dtype: str
    forward: Forward
    weight_bytes: int
    random_weights: bool


@dataclass(frozen=True, slots=True)
class DecodeRow:
    """`width` tokens were evaluated in a pass: one, or one and its draft. `share` is of the measured copy bandwidth."""

    model: str
    forward: str
    dtype: str
    width: int
    pass_s: float
    tokens_per_s: float
    share: float


def measure(
    subjects: Sequence[DecodeSubject], widths: Sequence[int], device: torch.device, bandwidth: float, repeats: int
) -> list[DecodeRow]:
    """A row for each subject and width. The subjects take turns, so that a disturbance affects all of them."""
    kv_caches = [_filled_kv_cache(subject.forward) for subject in subjects]
    times: dict[tuple[int, int], list[float]] = {}
    for _ in range(repeats):
        for number, (subject, kv_cache) in enumerate(zip(subjects, kv_caches, strict=True)):
            for width in widths:
                times.setdefault((number, width), []).append(_pass(subject.forward, kv_cache, width, device))
    return [_row(subjects[number], width, median(values), bandwidth) for (number, width), values in times.items()]


def table(rows: Sequence[DecodeRow], bandwidth: float) -> Iterator[str]:
    """The rows as a Markdown table, line by line."""
    yield f"Copy bandwidth: {bandwidth / 1e9:.1f} GB/s (read and written)"
    yield ""
    yield "| model | forward | dtype | tokens per pass | ms per pass | tokens/s | share of bandwidth |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        yield (
            f"| {row.model} | {row.forward} | {row.dtype} | {row.width} | {1000 * row.pass_s:.2f} "
            f"| {row.tokens_per_s:.0f} | {row.share:.2f} |"
        )


def _filled_kv_cache(forward: Forward) -> Any:
    kv_cache = forward.new_kv_cache()
    forward.step([7] * CACHED_TOKENS, kv_cache)
    return kv_cache


def _pass(forward: Forward, kv_cache: Any, width: int, device: torch.device) -> float:
    """Seconds for one pass over `width` tokens after `CACHED_TOKENS` others."""
    kv_cache.rollback(CACHED_TOKENS)
    forward.step([5] * width, kv_cache, width)  # warm-up: the first pass of a width may initialize something
    kv_cache.rollback(CACHED_TOKENS)
    return seconds(lambda: forward.step([5] * width, kv_cache, width), device)


def _row(subject: DecodeSubject, width: int, pass_s: float, bandwidth: float) -> DecodeRow:
    name = f"{subject.model} (random weights)" if subject.random_weights else subject.model
    share = subject.weight_bytes / pass_s / bandwidth
    return DecodeRow(name, subject.forward_name, subject.dtype, width, pass_s, width / pass_s, share)
