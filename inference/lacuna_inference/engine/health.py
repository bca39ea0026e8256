"""Whether a loaded model still works, judged by how its requests fail.

Some failures stay: after a device-side assert or an uncorrectable memory error every later call to a CUDA device fails,
until the process ends. A failed request alone does not tell, because it may be the request's own fault. So the model is
asked to read a few tokens: at once after an error of the device, and after several unexpected failures in a row.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

import torch

from lacuna_inference.errors import LacunaError, NotFinite, device_failed, first_line, out_of_memory
from lacuna_inference.forward import Forward

logger = logging.getLogger(__name__)

MAX_FAILURES_IN_A_ROW = 3
"""Requests in a row that may fail unexpectedly before the model itself is tested."""


class Health:
    """`lost` is empty while the model works, else the sentence that says what happened to it."""

    def __init__(self, forward: Forward, ids: Sequence[int]) -> None:
        """`ids` are the tokens that the model is tested with."""
        self.lost = ""
        self._forward, self._ids = forward, ids
        self._failures = 0

    def answered(self) -> None:
        """A request was answered."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """A request failed unexpectedly. May take a forward pass."""
        self._failures += 1
        if device_failed(error) or self._failures >= MAX_FAILURES_IN_A_ROW:
            self._failures = 0
            self.lost = self.lost or self._trouble()

    def _trouble(self) -> str:
        """What the model fails with when it reads a few tokens into an empty slot; empty when it does not fail."""
        try:
            logits = self._forward.step(self._ids, self._forward.new_kv_cache())
            if not bool(torch.isfinite(logits.max())):
                raise NotFinite
        except LacunaError as error:
            return error.message
        except Exception as error:
            if out_of_memory(error):
                return ""  # that passes when others leave, and loading it again would not help
            return f"The model does not work any more: {first_line(error)}."
        return ""


def empty_device_cache() -> None:
    """Gives memory that no tensor uses any more back to the device. A device that has failed cannot do that."""
    if torch.cuda.is_available():
        gc.collect()
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            logger.warning("The device's memory cannot be given back: %s.", first_line(error))
