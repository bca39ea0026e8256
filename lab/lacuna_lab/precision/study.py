"""The whole study: one model in memory at a time, all that is found kept on disk, gone on with when broken off."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.errors import LacunaError
from lacuna_inference.models.forward.linear import QUANTIZED_KERNELS
from lacuna_lab.evaluation.run import HoleAnswer
from lacuna_lab.precision import answers, gates, kl_statistics, layers, logits, speed, variants
from lacuna_lab.precision.answers import Suggestions
from lacuna_lab.precision.gates import PrecisionVerdict
from lacuna_lab.precision.kl_statistics import Positions, Summary
from lacuna_lab.precision.layers import LayerError
from lacuna_lab.precision.questions import Questions
from lacuna_lab.precision.speed import Speed
from lacuna_lab.precision.study_dir import StudyDir

Tell = Callable[[str, float], None]
"""Hears what is being done, and which share of it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one dtype, or `why_not` it could not be measured. `windows` are its positions, for charts."""

    dtype: str
    why_not: str = ""
    summary: Summary | None = None
    layers: tuple[LayerError, ...] = ()
    suggestions: Suggestions | None = None
    verdict: PrecisionVerdict | None = None
    speed: Speed | None = None
    windows: tuple[Positions, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Study:
    """What is to be done. `name` is the model's for people to read, `max_tokens` the most of an answer."""

    name: str
    options: ModelOptions
    reference: str
    tests: tuple[str, ...]
    questions: Questions
    max_tokens: int
    measure_speed: bool
    random_weights: bool


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The reference's speed and its rivals' figures. `forward` is what runs the model, `threads` how many of torch."""

    device: str
    forward: str
    threads: int
    torch: str
    reference_speed: Speed | None
    found: tuple[Found, ...]


def conduct(study: Study, place: StudyDir, tell: Tell) -> StudyResult:
    """Does what `place` does not hold yet. Raises a LacunaError when the reference cannot be loaded or kept."""
    reference, device, forward = _keep_reference(study, place, tell)
    found = [_found(study, dtype, reference, place, tell) for dtype in study.tests]
    measured = [study.reference, *(one.dtype for one in found if not one.why_not)]
    speeds = speed.speeds(study.questions.folder, study.options, measured, tell) if study.measure_speed else {}
    return StudyResult(
        device=device,
        forward=forward,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        reference_speed=speeds.get(study.reference),
        found=tuple(replace(one, speed=speeds.get(one.dtype)) for one in found),
    )


def vocabulary(loaded: LoadedModel) -> int:
    """Tokens that mean something: logits behind them are padding."""
    return loaded.decoder.tokenizer.size


def _keep_reference(study: Study, place: StudyDir, tell: Tell) -> tuple[list[HoleAnswer], str, str]:
    """The reference's logits and streams to disk, and its answers."""
    asked, dtype = study.questions, study.reference
    tell(f"loading {dtype}", 0.0)
    loaded = variants.loaded(study.options, dtype)
    forward, size = loaded.forward, vocabulary(loaded)
    assert forward is not None
    missing = [window for number, window in enumerate(asked.windows) if not place.has_logits(number)]
    place.require_room(sum(window.positions for window in missing) * size * 4)
    counted = _counted(tell, f"{dtype}: reading", len(asked.windows))
    logits.keep(forward, asked.windows, size, place, counted)
    layers.keep(forward, asked.windows[0], place)
    counted = _counted(tell, f"{dtype}: suggesting", len(asked.holes))
    found = answers.ask(loaded.decoder, dtype, asked.holes, study.max_tokens, place, counted)
    return found, loaded.device, loaded.kind


def _found(study: Study, dtype: str, reference: Sequence[HoleAnswer], place: StudyDir, tell: Tell) -> Found:
    asked = study.questions
    gc.collect()  # the model before
    tell(f"loading {dtype}", 0.0)
    try:
        loaded = variants.loaded(study.options, dtype)
    except LacunaError as error:
        return Found(dtype, why_not=error.message)
    forward = loaded.forward
    assert forward is not None
    counted = _counted(tell, f"{dtype}: reading", len(asked.windows))
    logits.compare(forward, dtype, asked.windows, vocabulary(loaded), place, counted)
    computed = "bfloat16" if dtype in QUANTIZED_KERNELS else dtype
    errors = layers.errors(forward, asked.windows[0], place, computed)
    counted = _counted(tell, f"{dtype}: suggesting", len(asked.holes))
    given = answers.ask(loaded.decoder, dtype, asked.holes, study.max_tokens, place, counted)
    kept = [place.positions(dtype, number) for number in range(len(asked.windows))]
    windows = tuple(positions for positions in kept if positions is not None)
    summary = kl_statistics.summary(windows)
    suggestions = answers.compare(asked.holes, reference, given) if asked.holes else None
    verdict = gates.judge(dtype, summary, errors, suggestions)
    return Found(dtype, "", summary, tuple(errors), suggestions, verdict, windows=windows)


def _counted(tell: Tell, doing: str, count: int) -> Callable[[int], None]:
    return lambda done: tell(doing, done / max(1, count))
