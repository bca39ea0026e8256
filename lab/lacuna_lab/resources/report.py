"""The tables that `lacuna resources` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lacuna_inference.models.loading.sketch import Sketch
from lacuna_lab import random_models
from lacuna_lab.resources.estimate import ModelSubject, Need
from lacuna_lab.resources.measure import MemoryMeasurement
from lacuna_lab.resources.verdict import FitVerdict

_KINDS = {"cpu": "CPU", "cuda": "GPU"}


def detailed(subject: ModelSubject, found: Sketch, needs: Sequence[Need], context: int) -> Iterator[str]:
    """One model in all dtypes, as Markdown."""
    note = " (a published shape)" if random_models.is_random(subject.config) else ""
    yield (
        f"{subject.name}{note}: {subject.config.get('model_type')}, {found.parameters / 1e9:.3f} billion parameters,"
        f" {found.layers} layers, context up to {subject.context} tokens"
    )
    yield ""
    yield (
        f"| dtype | on | weights | as loaded | KV cache per token | KV cache, {context} tokens | activations, about"
        " | total | disk |"
    )
    yield "| --- " * 9 + "|"
    for need in needs:
        cells = [need.weights, need.resident, need.kv_token, need.kv_token * context, need.activations]
        shown = " | ".join(map(format_bytes, [*cells, need.total(context), need.disk]))
        yield f"| {need.dtype} | {_KINDS[need.kind]} | {shown} |"


def overview(found: Mapping[str, Sequence[Need]], context: int) -> Iterator[str]:
    """Several models side by side, as Markdown: what each needs on a CPU and on a GPU."""
    yield (
        f"| model | dtype | weights | KV cache per token | KV cache, {context} tokens | RAM on a CPU | memory of a GPU"
        " | disk |"
    )
    yield "| --- " * 8 + "|"
    for name, needs in found.items():
        gpu = {need.dtype: need for need in needs if need.kind == "cuda"}
        for need in needs:
            if need.kind == "cpu":
                on_gpu = format_bytes(gpu[need.dtype].total(context)) if need.dtype in gpu else ""
                cells = [need.weights, need.kv_token, need.kv_token * context, need.total(context)]
                shown = " | ".join([*map(format_bytes, cells), on_gpu, format_bytes(need.disk)])
                yield f"| {name} | {need.dtype} | {shown} |"


def fits(verdicts: Sequence[FitVerdict], context: int) -> Iterator[str]:
    """Each device with each dtype, as Markdown."""
    yield f"| where | free | dtype | needed for {context} tokens | fits | largest context |"
    yield "| --- " * 6 + "|"
    for verdict in verdicts:
        yield (
            f"| {verdict.place.name} | {format_bytes(verdict.place.free)} | {verdict.need.dtype} "
            f"| {format_bytes(verdict.needed)} | {'yes' if verdict.fits else 'no'} | {verdict.context or 'none'} |"
        )


def compared(found: Sketch, need: Need, measured: MemoryMeasurement) -> Iterator[str]:
    """The estimate and the measurement side by side, as Markdown."""
    yield (
        f"{measured.dtype} on {measured.device}, {measured.context} tokens of context, kernels"
        f" {' and '.join(measured.ways)}:"
    )
    yield ""
    yield "| | estimated | measured | measured / estimated |"
    yield "| --- " * 4 + "|"
    kind = measured.device.split(":")[0]
    pairs = {
        "weights": (found.resident_bytes(measured.dtype, kind, measured.ways), measured.weights),
        "KV cache": (need.kv_token * measured.context, measured.kv),
        "activations": (need.activations, measured.activations),
        "disk": (need.disk, measured.disk),
    }
    for name, (estimated, taken) in pairs.items():
        yield f"| {name} | {format_bytes(estimated)} | {format_bytes(taken)} | {taken / estimated:.3f} |"
    yield ""
    yield (
        f"Loaded in {measured.load_s:.1f} s; peak of its own memory while loading: {format_bytes(measured.loading)};"
        f" peak of the process, with libraries and mapped files: {format_bytes(measured.whole)}."
    )


def format_bytes(count: int) -> str:
    """Formats bytes with decimal units, as vendors do, for example `13.03 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}" if unit == "GB" else f"{count / size:.1f} {unit}"
    return f"{count} B"
