"""What an exception of a library means. Imports nothing heavy: it may be the import of torch that failed."""

from __future__ import annotations


def device_failed(error: BaseException) -> bool:
    """Whether `error` comes from the device itself, so that it may stay; running out of memory does not."""
    if out_of_memory(error):
        return False
    text, kinds = str(error), {kind.__name__ for kind in type(error).__mro__}
    return "AcceleratorError" in kinds or "CUDA error" in text or "device-side assert" in text


def out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def first_line(error: BaseException) -> str:
    """The first line of what `error` says, without a full stop; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
