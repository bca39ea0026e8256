"""Whether a model fits on each device, with how much context, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS
from lacuna_inference.models.loading import memory
from lacuna_lab.resources.estimate import Need

_UNITS = {
    "": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
RESERVED = {"cpu": 300 * 2**20, "cuda": 600 * 2**20}
"""Bytes reserved for the interpreter with its libraries, and for a GPU's driver. An allowance, not a measurement."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """The memory of a device of this machine, or of a card that the user named. `free` in bytes."""

    name: str
    kind: str
    free: int


@dataclass(frozen=True, slots=True)
class FitVerdict:
    """One dtype on one device. `context` is the largest that fits, in tokens; 0 when the weights do not fit."""

    place: MemoryBudget
    need: Need
    needed: int
    context: int
    fits: bool


def size(text: str) -> int:
    """Parses a size such as `16GB` or `24GiB` into bytes. Raises BadRequest for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b|)\s*", text.lower())
    if match is None or not float(match[1]):
        raise BadRequest(f"{text!r} is not a memory size.", "Write for example 16GB or 24GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def memory_budgets(cards: Sequence[str]) -> list[MemoryBudget]:
    """The devices of this machine with their free memory, and the named cards with all of theirs."""
    devices = []
    free = memory.available_bytes(torch.device("cpu"))
    if free is not None:
        devices.append(MemoryBudget("cpu", "cpu", free))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        name = f"{device} ({torch.cuda.get_device_name(device)})"
        devices.append(MemoryBudget(name, "cuda", memory.available_bytes(device) or 0))
    return [*devices, *(MemoryBudget(f"a card of {card}", "cuda", size(card)) for card in cards)]


def verdicts(needs: Sequence[Need], budgets: Sequence[MemoryBudget], context: int, longest: int) -> list[FitVerdict]:
    """Each dtype on each device that supports it, for `context` tokens; `longest` is the model's own limit."""
    found = []
    for budget in budgets:
        free = budget.free - RESERVED[budget.kind]
        for need in needs:
            if need.kind == budget.kind:
                needed = need.total(context)
                max_context = need.largest_context(free, longest)
                found.append(FitVerdict(budget, need, needed + RESERVED[budget.kind], max_context, needed <= free))
    return found


def advice(verdicts: Sequence[FitVerdict], published: str) -> list[str]:
    """A sentence for each device; `published` is the dtype of the model's files."""
    names = dict.fromkeys(verdict.place.name for verdict in verdicts)
    return [f"{name}: {_advice([v for v in verdicts if v.place.name == name], published)}" for name in names]


def _advice(verdicts: Sequence[FitVerdict], published: str) -> str:
    """Advice for one device."""
    kind = verdicts[0].place.kind
    fitting = {verdict.need.dtype: verdict for verdict in verdicts if verdict.fits}
    for dtype in _preferred(kind, published):
        if dtype in fitting:
            return f"{_option(dtype)} fits, with {_room(fitting[dtype])}."
    shorter = max(verdicts, key=lambda verdict: verdict.context)
    if shorter.context:
        return f"{_option(shorter.need.dtype)} fits with --context {shorter.context} at most."
    if kind == "cuda":
        return "it does not fit. Spread it over several devices (--device-map auto), or choose a smaller model."
    return "it does not fit. Choose a smaller model, or let another machine run it (--engine)."


def _preferred(kind: str, published: str) -> list[str]:
    """Dtypes by preference: on a CPU fp32 is exact and fast; a GPU computes in the published half precision."""
    if kind == "cpu":
        return ["float32", "int8", "bfloat16", "float16", "int4"]
    half = "bfloat16" if published == "bfloat16" else "float16"
    return [half]


def _option(dtype: str) -> str:
    return f"LACUNA_QUANTIZATION={dtype}" if dtype in QUANTIZED_KERNELS else f"--dtype {dtype}"


def _room(verdict: FitVerdict) -> str:
    return f"{(verdict.place.free - verdict.needed) / 1e9:.1f} GB to spare"
