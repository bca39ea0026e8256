"""`lacuna doctor`: checks everything that a completion needs, and reports problems with their remedies."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

import psutil

from lacuna_inference import __version__
from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import LacunaError
from lacuna_server.kept import KV_CACHES, PACKED_WEIGHTS, KeptFiles
from lacuna_server.settings import Settings


class Status(StrEnum):
    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `remedy` is empty if it is good."""

    subject: str
    verdict: Status
    found: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Yields the findings of all checks. Imports torch, which takes seconds."""
    yield Finding("Lacuna", Status.GOOD, __version__)
    yield _python()
    yield from _libraries()
    yield from _accelerators()
    yield from _memory()
    yield from _model(settings)
    yield _cache()
    yield _kept(KV_CACHES)
    yield _kept(PACKED_WEIGHTS)
    yield _offline()


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", Status.GOOD, found)


def _libraries() -> Iterator[Finding]:
    for name in ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "pygls"):
        try:
            yield Finding(name, Status.GOOD, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, Status.BAD, "not installed", f"Run: pip install {name}")


def _accelerators() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
        remedy = "Completion runs on the CPU. To use a GPU, install its driver and a CUDA build of torch."
        yield Finding("CUDA", Status.NOTE, f"no GPU in use (torch is {build})", remedy)
        return
    yield Finding("CUDA", Status.GOOD, f"{torch.version.cuda}, driver for {torch.cuda.device_count()} device(s)")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found = f"{torch.cuda.get_device_name(index)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        is_full = free < total / 10
        yield Finding(
            f"GPU {index}",
            Status.NOTE if is_full else Status.GOOD,
            found,
            "Another program occupies its memory." if is_full else "",
        )


def _memory() -> Iterator[Finding]:
    import torch

    free = psutil.virtual_memory().available
    is_low = free < 2**30
    remedy = "Close other programs. The bundled model needs about 1 GiB with its libraries." if is_low else ""
    yield Finding("memory", Status.BAD if is_low else Status.GOOD, f"{free / 2**30:.1f} GiB free", remedy)
    yield Finding("CPU threads", Status.GOOD, str(torch.get_num_threads()))


def _model(settings: Settings) -> Iterator[Finding]:
    from lacuna_inference.models import describe

    options = settings.model_options()
    try:
        info = describe.describe(options)
    except LacunaError as error:
        yield Finding("model", Status.BAD, error.message, error.remedy)
        return
    yield Finding("model", Status.GOOD, f"{info.name}: {info.parameters / 1e6:.1f} M parameters in {info.path}")
    yield _weights(options)
    yield _family(info.family, info.doubt)
    reason = f", because {info.not_own}" if info.not_own else ""
    yield Finding("forward", Status.GOOD, f"{info.forward}{reason}")
    remedy = "" if info.fits else "Choose a smaller model or dtype, or --device-map auto."
    found = f"{info.weight_bytes / 2**20:.0f} MiB of weights in {info.dtype} on {info.device}"
    yield Finding("fits", Status.GOOD if info.fits else Status.BAD, found, remedy)


def _weights(options: ModelOptions) -> Finding:
    from lacuna_inference.models import soundness
    from lacuna_inference.models.loading import sources

    try:
        not_finite = soundness.not_finite(sources.find(options.model, options.revision))
    except LacunaError as error:
        return Finding("weights", Status.BAD, error.message, error.remedy)
    if not not_finite:
        return Finding("weights", Status.GOOD, "all are finite")
    others = f" and {len(not_finite) - 1} more" if len(not_finite) > 1 else ""
    return Finding("weights", Status.BAD, f"NaN or infinity in {not_finite[0]}{others}", "Fetch the model again.")


def _family(name: str, doubt: str) -> Finding:
    if doubt:
        return Finding("prompt family", Status.NOTE, f"{name}, but {doubt}", "Name the right one with --family.")
    if name == "plain":
        remedy = "It completes left to right only. If it supports infilling, name its family with --family."
        return Finding("prompt family", Status.NOTE, name, remedy)
    return Finding("prompt family", Status.GOOD, name)


def _cache() -> Finding:
    from huggingface_hub.constants import HF_HUB_CACHE

    from lacuna_inference.models.loading.hub import cached_models

    return Finding("hub cache", Status.GOOD, f"{len(cached_models())} model(s) in {HF_HUB_CACHE}")


def _kept(files: KeptFiles) -> Finding:
    count, size = files.usage()
    found = f"{count} file(s), {size / 2**20:.0f} MiB in {files.folder}"
    return Finding(files.what, Status.GOOD, found, "To remove them: lacuna cache clear" if count else "")


def _offline() -> Finding:
    is_offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    if is_offline:
        return Finding("network", Status.GOOD, "turned off: the model libraries access no network")
    return Finding(
        "network", Status.BAD, "the model libraries may access the network", "Report this as a bug in Lacuna."
    )
