"""A model sharded over several processes against the same model in one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_model

from lacuna_inference.errors import EngineUnavailable, ModelUnusable
from lacuna_inference.forward import Step
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.shards import Shard, ShardedTensors, ShardingPlan, with_all_reduce
from lacuna_inference.models.loading.weights import TensorFiles, Weights
from lacuna_inference.models.parallel import workers
from lacuna_inference.models.parallel.worker import WorkerPlan
from lacuna_inference.models.parallel.workers import ParallelForward, Workers

CONTEXT = 64
IDS = [7, 12, 31, 5, 99, 250, 18, 44, 3, 61, 73, 120, 8, 9, 10, 200, 201, 6, 7, 8]
KINDS = ("llama", "mistral", "qwen2", "qwen3", "granite", "gemma", "starcoder2", "gpt_bigcode", "xglm", "codegen")
CHANGED: dict[str, dict[str, Any]] = {"gpt_bigcode": {"multi_query": False}}


def folder_of(kind: str, folder: Path) -> sources.ModelFolder:
    tiny_model(kind, **CHANGED.get(kind, {})).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return sources.find(str(folder))


def plan(folder: sources.ModelFolder, world_size: int, quantization: str = "none") -> WorkerPlan:
    return WorkerPlan(folder, torch.float32, ("cpu",) * world_size, CONTEXT, quantization, "")


@pytest.fixture
def started() -> Iterator[list[Workers]]:
    all_of_them: list[Workers] = []
    yield all_of_them
    for one in all_of_them:
        one.close()


def whole(folder: sources.ModelFolder) -> registry.OwnForward:
    return registry.read(folder, registry.ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT))


@pytest.mark.parametrize("kind", KINDS)
def test_each_shard_has_its_share_of_every_weight(kind: str, tmp_path: Path) -> None:
    world_size = 2
    folder = folder_of(kind, tmp_path)
    assert registry.why_not_sharded(folder.config, world_size) is None
    sharding_plan = registry._sharding_plan(folder.config, world_size)
    assert isinstance(sharding_plan, ShardingPlan)
    architecture = registry._architecture(folder.config)
    assert architecture is not None
    with ExitStack() as stack:
        files = TensorFiles(folder.weight_files, stack)
        held = [ShardedTensors(files, sharding_plan, Shard(rank, world_size)) for rank in range(world_size)]
        shared = sum(files[n].numel() for n in files if held[0][n].shape == files[n].shape)
        parts = sum(sum(one[n].numel() for n in files if one[n].shape != files[n].shape) for one in held)
        assert shared + parts == files.parameters()
        network = architecture.build(
            sharding_plan.config, Weights(held[0], torch.float32, torch.device("cpu")), CONTEXT
        )
    sums: list[torch.Tensor] = []
    registry.OwnForward(with_all_reduce(network, sums.append)).step(IDS, registry.OwnForward(network).new_kv_cache())
    assert len(sums) == 2 * len(network.blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_two_processes_are_those_of_one(kind: str, tmp_path: Path, started: list[Workers]) -> None:
    folder = folder_of(kind, tmp_path)
    one = whole(folder)
    started.append(workers.start(plan(folder, 2), lambda *_: None))
    two = ParallelForward(started[0])
    kv_caches: list[Any] = [one.new_kv_cache(), two.new_kv_cache()]

    def check(ids: list[int], n_logits: int = 1) -> None:
        expected, found = (
            forward.step(ids, kv_cache, n_logits) for forward, kv_cache in zip((one, two), kv_caches, strict=True)
        )
        assert kv_caches[0].length == kv_caches[1].length
        assert (expected - found).abs().max() <= 1e-5

    check(IDS)
    check([4])
    check(IDS[:9], n_logits=9)
    assert kv_caches[0].rollback(11) == kv_caches[1].rollback(11) == 11
    check([77])
    check(IDS[:5], n_logits=3)
    other = [one.new_kv_cache(), two.new_kv_cache()]
    asked = [[Step(IDS[:7], mine, 2), Step([5], theirs)] for mine, theirs in zip(other, kv_caches, strict=True)]
    for expected, found in zip(one.step_batch(asked[0]), two.step_batch(asked[1]), strict=True):
        assert (expected - found).abs().max() <= 1e-5
    kv_caches[:] = other
    check([1, 2, 3])


def test_four_processes_and_eight_bit_weights(tmp_path: Path, started: list[Workers]) -> None:
    folder = folder_of("codegen", tmp_path)
    started.append(workers.start(plan(folder, 4), lambda *_: None))
    one, four = whole(folder), ParallelForward(started[0])
    assert (one.step(IDS, one.new_kv_cache()) - four.step(IDS, four.new_kv_cache())).abs().max() <= 1e-5
    started[0].close()
    started.append(workers.start(plan(folder, 2, "int8"), lambda *_: None))
    eight = ParallelForward(started[1])
    assert (one.step(IDS, one.new_kv_cache()) - eight.step(IDS, eight.new_kv_cache())).abs().max() <= 0.5


def test_a_model_that_cannot_be_sharded_says_why(tmp_path: Path) -> None:
    config = folder_of("llama", tmp_path / "llama").config
    assert (
        registry.why_not_sharded(config, 3)
        == "4 heads and 2 key heads and 128 inner dimensions cannot be split into 3 shards"
    )
    assert registry.why_not_sharded(config, 4) == "2 key heads cannot be split into 4 shards"
    granite = folder_of("granitemoehybrid", tmp_path / "granite").config
    assert registry.why_not_sharded(granite, 2) == "its gate and up projections are stored as one"
    bigcode = folder_of("gpt_bigcode", tmp_path / "gpt_bigcode").config
    assert registry.why_not_sharded({**bigcode, "multi_query": True}, 2) == "1 key heads cannot be split into 2 shards"
    codegen = folder_of("codegen", tmp_path / "codegen").config
    assert registry.why_not_sharded({**codegen, "n_head": 8}, 8) == "4 qkv groups cannot be split into 8 shards"


def test_unused_kv_caches_are_freed(tmp_path: Path, started: list[Workers]) -> None:
    started.append(workers.start(plan(folder_of("llama", tmp_path), 2), lambda *_: None))
    forward = ParallelForward(started[0])
    for _ in range(3):
        forward.step(IDS, forward.new_kv_cache())
    assert len(forward._freed) == 1  # the numbers of the others were sent with later steps


def test_a_killed_worker_is_named_and_all_end(tmp_path: Path, started: list[Workers]) -> None:
    started.append(workers.start(plan(folder_of("llama", tmp_path), 2), lambda *_: None))
    forward = ParallelForward(started[0])
    kv_cache = forward.new_kv_cache()
    forward.step(IDS, kv_cache)
    pids = [pid for pid in started[0].pids if pid]
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(EngineUnavailable, match=r"Worker 2 of 2 ended by signal 9\. The model is loaded again"):
        forward.step([1], kv_cache)
    assert started[0].failure == "Worker 2 of 2 ended by signal 9."
    with pytest.raises(EngineUnavailable, match="signal 9"):
        forward.step([1], kv_cache)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_cannot_load_says_why(tmp_path: Path) -> None:
    folder = folder_of("llama", tmp_path)
    broken = sources.ModelFolder("broken", folder.path, {**folder.config, "num_hidden_layers": 3})
    with pytest.raises(ModelUnusable, match="lack the tensor"):
        workers.start(plan(broken, 2), lambda *_: None)


def test_leaving_while_workers_load_terminates_them(tmp_path: Path) -> None:
    def leaves(_share: float, _message: str) -> None:
        raise EngineUnavailable("The engine was closed.")

    with pytest.raises(EngineUnavailable, match="closed"):
        workers.start(plan(folder_of("llama", tmp_path), 2), leaves)
    assert not [one for one in multiprocessing.active_children() if one.name.startswith("lacuna-shard")]
