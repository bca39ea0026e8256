"""Errors that a user can understand and fix. Any other exception is a bug and keeps its traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna_inference.api import RequestMetrics


class LacunaError(Exception):
    """An error with a sentence that says what happened and one that says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class BadRequest(LacunaError):
    """The caller asked for something that does not exist: a position outside the text, an unknown family."""


class ModelNotFound(LacunaError):
    """The name is neither a model folder nor the id of a hub model on this disk."""


class ModelUnusable(LacunaError):
    """The model in the folder cannot be used as it is: a missing file, pickled weights, a split sentinel."""


class NotFinite(LacunaError):
    """The model computed NaN or infinity, so that no token can be chosen."""

    def __init__(self) -> None:
        super().__init__(
            "The model computes numbers that are not finite (NaN or infinity).",
            "Its weights are damaged, or the dtype is too narrow for it: run lacuna doctor, or choose --dtype float32.",
        )


class NotEnoughMemory(LacunaError):
    """The model does not fit on the device, or a request ran out of memory."""


class EngineUnavailable(LacunaError):
    """The engine is not loaded yet, failed to load, or was closed."""


class RequestCancelled(LacunaError):
    """The request was cancelled, or replaced by a newer one. `metrics` is its cost so far, if it had been started."""

    def __init__(self, message: str = "The request was cancelled.", metrics: RequestMetrics | None = None) -> None:
        super().__init__(message)
        self.metrics = metrics


def device_failed(error: BaseException) -> bool:
    """Whether the device itself failed, perhaps permanently. Running out of memory does not count."""
    if out_of_memory(error):
        return False
    text, kinds = str(error), {kind.__name__ for kind in type(error).__mro__}
    return "AcceleratorError" in kinds or "CUDA error" in text or "device-side assert" in text


def out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def first_line(error: BaseException) -> str:
    """The first line of the message of `error`, without a full stop; its type if there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
