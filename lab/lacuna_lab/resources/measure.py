"""Loads a model in a separate process, fills its context, and records the memory and time that this takes.

The memory of a process is counted as its anonymous memory (`RssAnon` on Linux) plus the mapped pages of the model's
files. Other mapped files, such as libraries, would add noise: some of their pages are read only occasionally.
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
from lacuna_inference.models.forward.linear import MAX_TWO_LAYOUTS_BYTES, Kernel, Linear, tune
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS, quantize
from lacuna_inference.models.loading import sources

_SAMPLE_INTERVAL_S = 0.003
_GENERATED = 16


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """What a model took, in bytes and seconds.

    `weights` is the memory that loading added, `loading` the peak of the host's memory during loading, `kv` that of a
    completely written KV cache, `activations` the peak that a prompt's last chunk and some tokens after it added.
    `ways` are the kernels that the loader chose (see `models.forward.linear`). `whole` is the process at its peak,
    including libraries and mapped files.
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
    """Measures the model in `folder` in a new process.

    Raises BadRequest on systems without /proc, ModelUnusable when loading fails.
    """
    if not Path("/proc/self/smaps").exists():
        raise BadRequest("--measure reads /proc, which this system does not have.", "Omit --measure.")
    command = [sys.executable, "-m", __name__, str(folder), dtype, device, str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed, probably because memory ran out"])[-1]
        raise ModelUnusable(f"Loading it as {dtype} on {device} failed: {last}.", "Try another dtype or a smaller one.")
    return MemoryMeasurement(**json.loads(done.stdout))


def main(arguments: list[str]) -> None:
    """Measures in this process, and prints JSON."""
    name, dtype, device_name, length = arguments
    folder, device, context = sources.find(name), torch.device(device_name), int(length)
    if reason := registry.why_not_supported(folder, context):
        sys.exit(f"only the own forward is measured, and it does not support this model: {reason}")
    compute_dtype = torch.float32 if dtype in QUANTIZED_KERNELS else loader.dtype_named(dtype)
    _warm_up(device, compute_dtype, QUANTIZED_KERNELS.get(dtype))
    spec = registry.ForwardSpec(compute_dtype, device, context, dtype)
    if sum(file.stat().st_size for file in folder.weight_files) <= MAX_TWO_LAYOUTS_BYTES:
        registry.read(folder, spec)  # libraries cache kernels for these shapes
    before = _bytes_held(device, folder.path)
    with _memory_peak() as peak, torch.inference_mode():
        started = time.perf_counter()
        forward = registry.read(folder, spec)
        load_s = time.perf_counter() - started
    loaded = _bytes_held(device, folder.path)
    kv_cache = forward.new_kv_cache()
    kv_cache.keys_values.fill_(0)
    filled = _bytes_held(device, folder.path)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    chunk = min(PREFILL_CHUNK, context - _GENERATED)
    kv_cache.length = context - chunk - _GENERATED  # the last chunk needs the most memory; the others take minutes
    with _memory_peak() as reading:
        forward.step([5] * chunk, kv_cache)
        for _ in range(_GENERATED):
            forward.step([5], kv_cache)
    peak_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else reading[0]
    found = MemoryMeasurement(
        dtype=dtype,
        device=device_name,
        ways=tuple(
            dict.fromkeys(kernel.__name__ for kernel in (forward.tuning.decode_kernel, forward.tuning.batch_kernel))
        ),
        context=context,
        weights=loaded - before,
        loading=peak[0] - peak[1],
        kv=filled - loaded,
        activations=max(0, peak_bytes - (filled if device.type == "cuda" else reading[1])),
        whole=_status_bytes("VmHWM"),
        disk=sum(file.stat().st_size for file in folder.weight_files),
        load_s=load_s,
    )
    print(json.dumps(asdict(found)))  # noqa: T201


def _warm_up(device: torch.device, dtype: torch.dtype, quantized: Kernel | None) -> None:
    """Makes libraries allocate their threads and buffers, so that these are not attributed to the model."""
    layers = [Linear(torch.randn(1024, 1024, device=device, dtype=dtype)) for _ in range(4)]
    if quantized is None:
        tune(layers)
    else:
        quantize(layers, quantized)
    for rows in (1, 2, 8, 256):
        layers[0](torch.randn(rows, 1024, device=device, dtype=dtype))


def _bytes_held(device: torch.device, folder: Path) -> int:
    """Bytes currently allocated on the GPU, or held by this process."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.memory_allocated(device))
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status_bytes("RssAnon") + _mapped_bytes(folder)


def _status_bytes(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _mapped_bytes(folder: Path) -> int:
    """Resident bytes of the files in `folder` that this process maps."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if "-" in first and not first.endswith(":"):
            counts = str(folder) in line
        elif counts and first == "Rss:":
            total += int(line.split()[1]) * 1024
    return total


@contextmanager
def _memory_peak() -> Iterator[list[int]]:
    """Samples the anonymous memory of this process inside the block: a list of its peak and its initial value."""
    before = _status_bytes("RssAnon")
    peak, done = [before, before], threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_INTERVAL_S):
            peak[0] = max(peak[0], _status_bytes("RssAnon"))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
