"""The worker process of one shard of a model. `workers` starts it and sends it the passes to run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lacuna_inference.errors import EngineUnavailable, LacunaError
from lacuna_inference.forward import Step
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.network import KVTensor, OwnForward
from lacuna_inference.models.loading.shards import Shard
from lacuna_inference.models.loading.sources import ModelFolder

PASS_TIMEOUT_S = 120.0
"""Seconds until a pass, or a rendezvous that a peer does not reach, fails."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The settings shared by all workers: the model, a device for each, and the rendezvous file."""

    folder: ModelFolder
    dtype: torch.dtype
    devices: tuple[str, ...]
    context: int
    quantization: str
    rendezvous: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's shard is loaded. A KV cache takes `cache_bytes` there."""

    max_draft_tokens: int
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class StepMessage:
    """Tokens to append to a KV cache after its first `length`; logits are needed after each of the last `n_logits`."""

    cache_number: int
    length: int
    ids: tuple[int, ...]
    n_logits: int


@dataclass(frozen=True, slots=True)
class PassMessage:
    """One pass for all workers, and the KV caches to free."""

    steps: tuple[StepMessage, ...]
    freed: tuple[int, ...]


def work(connection: Connection, plan: WorkerPlan, rank: int) -> None:
    """Loads shard `rank` and runs passes until the connection closes. The first shard answers with the logits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, whose end closes the connection
    sys.stdout = sys.stderr  # the server's output may be a protocol's
    try:
        forward = _loaded(plan, rank)
        kv_cache = forward.new_kv_cache()
        connection.send(Ready(forward.max_draft_tokens, kv_cache.nbytes))
        _run_passes(connection, forward, answers=rank == 0)
    except LacunaError as error:
        _send(connection, error)
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        _send(connection, EngineUnavailable(f"Worker {rank + 1} failed: {type(error).__name__}: {first}."))


def _loaded(plan: WorkerPlan, rank: int) -> OwnForward:
    device, world_size = torch.device(plan.devices[rank]), len(plan.devices)
    if device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // world_size))
    else:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "gloo" if device.type == "cpu" else "nccl",
        init_method=f"file://{plan.rendezvous}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=PASS_TIMEOUT_S),
    )
    spec = registry.ForwardSpec(plan.dtype, device, plan.context, plan.quantization)
    return registry.read_shard(plan.folder, spec, Shard(rank, world_size), _all_reduce(device))


def _all_reduce(device: torch.device) -> Callable[[Tensor], None]:
    """Sums a tensor over all workers in place; on a CPU in single precision, which costs little there."""

    def all_reduce(x: Tensor) -> None:
        if device.type == "cpu" and x.dtype is not torch.float32:
            wide = x.float()
            dist.all_reduce(wide)
            x.copy_(wide)
        else:
            dist.all_reduce(x)

    return all_reduce


def _run_passes(connection: Connection, forward: OwnForward, answers: bool) -> None:
    caches: dict[int, KVTensor] = {}
    while (message := _receive(connection)) is not None:
        for number in message.freed:
            caches.pop(number, None)
        logits = forward.step_batch([_step(step, caches, forward) for step in message.steps])
        if answers:
            connection.send([rows.float().cpu().numpy() for rows in logits])


def _step(message: StepMessage, caches: dict[int, KVTensor], forward: OwnForward) -> Step:
    if message.cache_number not in caches:
        caches[message.cache_number] = forward.new_kv_cache()
    caches[message.cache_number].rollback(message.length)
    return Step(message.ids, caches[message.cache_number], message.n_logits)


def _receive(connection: Connection) -> PassMessage | None:
    try:
        message: PassMessage = connection.recv()
    except (EOFError, OSError):
        return None
    return message


def _send(connection: Connection, message: Any) -> None:
    try:
        connection.send(message)
    except OSError:
        return
