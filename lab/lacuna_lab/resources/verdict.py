"""Does it fit, where, how much context, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lacuna_inference.errors import BadRequest
from lacuna_inference.models.forward.linear import QUANTIZED_KERNELS
from lacuna_inference.models.loading import memory
from lacuna_lab.resources.estimate import Need

_UNITS = {
    "": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
RESERVED = {"cpu": 300 * 2**20, "cuda": 600 * 2**20}
"""Bytes left aside: for the interpreter and its libraries, and for a GPU's driver. An allowance, no measurement."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """A device that is here, or a card that the user named. `free` in bytes."""

    name: str
    kind: str
    free: int


@dataclass(frozen=True, slots=True)
class FitVerdict:
    """One dtype in one place. `context` is the largest that fits, in tokens; 0 when the weights do not fit."""

    place: MemoryBudget
    need: Need
    needed: int
    context: int
    fits: bool


def size(text: str) -> int:
    """Bytes of for example `16GB`, `24GiB`. Raises BadRequest for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b|)\s*", text.lower())
    if match is None or not float(match[1]):
        raise BadRequest(f"{text!r} is no size of memory.", "Write for example 16GB or 24GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def places(cards: Sequence[str]) -> list[MemoryBudget]:
    """The devices of this machine with what is free of them now, and the named cards with all of theirs."""
    found = []
    free = memory.available_bytes(torch.device("cpu"))
    if free is not None:
        found.append(MemoryBudget("cpu", "cpu", free))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        name = f"{device} ({torch.cuda.get_device_name(device)})"
        found.append(MemoryBudget(name, "cuda", memory.available_bytes(device) or 0))
    return [*found, *(MemoryBudget(f"a card of {card}", "cuda", size(card)) for card in cards)]


def verdicts(needs: Sequence[Need], places: Sequence[MemoryBudget], context: int, longest: int) -> list[FitVerdict]:
    """Each dtype in each place that could run it, for `context` tokens; `longest` is the model's own limit."""
    found = []
    for place in places:
        free = place.free - RESERVED[place.kind]
        for need in needs:
            if need.kind == place.kind:
                needed = need.total(context)
                most = need.largest_context(free, longest)
                found.append(FitVerdict(place, need, needed + RESERVED[place.kind], most, needed <= free))
    return found


def advice(verdicts: Sequence[FitVerdict], published: str) -> list[str]:
    """A sentence for each place; `published` is the dtype of the model's files."""
    names = dict.fromkeys(verdict.place.name for verdict in verdicts)
    return [f"{name}: {_advice([v for v in verdicts if v.place.name == name], published)}" for name in names]


def _advice(here: Sequence[FitVerdict], published: str) -> str:
    fitting = {verdict.need.dtype: verdict for verdict in here if verdict.fits}
    for dtype in _preferred(here[0].place.kind, published):
        if dtype in fitting:
            return f"{_how(dtype)} fits, with {_room(fitting[dtype])}."
    shorter = max(here, key=lambda verdict: verdict.context)
    if shorter.context:
        return f"{_how(shorter.need.dtype)} fits with --context {shorter.context} at most."
    if here[0].place.kind == "cuda":
        return "it does not fit. Spread it over several devices (--device-map auto), or choose a smaller model."
    return "it does not fit. Choose a smaller model, or let another machine run it (--engine)."


def _preferred(kind: str, published: str) -> list[str]:
    """Dtypes, the best first: exact and fast on a CPU is fp32; a GPU computes as published, and in half at most."""
    if kind == "cpu":
        return ["float32", "int8", "bfloat16", "float16", "int4"]
    half = "bfloat16" if published == "bfloat16" else "float16"
    return [half]


def _how(dtype: str) -> str:
    return f"LACUNA_QUANTIZATION={dtype}" if dtype in QUANTIZED_KERNELS else f"--dtype {dtype}"


def _room(verdict: FitVerdict) -> str:
    return f"{(verdict.place.free - verdict.needed) / 1e9:.1f} GB to spare"
