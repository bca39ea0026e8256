"""The process of one part of a model that is spread over several devices. `workers` starts it and gives it orders."""

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
"""Seconds after which a pass, or a peer that does not come to the meeting, is given up."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What all workers are told: the model, a device for each, and the file at which they meet."""

    folder: ModelFolder
    dtype: torch.dtype
    devices: tuple[str, ...]
    context: int
    quantization: str
    meeting: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's part is loaded. `slot_bytes` of keys and values for a sequence."""

    max_draft_tokens: int
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class StepMessage:
    """Tokens for the slot called `slot`, behind its first `held`; logits after each of the last `rows`."""

    cache_number: int
    length: int
    ids: tuple[int, ...]
    n_logits: int


@dataclass(frozen=True, slots=True)
class PassMessage:
    """One pass for all workers, and the slots that nobody needs any more."""

    steps: tuple[StepMessage, ...]
    freed: tuple[int, ...]


def work(connection: Connection, plan: WorkerPlan, rank: int) -> None:
    """Loads part `rank` and follows orders until the connection ends. The first part answers with the logits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, whose end closes the connection
    sys.stdout = sys.stderr  # the server's output may be a protocol's
    try:
        forward = _loaded(plan, rank)
        slot = forward.new_kv_cache()
        connection.send(Ready(forward.max_draft_tokens, slot.nbytes))
        _follow(connection, forward, answers=rank == 0)
    except LacunaError as error:
        _send(connection, error)
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        _send(connection, EngineUnavailable(f"Worker {rank + 1} failed: {type(error).__name__}: {first}."))


def _loaded(plan: WorkerPlan, rank: int) -> OwnForward:
    device, ways = torch.device(plan.devices[rank]), len(plan.devices)
    if device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // ways))
    else:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "gloo" if device.type == "cpu" else "nccl",
        init_method=f"file://{plan.meeting}",
        rank=rank,
        world_size=ways,
        timeout=timedelta(seconds=PASS_TIMEOUT_S),
    )
    spec = registry.ForwardSpec(plan.dtype, device, plan.context, plan.quantization)
    return registry.read_shard(plan.folder, spec, Shard(rank, ways), _total(device))


def _total(device: torch.device) -> Callable[[Tensor], None]:
    """Sums over all workers; on a CPU in single precision, which costs little there."""

    def total(x: Tensor) -> None:
        if device.type == "cpu" and x.dtype is not torch.float32:
            wide = x.float()
            dist.all_reduce(wide)
            x.copy_(wide)
        else:
            dist.all_reduce(x)

    return total


def _follow(connection: Connection, forward: OwnForward, answers: bool) -> None:
    slots: dict[int, KVTensor] = {}
    while (order := _next(connection)) is not None:
        for number in order.freed:
            slots.pop(number, None)
        logits = forward.step_batch([_step(wish, slots, forward) for wish in order.steps])
        if answers:
            connection.send([rows.float().cpu().numpy() for rows in logits])


def _step(wish: StepMessage, slots: dict[int, KVTensor], forward: OwnForward) -> Step:
    if wish.cache_number not in slots:
        slots[wish.cache_number] = forward.new_kv_cache()
    slots[wish.cache_number].rollback(wish.length)
    return Step(wish.ids, slots[wish.cache_number], wish.n_logits)


def _next(connection: Connection) -> PassMessage | None:
    try:
        order: PassMessage = connection.recv()
    except (EOFError, OSError):
        return None
    return order


def _send(connection: Connection, thing: Any) -> None:
    try:
        connection.send(thing)
    except OSError:
        return
