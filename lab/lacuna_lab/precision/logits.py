"""Reads the windows of a study: the reference's logits to disk, and every other dtype's beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lacuna_inference.forward import Forward
from lacuna_lab.precision import kl_statistics
from lacuna_lab.precision.questions import TextWindow
from lacuna_lab.precision.study_dir import StudyDir

Tell = Callable[[int], None]
"""Hears how many windows are done."""
CHUNK = 256
"""Positions that are read, written and compared at a time: in a vocabulary of 50,000 fp32 logits of 51 MB."""


def keep(forward: Forward, windows: tuple[TextWindow, ...], vocabulary: int, place: StudyDir, tell: Tell) -> None:
    """Writes the reference's logits of all windows that `place` does not have yet."""
    for number, window in enumerate(windows):
        if not place.has_logits(number):
            with place.new_logits(number, (window.positions, vocabulary)) as array:
                for start, logits in chunks(forward, window):
                    array[start : start + len(logits)] = logits[:, :vocabulary].float().cpu().numpy()
        tell(number + 1)


def compare(
    forward: Forward, dtype: str, windows: tuple[TextWindow, ...], vocabulary: int, place: StudyDir, tell: Tell
) -> None:
    """Compares `dtype` with the kept logits, in all windows that `place` has no results of yet."""
    for number, window in enumerate(windows):
        if place.positions(dtype, number) is None:
            kept, found = place.logits(number), []
            for start, logits in chunks(forward, window):
                reference = torch.from_numpy(kept[start : start + len(logits)].copy()).to(logits.device)
                following = torch.tensor(window.ids[window.first + start :][: len(logits)])
                here = window.first + start
                found.append(kl_statistics.compare(reference, logits[:, :vocabulary], following, here))
            place.put_positions(dtype, number, kl_statistics.joined(found))
        tell(number + 1)


def chunks(forward: Forward, window: TextWindow) -> Iterator[tuple[int, Tensor]]:
    """The number of the first position and the logits [positions, ids of the model] after each, in order."""
    slot = forward.new_kv_cache()
    if window.first > 1:
        forward.step(window.ids[: window.first - 1], slot)
    for start in range(0, window.positions, CHUNK):
        end = min(start + CHUNK, window.positions)
        ids = window.ids[window.first - 1 + start : window.first - 1 + end]
        yield start, forward.step(ids, slot, len(ids))
