"""Loads a model in a process of its own, fills its context, and records what that takes.

Memory of a process is what belongs to it alone (Linux: `RssAnon`) and the pages of the model's files that it keeps
mapped; libraries would otherwise count, of which some pages are read only now and then.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.forward import PREFILL_CHUNK
from lacuna_inference.models import loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.linear import (
    MAX_TWO_LAYOUTS_BYTES,
    QUANTIZED_KERNELS,
    Kernel,
    Linear,
    quantize,
    tune,
)
from lacuna_inference.models.loading import sources

_EVERY_S = 0.003
_GENERATED = 16


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """What a model took, in bytes and seconds.

    `weights` grew while loading and stayed, `loading` is the most that loading held of the host's memory for a moment,
    `kv` is the cache when every place of it was written, `activations` the most that a prompt's last chunk and some
    tokens behind it took besides. `ways` are the orders of the weights that the loader chose (see `models.linear`).
    `whole` is the process at its largest, its libraries and mapped files among it.
    """

    dtype: str
    device: str
    ways: tuple[str, ...]
    context: int
    weights: int
    loading: int
    kv: int
    activations: int
    whole: int
    disk: int
    load_s: float


def measure(folder: Path, dtype: str, device: str, context: int) -> MemoryMeasurement:
    """Measures the model in `folder` in a new process. Raises BadRequest where memory cannot be told apart."""
    if not Path("/proc/self/smaps").exists():
        raise BadRequest("--measure reads /proc, which this system does not have.", "Leave --measure out.")
    command = [sys.executable, "-m", __name__, str(folder), dtype, device, str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed: memory ran out, probably"])[-1]
        raise ModelUnusable(f"Loading it as {dtype} on {device} failed: {last}.", "Try another dtype or a smaller one.")
    return MemoryMeasurement(**json.loads(done.stdout))


def main(arguments: list[str]) -> None:
    """Measures in this process, and prints JSON."""
    name, dtype, device_name, length = arguments
    folder, device, context = sources.find(name), torch.device(device_name), int(length)
    if reason := registry.why_not_supported(folder, context):
        sys.exit(f"only the own forward is measured, and it does not run this model: {reason}")
    computed = torch.float32 if dtype in QUANTIZED_KERNELS else loader.dtype_named(dtype)
    _warm_up(device, computed, QUANTIZED_KERNELS.get(dtype))
    if sum(file.stat().st_size for file in folder.weight_files) <= MAX_TWO_LAYOUTS_BYTES:
        registry.read(
            folder, registry.ForwardSpec(computed, device, context, dtype)
        )  # libraries keep programs for its shapes
    before = _held(device, folder.path)
    with _watched() as peak, torch.inference_mode():
        started = time.perf_counter()
        forward = registry.read(folder, registry.ForwardSpec(computed, device, context, dtype))
        load_s = time.perf_counter() - started
    loaded = _held(device, folder.path)
    slot = forward.new_kv_cache()
    slot.keys_values.fill_(0)
    filled = _held(device, folder.path)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    chunk = min(PREFILL_CHUNK, context - _GENERATED)
    slot.length = context - chunk - _GENERATED  # the last chunk takes the most, and the others minutes
    with _watched() as reading:
        forward.step([5] * chunk, slot)
        for _ in range(_GENERATED):
            forward.step([5], slot)
    most = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else reading[0]
    found = MemoryMeasurement(
        dtype=dtype,
        device=device_name,
        ways=tuple(dict.fromkeys(way.__name__ for way in (forward.tuning.decode_kernel, forward.tuning.batch_kernel))),
        context=context,
        weights=loaded - before,
        loading=peak[0] - peak[1],
        kv=filled - loaded,
        activations=max(0, most - (filled if device.type == "cuda" else reading[1])),
        whole=_status("VmHWM"),
        disk=sum(file.stat().st_size for file in folder.weight_files),
        load_s=load_s,
    )
    print(json.dumps(asdict(found)))  # noqa: T201


def _warm_up(device: torch.device, dtype: torch.dtype, quantised: Kernel | None) -> None:
    """Starts the libraries' threads and buffers, so that they are not taken for the model's."""
    layers = [Linear(torch.randn(1024, 1024, device=device, dtype=dtype)) for _ in range(4)]
    if quantised is None:
        tune(layers)
    else:
        quantize(layers, quantised)
    for rows in (1, 2, 8, 256):
        layers[0](torch.randn(rows, 1024, device=device, dtype=dtype))


def _held(device: torch.device, folder: Path) -> int:
    """Bytes that are held now: of the GPU, or of this process."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.memory_allocated(device))
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("RssAnon") + _mapped(folder)


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _mapped(folder: Path) -> int:
    """Resident bytes of the files in `folder` that this process has mapped."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if "-" in first and not first.endswith(":"):
            counts = str(folder) in line
        elif counts and first == "Rss:":
            total += int(line.split()[1]) * 1024
    return total


@contextmanager
def _watched() -> Iterator[list[int]]:
    """A list whose first entry is the most memory that this process had of its own while inside, whose second what it
    had before."""
    before = _status("RssAnon")
    found, over = [before, before], threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            found[0] = max(found[0], _status("RssAnon"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
