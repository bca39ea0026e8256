"""Tokens a second for each forward, and which part of the memory's bandwidth that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from lacuna_inference.forward import Forward
from lacuna_lab.bench.bandwidth import seconds

HELD = 256
"""Tokens in the cache while a pass is timed."""


@dataclass(frozen=True, slots=True)
class DecodeSubject:
    """A model in one dtype behind one forward. `weight_bytes` are read by a pass that decodes one token."""

    model: str
    forward_name: str
    dtype: str
    forward: Forward
    weight_bytes: int
    random_weights: bool


@dataclass(frozen=True, slots=True)
class DecodeRow:
    """`width` tokens were read in a pass: one, or one and its draft. `share` is of the measured copy bandwidth."""

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
    """A row for each subject and width; the subjects take turns, so that a disturbance meets all of them."""
    slots = [_filled(subject.forward) for subject in subjects]
    taken: dict[tuple[int, int], list[float]] = {}
    for _ in range(repeats):
        for number, (subject, slot) in enumerate(zip(subjects, slots, strict=True)):
            for width in widths:
                taken.setdefault((number, width), []).append(_pass(subject.forward, slot, width, device))
    return [_row(subjects[number], width, median(times), bandwidth) for (number, width), times in taken.items()]


def table(rows: Sequence[DecodeRow], bandwidth: float) -> Iterator[str]:
    """The rows as a Markdown table, line by line."""
    yield f"Copy bandwidth: {bandwidth / 1e9:.1f} GB/s (read and written)"
    yield ""
    yield "| model | forward | dtype | tokens in a pass | ms a pass | tokens/s | share of bandwidth |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        yield (
            f"| {row.model} | {row.forward} | {row.dtype} | {row.width} | {1000 * row.pass_s:.2f} "
            f"| {row.tokens_per_s:.0f} | {row.share:.2f} |"
        )


def _filled(forward: Forward) -> Any:
    slot = forward.new_kv_cache()
    forward.step([7] * HELD, slot)
    return slot


def _pass(forward: Forward, slot: Any, width: int, device: torch.device) -> float:
    """Seconds for one pass over `width` tokens behind `HELD` others."""
    slot.rollback(HELD)
    forward.step([5] * width, slot, width)  # once for nothing: the first pass of a width may prepare something
    slot.rollback(HELD)
    return seconds(lambda: forward.step([5] * width, slot, width), device)


def _row(subject: DecodeSubject, width: int, pass_s: float, bandwidth: float) -> DecodeRow:
    name = f"{subject.model} (random weights)" if subject.random_weights else subject.model
    share = subject.weight_bytes / pass_s / bandwidth
    return DecodeRow(name, subject.forward_name, subject.dtype, width, pass_s, width / pass_s, share)
