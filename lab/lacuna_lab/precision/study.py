"""Runs a study with one model in memory at a time. Results are saved to disk, so that an interrupted study resumes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.errors import LacunaError
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS
from lacuna_lab.evaluation.run import HoleAnswer
from lacuna_lab.precision import answers, gates, kl_statistics, layers, logits, speed, variants
from lacuna_lab.precision.answers import SuggestionComparison
from lacuna_lab.precision.gates import PrecisionVerdict
from lacuna_lab.precision.kl_statistics import Positions, Summary
from lacuna_lab.precision.layers import LayerError
from lacuna_lab.precision.questions import Questions
from lacuna_lab.precision.speed import Speed
from lacuna_lab.precision.study_dir import StudyDir

OnProgress = Callable[[str, float], None]
"""Gets a description of the current task and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class DtypeResult:
    """The results of one dtype, or in `why_not` the reason for having none. `windows` are its positions, for charts."""

    dtype: str
    why_not: str = ""
    summary: Summary | None = None
    layers: tuple[LayerError, ...] = ()
    suggestions: SuggestionComparison | None = None
    verdict: PrecisionVerdict | None = None
    speed: Speed | None = None
    windows: tuple[Positions, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Study:
    """What to measure. `name` is the model's display name, `max_tokens` limits an answer."""

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
    """The reference's speed and the results of the tested dtypes. `forward` is the kind, `threads` those of torch."""

    device: str
    forward: str
    threads: int
    torch: str
    reference_speed: Speed | None
    found: tuple[DtypeResult, ...]


def run(study: Study, study_dir: StudyDir, on_progress: OnProgress) -> StudyResult:
    """Measures what `study_dir` does not have yet. Raises a LacunaError if the reference cannot be loaded or saved."""
    reference, device, forward = _keep_reference(study, study_dir, on_progress)
    found = [_measure(study, dtype, reference, study_dir, on_progress) for dtype in study.tests]
    measured = [study.reference, *(one.dtype for one in found if not one.why_not)]
    speeds = speed.speeds(study.questions.folder, study.options, measured, on_progress) if study.measure_speed else {}
    return StudyResult(
        device=device,
        forward=forward,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        reference_speed=speeds.get(study.reference),
        found=tuple(replace(one, speed=speeds.get(one.dtype)) for one in found),
    )


def vocabulary(loaded: LoadedModel) -> int:
    """Number of tokens in the vocabulary; logits after them are padding."""
    return loaded.decoder.tokenizer.size


def _keep_reference(study: Study, study_dir: StudyDir, on_progress: OnProgress) -> tuple[list[HoleAnswer], str, str]:
    """Saves the reference's logits, streams and answers; returns the answers, the device and the kind of forward."""
    inputs, dtype = study.questions, study.reference
    on_progress(f"loading {dtype}", 0.0)
    loaded = variants.loaded(study.options, dtype)
    forward, size = loaded.forward, vocabulary(loaded)
    assert forward is not None
    missing = [window for number, window in enumerate(inputs.windows) if not study_dir.has_logits(number)]
    study_dir.require_free_space(sum(window.positions for window in missing) * size * 4)
    counted = _counted(on_progress, f"{dtype}: reading", len(inputs.windows))
    logits.keep(forward, inputs.windows, size, study_dir, counted)
    layers.keep(forward, inputs.windows[0], study_dir)
    counted = _counted(on_progress, f"{dtype}: suggesting", len(inputs.holes))
    found = answers.ask(loaded.decoder, dtype, inputs.holes, study.max_tokens, study_dir, counted)
    return found, loaded.device, loaded.kind


def _measure(
    study: Study, dtype: str, reference: Sequence[HoleAnswer], study_dir: StudyDir, on_progress: OnProgress
) -> DtypeResult:
    inputs = study.questions
    gc.collect()  # frees the previous model
    on_progress(f"loading {dtype}", 0.0)
    try:
        loaded = variants.loaded(study.options, dtype)
    except LacunaError as error:
        return DtypeResult(dtype, why_not=error.message)
    forward = loaded.forward
    assert forward is not None
    counted = _counted(on_progress, f"{dtype}: reading", len(inputs.windows))
    logits.compare(forward, dtype, inputs.windows, vocabulary(loaded), study_dir, counted)
    compute_dtype = "bfloat16" if dtype in QUANTIZED_KERNELS else dtype
    errors = layers.errors(forward, inputs.windows[0], study_dir, compute_dtype)
    counted = _counted(on_progress, f"{dtype}: suggesting", len(inputs.holes))
    test_answers = answers.ask(loaded.decoder, dtype, inputs.holes, study.max_tokens, study_dir, counted)
    saved = [study_dir.positions(dtype, number) for number in range(len(inputs.windows))]
    windows = tuple(positions for positions in saved if positions is not None)
    summary = kl_statistics.summary(windows)
    suggestions = answers.compare(inputs.holes, reference, test_answers) if inputs.holes else None
    verdict = gates.judge(dtype, summary, errors, suggestions)
    return DtypeResult(dtype, "", summary, tuple(errors), suggestions, verdict, windows=windows)


def _counted(on_progress: OnProgress, doing: str, count: int) -> Callable[[int], None]:
    return lambda done: on_progress(doing, done / max(1, count))
