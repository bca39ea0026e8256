"""A model in equal parts, one in a process for each device, behind the `Forward` protocol (tensor parallel).

All processes read every token and each holds its part of the keys and values; this one, the engine's, holds no weights.
So whatever befalls a device, or a library that waits for another for ever, befalls a process that can be ended, and the
engine goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.errors import EngineUnavailable, LacunaError
from lacuna_inference.forward import Step
from lacuna_inference.models.parallel.worker import PASS_TIMEOUT_S, PassMessage, Ready, StepMessage, WorkerPlan, work

Progress = Callable[[float, str], None]
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
_LOOK_S = 0.5
"""Seconds after which whoever waits for a model to load hears that it still does: he may want to leave."""


class ShardedCache:
    """One sequence: its keys and values lie with the workers."""

    __slots__ = ("__weakref__", "length", "nbytes", "number")

    def __init__(self, number: int, size: int) -> None:
        self.number, self.nbytes, self.length = number, size, 0

    def rollback(self, length: int) -> int:
        """Forgets everything behind the first `length` tokens; how many it kept. Costs nothing."""
        self.length = max(0, min(self.length, length))
        return self.length


class ParallelForward:
    """`Forward` over `workers`. Not for two threads at once."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.max_draft_tokens = workers.ready.max_draft_tokens
        self._numbers = count()
        self._freed: list[int] = []

    def new_kv_cache(self) -> ShardedCache:
        """An empty KV store for one sequence."""
        slot = ShardedCache(next(self._numbers), self._workers.cache_bytes)
        weakref.finalize(slot, self._freed.append, slot.number)
        return slot

    def step(self, ids: Sequence[int], kv_cache: ShardedCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `slot`; logits [rows, vocabulary] after each of the last `rows` of them.

        Raises EngineUnavailable when a worker has ended; nothing but loading the model again helps then.
        """
        return self.step_batch([Step(ids, kv_cache, n_logits)])[0]

    def step_batch(self, asked: Sequence[Step]) -> list[Tensor]:
        """Several steps, of different slots, in one pass."""
        freed, self._freed[:] = tuple(self._freed), []
        wishes = tuple(
            StepMessage(step.kv_cache.number, step.kv_cache.length, tuple(step.ids), step.n_logits) for step in asked
        )
        logits = self._workers.ask(PassMessage(wishes, freed))
        for step in asked:
            step.kv_cache.length += len(step.ids)
        return logits


class Workers:
    """The processes. `lost` is empty while all of them live, else the sentence that says what happened."""

    def __init__(self, plan: WorkerPlan, progress: Progress) -> None:
        """Starts them and waits until all have loaded. Raises the LacunaError of the first that could not."""
        self.lost = ""
        self._count = len(plan.devices)
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._end = weakref.finalize(self, _end, self._processes, self._connections, Path(plan.meeting).parent)
        try:
            self._start(plan)
            found = self._all_ready(progress)
        except BaseException:
            self.close()
            raise
        self.ready = found[0]
        self.cache_bytes = sum(ready.cache_bytes for ready in found)

    @property
    def pids(self) -> list[int | None]:
        """Process ids, that of the first part first."""
        return [process.pid for process in self._processes]

    def ask(self, order: PassMessage) -> list[Tensor]:
        """One pass. Raises EngineUnavailable when a worker has ended or does not answer, and ends all of them."""
        if self.lost:
            raise self._unavailable()
        try:
            for one in self._connections:
                one.send(order)
        except OSError:
            raise self._failed(self._who_ended()) from None
        _, answer = self._heard(range(self._count), PASS_TIMEOUT_S)
        if answer is None:
            raise self._failed(f"A pass over {self._count} devices did not end in {PASS_TIMEOUT_S:.0f} seconds.")
        if isinstance(answer, LacunaError):
            raise self._failed(self._killed() or answer.message)
        return [torch.from_numpy(rows) for rows in answer]

    def close(self) -> None:
        """Ends all processes. Can be called again."""
        self._end()

    def _start(self, plan: WorkerPlan) -> None:
        # nothing else on a network is meant: the workers are on this machine
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            if sys.platform in _LOOPBACK:
                os.environ.setdefault(variable, _LOOPBACK[sys.platform])
        context = multiprocessing.get_context("spawn")
        for rank in range(self._count):
            here, there = context.Pipe()
            process = context.Process(target=work, args=(there, plan, rank), name=f"lacuna-part-{rank}", daemon=True)
            process.start()
            there.close()
            self._processes.append(process)
            self._connections.append(here)

    def _all_ready(self, progress: Progress) -> list[Ready]:
        found: dict[int, Ready] = {}
        while len(found) < self._count:
            progress(len(found) / self._count, f"{len(found)} of {self._count} parts are loaded")
            rank, message = self._heard([rank for rank in range(self._count) if rank not in found], _LOOK_S)
            if isinstance(message, LacunaError):
                raise message
            if message is not None:
                found[rank] = message
        return [found[rank] for rank in sorted(found)]

    def _heard(self, ranks: Sequence[int], patience: float) -> tuple[int, Any]:
        """Which of `ranks` sent something, and what: an error when a process has ended, None when nobody did."""
        watched: dict[Any, int] = {self._connections[rank]: rank for rank in ranks}
        heard = connections.wait([*watched, *(process.sentinel for process in self._processes)], patience)
        for one in heard:
            if one in watched and (message := _received(self._connections[watched[one]])) is not None:
                return watched[one], message
        return 0, EngineUnavailable(self._who_ended()) if heard else None

    def _who_ended(self) -> str:
        for process in self._processes:
            process.join(_LOOK_S if process.sentinel in connections.wait([process.sentinel], 0) else 0)
        for rank, process in enumerate(self._processes):
            if process.exitcode is not None:
                how = f"by signal {-process.exitcode}" if process.exitcode < 0 else f"with code {process.exitcode}"
                return f"Worker {rank + 1} of {self._count} ended {how}."
        return f"One of {self._count} workers hung up."

    def _killed(self) -> str:
        """Who was killed, if anybody was: what the others complain of follows from it."""
        killed = any(connections.wait([process.sentinel], 0) for process in self._processes)
        return self._who_ended() if killed else ""

    def _failed(self, reason: str) -> EngineUnavailable:
        self.lost = reason
        self.close()
        return self._unavailable()

    def _unavailable(self) -> EngineUnavailable:
        return EngineUnavailable(self.lost, "The model is loaded again; ask again.")


def start(plan: WorkerPlan, progress: Progress) -> Workers:
    """The workers of `plan`, whose place to meet is made here."""
    place = Path(tempfile.mkdtemp(prefix="lacuna-"))
    return Workers(replace(plan, meeting=str(place / "meeting")), progress)


def _received(one: Connection) -> Any:
    """What `one` has to say; None when it has ended."""
    try:
        return one.recv()
    except (EOFError, OSError):
        return None


def _end(processes: Sequence[BaseProcess], ends: Sequence[Connection], place: Path) -> None:
    for one in ends:
        one.close()
    for process in processes:
        process.kill()
    for process in processes:
        process.join(5)
    shutil.rmtree(place, ignore_errors=True)
