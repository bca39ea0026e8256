"""A tensor-parallel model behind the `Forward` protocol: one worker process per device, each with a shard.

Each worker reads every token and holds its share of the keys and values. The engine's process holds no weights. So when
a device fails, or a collective operation hangs, the worker can be killed and the engine continues.
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
_POLL_S = 0.5
"""Seconds between progress reports while the model loads; the callback may abort by raising."""


class ShardedCache:
    """The KV cache of one sequence; the workers hold its keys and values."""

    __slots__ = ("__weakref__", "length", "nbytes", "number")

    def __init__(self, number: int, size: int) -> None:
        self.number, self.nbytes, self.length = number, size, 0

    def rollback(self, length: int) -> int:
        """Drops everything after the first `length` tokens; returns how many it kept. Costs nothing."""
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
        """An empty KV cache for one sequence."""
        kv_cache = ShardedCache(next(self._numbers), self._workers.cache_bytes)
        weakref.finalize(kv_cache, self._freed.append, kv_cache.number)
        return kv_cache

    def step(self, ids: Sequence[int], kv_cache: ShardedCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`.

        Raises EngineUnavailable when a worker has ended; the model must then be loaded again.
        """
        return self.step_batch([Step(ids, kv_cache, n_logits)])[0]

    def step_batch(self, steps: Sequence[Step]) -> list[Tensor]:
        """Runs steps of different KV caches in one pass."""
        freed, self._freed[:] = tuple(self._freed), []
        messages = tuple(
            StepMessage(step.kv_cache.number, step.kv_cache.length, tuple(step.ids), step.n_logits) for step in steps
        )
        logits = self._workers.run(PassMessage(messages, freed))
        for step in steps:
            step.kv_cache.length += len(step.ids)
        return logits


class Workers:
    """The worker processes. `failure` is empty while all are alive, otherwise a sentence saying what happened."""

    def __init__(self, plan: WorkerPlan, progress: Progress) -> None:
        """Starts the workers and waits until all have loaded. Raises the LacunaError of the first that failed."""
        self.failure = ""
        self._count = len(plan.devices)
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._end = weakref.finalize(self, _end, self._processes, self._connections, Path(plan.rendezvous).parent)
        try:
            self._start(plan)
            all_ready = self._wait_until_ready(progress)
        except BaseException:
            self.close()
            raise
        self.ready = all_ready[0]
        self.cache_bytes = sum(ready.cache_bytes for ready in all_ready)

    @property
    def pids(self) -> list[int | None]:
        """Process ids, in rank order."""
        return [process.pid for process in self._processes]

    def run(self, message: PassMessage) -> list[Tensor]:
        """Runs one pass. If a worker has ended or does not answer, kills all workers and raises EngineUnavailable."""
        if self.failure:
            raise self._unavailable()
        try:
            for connection in self._connections:
                connection.send(message)
        except OSError:
            raise self._failed(self._which_ended()) from None
        _, answer = self._receive(range(self._count), PASS_TIMEOUT_S)
        if answer is None:
            raise self._failed(f"A pass over {self._count} devices did not finish within {PASS_TIMEOUT_S:.0f} seconds.")
        if isinstance(answer, LacunaError):
            raise self._failed(self._killed() or answer.message)
        return [torch.from_numpy(rows) for rows in answer]

    def close(self) -> None:
        """Kills all workers. Can be called again."""
        self._end()

    def _start(self, plan: WorkerPlan) -> None:
        # all workers are on this machine, so other network interfaces are not used
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            if sys.platform in _LOOPBACK:
                os.environ.setdefault(variable, _LOOPBACK[sys.platform])
        context = multiprocessing.get_context("spawn")
        for rank in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, plan, rank), name=f"lacuna-shard-{rank}", daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def _wait_until_ready(self, progress: Progress) -> list[Ready]:
        loaded: dict[int, Ready] = {}
        while len(loaded) < self._count:
            progress(len(loaded) / self._count, f"{len(loaded)} of {self._count} shards are loaded")
            rank, message = self._receive([rank for rank in range(self._count) if rank not in loaded], _POLL_S)
            if isinstance(message, LacunaError):
                raise message
            if message is not None:
                loaded[rank] = message
        return [loaded[rank] for rank in sorted(loaded)]

    def _receive(self, ranks: Sequence[int], timeout: float) -> tuple[int, Any]:
        """The rank of a worker among `ranks` that sent a message, and the message.

        The message is an EngineUnavailable if a process has ended, and None after `timeout` seconds.
        """
        watched: dict[Any, int] = {self._connections[rank]: rank for rank in ranks}
        events = connections.wait([*watched, *(process.sentinel for process in self._processes)], timeout)
        for event in events:
            if event in watched and (message := _message(self._connections[watched[event]])) is not None:
                return watched[event], message
        return 0, EngineUnavailable(self._which_ended()) if events else None

    def _which_ended(self) -> str:
        for process in self._processes:
            process.join(_POLL_S if process.sentinel in connections.wait([process.sentinel], 0) else 0)
        for rank, process in enumerate(self._processes):
            if process.exitcode is not None:
                how = f"by signal {-process.exitcode}" if process.exitcode < 0 else f"with code {process.exitcode}"
                return f"Worker {rank + 1} of {self._count} ended {how}."
        return f"One of {self._count} workers closed its connection."

    def _killed(self) -> str:
        """Which worker ended, or nothing: the errors of the others follow from that."""
        killed = any(connections.wait([process.sentinel], 0) for process in self._processes)
        return self._which_ended() if killed else ""

    def _failed(self, reason: str) -> EngineUnavailable:
        self.failure = reason
        self.close()
        return self._unavailable()

    def _unavailable(self) -> EngineUnavailable:
        return EngineUnavailable(self.failure, "The model is loaded again; ask again.")


def start(plan: WorkerPlan, progress: Progress) -> Workers:
    """Starts the workers of `plan`, with a new rendezvous file."""
    directory = Path(tempfile.mkdtemp(prefix="lacuna-"))
    return Workers(replace(plan, rendezvous=str(directory / "rendezvous")), progress)


def _message(connection: Connection) -> Any:
    """The next message; None if the worker has closed the connection."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _end(processes: Sequence[BaseProcess], open_connections: Sequence[Connection], directory: Path) -> None:
    for connection in open_connections:
        connection.close()
    for process in processes:
        process.kill()
    for process in processes:
        process.join(5)
    shutil.rmtree(directory, ignore_errors=True)
