"""Parallel worker processes, each with a copy of the model: a small model gains little from threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from lacuna_inference.api import ModelOptions
from lacuna_inference.prompt.families import Layout
from lacuna_lab.evaluation import run
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import EvaluationHole

if TYPE_CHECKING:
    from lacuna_inference.engine.assemble import LoadedModel

_options: ModelOptions


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """Evaluates in parallel and yields results in the order of the input."""

    pool: ProcessPoolExecutor

    def scores(self, holes: Sequence[EvaluationHole], layout: Layout, max_tokens: int) -> Iterator[run.Score]:
        tasks = ((hole, layout, max_tokens) for hole in holes)
        yield from self.pool.map(_score, tasks, chunksize=8)

    def bits(self, sources: Sequence[SourceFile]) -> Iterator[float]:
        """Bits of each text, from left to right."""
        yield from self.pool.map(_bits, sources)


@contextmanager
def worker_pool(options: ModelOptions, processes: int) -> Iterator[WorkerPool]:
    """A pool of `processes` that load the model at their first task and share the CPU's cores."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads may hang
    with ProcessPoolExecutor(processes, context, _begin, (options, threads)) as pool:
        try:
            yield WorkerPool(pool)
        except BaseException:  # such as Ctrl-C: without this, leaving the pool waits for all submitted tasks
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _begin(options: ModelOptions, threads: int) -> None:
    global _options
    import torch

    from lacuna_inference.models.loading.sources import configure_libraries

    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; the parent terminates the workers
    configure_libraries()
    torch.set_num_threads(threads)
    _options = options


def _score(task: tuple[EvaluationHole, Layout, int]) -> run.Score:
    hole, layout, max_tokens = task
    return run.score(hole, _answerer(layout, max_tokens)(hole))


def _bits(source: SourceFile) -> float:
    from lacuna_lab.evaluation.scoring import Scorer

    return Scorer(_loaded()).bits(source.text, source.name)


@cache
def _answerer(layout: Layout, max_tokens: int) -> run.Answerer:
    from lacuna_inference.engine.engine import ModelEngine

    loaded = replace(_loaded(), decoder=replace(_loaded().decoder, layout=layout))
    return run.by_engine(ModelEngine(_options, lambda *_: loaded), max_tokens)


@cache
def _loaded() -> LoadedModel:
    from lacuna_inference.engine import assemble

    return assemble.load_model(_options, lambda *_: None)
