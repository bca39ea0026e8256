"""Messages that no editor should send: a valid one with one value changed."""

from __future__ import annotations

import copy
import random
from typing import Any

JUNK: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 1e308, 0.5, "", "x" * 3000, "\ud800", "📦", "\0", "file:///%zz", [], [[]], {},
    {"uri": 3}, {"jsonrpc": "2.0"}, [None] * 50,
]  # fmt: skip


def mutated(value: Any, rng: random.Random) -> Any:
    """`value` with one element replaced, removed, duplicated or nested."""
    value = copy.deepcopy(value)
    holder, key = None, None
    element = value
    while isinstance(element, (dict, list)) and element and (holder is None or rng.random() < 0.8):
        holder, key = element, rng.choice(list(element) if isinstance(element, dict) else range(len(element)))
        element = element[key]
    if holder is None:
        return rng.choice(JUNK)
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(element)
    elif kind == 2:
        holder[key] = [element]
    else:
        holder[key] = rng.choice(JUNK)
    return value


def scrambled(body: bytes, rng: random.Random) -> bytes:
    """`body` with some bytes changed: rarely still JSON."""
    found = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)
