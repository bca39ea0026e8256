"""What a model of the catalogue would need here, and how fast it would be, from its shape alone: nothing is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch

from lacuna_inference.models import catalogue, forward_choice, machine
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.catalogue import Entry
from lacuna_inference.models.loading.sketch import Sketch
from lacuna_inference.models.machine import PROMPT_TOKENS, Machine

LINE_TOKENS = 12
"""Tokens of a line of code, about."""
LIMIT_S = 0.3
"""A line that takes longer comes after many have typed on."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of a model here.

    `first_s` is the time for the first answer in a file, one line behind a prompt of `PROMPT_TOKENS` tokens, and
    `line_s` for a line after a key, when the prompt is known. `bytes` is the memory, with as many tokens in the KV
    cache as the settings say; `fits` is None if it is unknown how much is free. `type` is what the weights are in
    memory.
    """

    entry: Entry
    type: str
    first_s: float
    line_s: float
    bytes: int
    fits: bool | None

    @property
    def fast(self) -> bool:
        """Whether it fits, and a line comes in time."""
        return self.fits is not False and self.line_s <= LIMIT_S


def expected(device: torch.device, context: int, languages: Collection[str] = ()) -> tuple[Machine, list[Expectation]]:
    """Measures `device` and says what is expected of each model that knows `languages`; `context` in tokens."""
    entries = [entry for entry in catalogue.entries() if entry.knows(languages)]
    here = machine.measured(device, {_type(entry.parameters, device) for entry in entries})
    return here, list(_expectations(entries, here, device, context))


def best(found: Collection[Expectation]) -> Expectation | None:
    """The strongest that is fast here, of those whose licence forbids no use; None if there is none."""
    fast = [one for one in found if one.fast and not one.entry.conditions]
    return fast[-1] if fast else None


def fastest(found: Collection[Expectation]) -> Expectation | None:
    """The fastest that fits and completes many languages, whatever its licence; None if there is none."""
    many = [one for one in found if one.fits is not False and catalogue.EVERY in one.entry.languages]
    return min(many, key=lambda one: (one.line_s, one.entry.bytes), default=None)


def cost(sketch: Sketch, kind: str, here: Machine) -> tuple[float, float]:
    """Seconds that a model of this shape takes for a prompt of `PROMPT_TOKENS` tokens, and for a token.

    The head, the last product, is needed for the prompt's last token only.
    """
    speed, head = here.speeds[kind], sketch.vocabulary * sketch.width
    token = speed.token.of(sketch.layers, sketch.multiplied)
    return speed.prompt.of(sketch.layers, sketch.multiplied - head) + head * speed.token.parameter_s, token


def _expectations(
    entries: Collection[Entry], here: Machine, device: torch.device, context: int
) -> Iterator[Expectation]:
    for entry in entries:
        length, kind = min(context, entry.context), _type(entry.parameters, device)
        sketch = registry.sketch(entry.shape, length)
        assert sketch is not None
        prompt_s, token_s = cost(sketch, kind, here)
        if length < PROMPT_TOKENS:
            prompt_s *= length / PROMPT_TOKENS
        needed = sketch.resident_bytes(kind, device.type) + sketch.kv_bytes(kind) * length
        needed += sketch.activation_bytes(kind, length)
        fits = None if here.free_bytes is None else needed <= here.free_bytes
        line_s = LINE_TOKENS * token_s
        yield Expectation(entry, kind, prompt_s + line_s, line_s, needed, fits)


def _type(parameters: int, device: torch.device) -> str:
    """The type of the weights in memory of a model of so many parameters."""
    if device.type != "cpu":
        return "float16"
    quantization = forward_choice.quantization_for(parameters)
    return "float32" if quantization == "none" else quantization
