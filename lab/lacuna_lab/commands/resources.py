"""`lacuna resources`: estimates what models need and whether it is available; --measure measures what they take."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lacuna_inference.errors import BadRequest
from lacuna_inference.models import loader
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS
from lacuna_lab import random_models
from lacuna_lab.precision import variants
from lacuna_lab.resources import estimate, measure, report, verdict
from lacuna_lab.resources.estimate import ModelSubject, Need
from lacuna_lab.resources.measure import MemoryMeasurement
from lacuna_server.commands.show import progress, stderr


@dataclass(frozen=True, slots=True)
class ResourcesOptions:
    """The options of the command: `context` in tokens, None for the model's own; `dtypes` are those to measure."""

    context: int | None
    cards: Sequence[str]
    measure: bool
    dtypes: Sequence[str]
    device: str


def run(names: Sequence[str], wanted: ResourcesOptions, as_json: bool) -> None:
    """Prints one model in detail, or several side by side."""
    budgets = verdict.memory_budgets(wanted.cards)
    subjects = [estimate.find(name) for name in names]
    wanted = replace(wanted, dtypes=variants.parse_dtypes(",".join(wanted.dtypes)) if wanted.dtypes else ())
    needs = {subject.name: estimate.needs(subject, _context(subject, wanted)) for subject in subjects}
    measured = {subject.name: _measured(subject, wanted) if wanted.measure else [] for subject in subjects}
    if as_json:
        print(json.dumps([_plain(s, needs[s.name], measured[s.name], wanted, budgets) for s in subjects], indent=1))  # noqa: T201
        return
    lines: list[str] = []
    if len(subjects) == 1:
        lines += _detailed(subjects[0], needs[subjects[0].name], wanted, budgets)
    else:
        lines += report.overview(needs, max(_context(subject, wanted) for subject in subjects))
    for subject in subjects:
        for one in measured[subject.name]:
            lines += ["", f"{subject.name}, measured:" if len(subjects) > 1 else "Measured:", ""]
            sketch = estimate.sketch(subject, one.context)
            lines += report.compared(sketch, _need(needs[subject.name], one), one)
    print("\n".join(lines))  # noqa: T201


def _context(subject: ModelSubject, wanted: ResourcesOptions) -> int:
    return min(wanted.context or subject.context, subject.context)


def _detailed(
    subject: ModelSubject, needs: Sequence[Need], wanted: ResourcesOptions, budgets: Sequence[verdict.MemoryBudget]
) -> Iterator[str]:
    context = _context(subject, wanted)
    verdicts = verdict.verdicts(needs, budgets, context, subject.context)
    yield from report.detailed(subject, estimate.sketch(subject, context), needs, context)
    yield ""
    yield from report.fits(verdicts, context)
    yield ""
    yield from verdict.advice(verdicts, published(subject))


def published(subject: ModelSubject) -> str:
    """The dtype of the model's files, as its config says."""
    return str(subject.config.get("dtype") or subject.config.get("torch_dtype") or "float16")


def _measured(subject: ModelSubject, wanted: ResourcesOptions) -> list[MemoryMeasurement]:
    device = str(loader.choose_device(wanted.device))
    measurements = []
    for dtype in wanted.dtypes or ["float32" if device == "cpu" else "float16"]:
        with _folder(subject, dtype) as folder:
            stderr.print(f"measuring {subject.name} in {dtype} on {device}")
            measurements.append(measure.measure(folder, dtype, device, _context(subject, wanted)))
    return measurements


@contextmanager
def _folder(subject: ModelSubject, dtype: str) -> Iterator[Path]:
    """The model's folder; for a shape that is not on this disk, a temporary one with random weights."""
    if subject.folder is not None:
        yield subject.folder
        return
    if not random_models.shape_of(subject.name):
        raise BadRequest(f"{subject.name} is a config without weights.", "Name a model folder, or omit --measure.")
    with tempfile.TemporaryDirectory(prefix="lacuna-") as folder, progress(f"writing {subject.name}") as bar:
        stderr.print(f"{subject.name} is not on this disk: writing random weights of its shape to measure instead")
        stored = loader.dtype_named("float32" if dtype in QUANTIZED_KERNELS else dtype)
        random_models.write(
            subject.name, Path(folder), stored, lambda share: bar.update(bar.task_ids[0], completed=share)
        )
        yield Path(folder)


def _need(needs: Sequence[Need], measured: MemoryMeasurement) -> Need:
    kind = measured.device.split(":")[0]
    return next(need for need in needs if need.dtype == measured.dtype and need.kind == kind)


def _plain(
    subject: ModelSubject,
    needs: Sequence[Need],
    measured: Sequence[MemoryMeasurement],
    wanted: ResourcesOptions,
    budgets: Sequence[verdict.MemoryBudget],
) -> dict[str, Any]:
    context = _context(subject, wanted)
    verdicts = verdict.verdicts(needs, budgets, context, subject.context)
    return {
        "model": subject.name,
        "random_weights": random_models.is_random(subject.config),
        "context": context,
        "longest_context": subject.context,
        "sketch": _sketch(subject, context),
        "needs": [{**asdict(need), "total": need.total(context)} for need in needs],
        "verdicts": [asdict(one) for one in verdicts],
        "advice": verdict.advice(verdicts, published(subject)),
        "measured": [asdict(one) for one in measured],
    }


def _sketch(subject: ModelSubject, context: int) -> dict[str, Any]:
    """The sketch under the names of the first release, which scripts may read."""
    found = asdict(estimate.sketch(subject, context))
    return {**found, "heads": {key: found["heads"][name] for name, key in _HEADS.items()}}


_HEADS = {"n_heads": "queries", "n_kv_heads": "keys", "head_dim": "size", "rotary_dim": "rotary"}
