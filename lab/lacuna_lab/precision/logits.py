"""Computes logits for the windows of a study: saves the reference's, and compares every other dtype's with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lacuna_inference.forward import Forward
from lacuna_lab.precision import kl_statistics
from lacuna_lab.precision.questions import TextWindow
from lacuna_lab.precision.study_dir import StudyDir

OnProgress = Callable[[int], None]
"""Gets the number of windows done."""
CHUNK = 256
"""Positions that are computed, saved and compared at a time: 51 MB of fp32 logits for a vocabulary of 50,000."""


def keep(
    forward: Forward, windows: tuple[TextWindow, ...], vocabulary: int, study_dir: StudyDir, on_progress: OnProgress
) -> None:
    """Saves the reference's logits for all windows that `study_dir` does not have yet."""
    for number, window in enumerate(windows):
        if not study_dir.has_logits(number):
            with study_dir.new_logits(number, (window.positions, vocabulary)) as array:
                for start, logits in chunks(forward, window):
                    array[start : start + len(logits)] = logits[:, :vocabulary].float().cpu().numpy()
        on_progress(number + 1)


def compare(
    forward: Forward,
    dtype: str,
    windows: tuple[TextWindow, ...],
    vocabulary: int,
    study_dir: StudyDir,
    on_progress: OnProgress,
) -> None:
    """Compares `dtype` with the saved logits in all windows for which `study_dir` has no results yet."""
    for number, window in enumerate(windows):
        if study_dir.positions(dtype, number) is None:
            saved, results = study_dir.logits(number), []
            for start, logits in chunks(forward, window):
                reference = torch.from_numpy(saved[start : start + len(logits)].copy()).to(logits.device)
                following = torch.tensor(window.ids[window.first + start :][: len(logits)])
                position = window.first + start
                results.append(kl_statistics.compare(reference, logits[:, :vocabulary], following, position))
            study_dir.save_positions(dtype, number, kl_statistics.concatenate(results))
        on_progress(number + 1)


def chunks(forward: Forward, window: TextWindow) -> Iterator[tuple[int, Tensor]]:
    """Yields, chunk by chunk, the index of the first position and the logits [positions, ids of the model]."""
    kv_cache = forward.new_kv_cache()
    if window.first > 1:
        forward.step(window.ids[: window.first - 1], kv_cache)
    for start in range(0, window.positions, CHUNK):
        end = min(start + CHUNK, window.positions)
        ids = window.ids[window.first - 1 + start : window.first - 1 + end]
        yield start, forward.step(ids, kv_cache, len(ids))
