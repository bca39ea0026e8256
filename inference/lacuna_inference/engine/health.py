"""Health checks: whether a loaded model still works after requests have failed.

Some failures are permanent: after a device-side assert or an uncorrectable memory error, every later call to a CUDA
device fails until the process ends. A single failed request proves nothing, because the request itself may be the
cause. So the model is tested with a few tokens: at once after a device error, and after several unexpected failures in
a row.
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
"""Consecutive unexpected failures of requests after which the model is tested."""


class Health:
    """`failure` is empty while the model works, otherwise a sentence that says what happened to it."""

    def __init__(self, forward: Forward, ids: Sequence[int]) -> None:
        """`ids` are the tokens of the test."""
        self.failure = ""
        self._forward, self._ids = forward, ids
        self._failures = 0

    def answered(self) -> None:
        """Notes that a request was answered."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Notes that a request failed unexpectedly. May run a forward pass."""
        self._failures += 1
        if device_failed(error) or self._failures >= MAX_FAILURES_IN_A_ROW:
            self._failures = 0
            self.failure = self.failure or self._test()

    def _test(self) -> str:
        """Reads the test tokens into an empty KV cache; returns what went wrong, or an empty string."""
        try:
            logits = self._forward.step(self._ids, self._forward.new_kv_cache())
            if not bool(torch.isfinite(logits.max())):
                raise NotFinite
        except LacunaError as error:
            return error.message
        except Exception as error:
            if out_of_memory(error):
                return ""  # temporary: memory is freed when other requests end, and reloading would not help
            return f"The model does not work any more: {first_line(error)}."
        return ""


def empty_device_cache() -> None:
    """Returns unused memory to the device. A failed device cannot do that: the error is logged."""
    if torch.cuda.is_available():
        gc.collect()
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            logger.warning("The device's memory cannot be freed: %s.", first_line(error))
