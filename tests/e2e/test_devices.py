"""Several devices: CPU processes simulate GPUs. The engine's protocol is the same as with one device."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import save_tiny_model

from lacuna_inference.api import CancelToken, EngineState, ModelOptions, Phase, Request, Stop, StreamEvent
from lacuna_inference.engine import assemble
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.engine.fake import FakeEngine
from lacuna_inference.engine.replicas import ReplicatedEngine
from lacuna_inference.errors import BadRequest, EngineUnavailable, RequestCancelled
from lacuna_server import engines
from lacuna_server import settings as settings_module

PATIENCE_S = 60.0
TEXT = ("def f():\n    return x", "\n")
"""Here the random weights write on: an answer that has ended would be reused, without the worker processes."""


def options(folder: Path, **changed: Any) -> ModelOptions:
    named = {"model": str(folder), "devices": ("cpu", "cpu"), "spread": "tensor", "context": 160, **changed}
    return ModelOptions(**named)


class Watched:
    """An engine with two shards, instrumented for tests."""

    def __init__(self, folder: Path) -> None:
        self.models: list[LoadedModel] = []
        self._phases: list[Phase] = []
        self._changed = threading.Condition()
        self._options = options(folder)
        self.engine = ModelEngine(self._options, self._load)
        self.engine.watch(self._on_state)

    def wait_for(self, phase: Phase, times: int = 1) -> None:
        """Waits until it has been in `phase` `times` times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._phases.count(phase) >= times, PATIENCE_S), self._phases

    def kill(self, shard: int) -> None:
        workers = self.models[-1].workers
        assert workers is not None
        pid = workers.pids[shard]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def answer(self, request: Request, cancel: CancelToken | None = None) -> str:
        return self.engine.submit(request, cancel).result(PATIENCE_S).candidates[0].text

    def _load(self, progress: Callable[[float, str], None]) -> LoadedModel:
        self.models.append(assemble.load_model(self._options, progress))
        return self.models[-1]

    def _on_state(self, state: EngineState) -> None:
        with self._changed:
            if not self._phases or self._phases[-1] is not state.phase:
                self._phases.append(state.phase)
            self._changed.notify_all()


@pytest.fixture
def engine_in_shards(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(save_tiny_model(tmp_path))
    found.engine.start()
    found.wait_for(Phase.WARM)
    yield found
    assert found.engine.close(10)


def request(tokens: int = 24, on_token: Callable[[StreamEvent], None] | None = None) -> Request:
    return Request(TEXT, "x.py", Stop(max_tokens=tokens), on_token=on_token)


def test_two_shards_write_the_same_as_one(engine_in_shards: Watched, tmp_path: Path) -> None:
    alone = ModelEngine(options(tmp_path, devices=()))
    try:
        expected = alone.submit(request()).result(PATIENCE_S)
    finally:
        alone.close()
    found = engine_in_shards.engine.submit(request()).result(PATIENCE_S)
    assert found.candidates[0].text == expected.candidates[0].text
    assert found.metrics.forward == "own, in 2 parts"
    assert engine_in_shards.engine.state.message.endswith("on cpu, cpu in float32")


@pytest.mark.parametrize("shard", [0, 1])
def test_a_shard_killed_during_decoding_fails_the_request_and_is_reloaded(
    engine_in_shards: Watched, shard: int
) -> None:
    before = engine_in_shards.answer(request())
    with pytest.raises(
        EngineUnavailable, match=f"Worker {shard + 1} of 2 ended by signal 9. The model is loaded again"
    ):
        engine_in_shards.answer(request(60, on_token=lambda _: engine_in_shards.kill(shard)))
    engine_in_shards.wait_for(Phase.WARM, times=2)
    assert engine_in_shards.answer(request()) == before


def test_a_shard_that_ended_while_idle_fails_only_one_request(engine_in_shards: Watched) -> None:
    before = engine_in_shards.answer(request())
    engine_in_shards.kill(1)
    with pytest.raises(EngineUnavailable, match="loaded again"):
        engine_in_shards.answer(request(30))
    engine_in_shards.wait_for(Phase.WARM, times=2)
    assert engine_in_shards.answer(request()) == before


def test_an_engine_whose_shards_keep_ending_gives_up(engine_in_shards: Watched) -> None:
    for times in (2, 3):
        engine_in_shards.kill(0)
        with pytest.raises(EngineUnavailable, match="loaded again"):
            engine_in_shards.answer(request(30))
        engine_in_shards.wait_for(Phase.WARM, times)
    engine_in_shards.kill(0)
    with pytest.raises(EngineUnavailable):
        engine_in_shards.answer(request(30))
    engine_in_shards.wait_for(Phase.FAILED)
    assert "3 times in a row" in engine_in_shards.engine.state.message
    with pytest.raises(EngineUnavailable, match="not loaded"):
        engine_in_shards.answer(request())


def test_a_cancel_stops_all_shards_between_two_tokens(engine_in_shards: Watched) -> None:
    cancel = CancelToken()
    with pytest.raises(RequestCancelled):
        engine_in_shards.answer(request(100, on_token=lambda _: cancel.cancel()), cancel)
    assert engine_in_shards.answer(request())


def test_a_model_that_cannot_be_sharded_is_rejected_with_a_remedy(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    for changed, message in (
        ({"devices": ("cpu",) * 3}, "cannot be run in 3 parts: 4 heads"),
        ({"devices": ("0", "1")}, "The device cuda:0 is not available"),
        ({"devices": ("0", "cuda:0")}, "The device cuda:0 is named twice"),
        ({"spread": "layers"}, "Layers can be spread over GPUs only"),
    ):
        with pytest.raises(BadRequest, match=message):
            assemble.load_model(options(folder, **changed), lambda *_: None)


def test_the_settings_name_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LACUNA_DEVICES", "0, 1")
    found = settings_module.load(spread="tensor").model_options()
    assert (found.devices, found.spread) == (("0", "1"), "tensor")
    created = engines.make(settings_module.load())
    assert isinstance(created, ReplicatedEngine)
    created.close()
    with pytest.raises(BadRequest, match="named twice"):
        engines.make(settings_module.load(devices="1,1"))
    with pytest.raises(BadRequest, match="devices"):
        settings_module.load(devices="first,second")


def test_documents_stay_with_the_replica_that_cached_them() -> None:
    created = [FakeEngine(), FakeEngine()]
    engine = ReplicatedEngine(created)
    engine.start()
    try:
        routes = {key: engine._route(Request(TEXT, document_id=key)) for key in "abcd"}
        assert sorted(routes.values()) == [0, 0, 1, 1]
        assert {key: engine._route(Request(TEXT, document_id=key)) for key in "abcd"} == routes
        assert engine.moved == 0
    finally:
        engine.close()


def test_replicas_answer_like_one_engine_and_a_failed_one_is_skipped(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    good = ModelEngine(options(folder, devices=("cpu",), spread="replicas"))
    bad = ModelEngine(options(tmp_path / "missing", devices=("cpu",), spread="replicas"))
    engine = ReplicatedEngine([bad, good])
    warm, failed = threading.Event(), threading.Event()
    bad.watch(lambda state: failed.set() if state.phase is Phase.FAILED else None)
    good.watch(lambda state: warm.set() if state.phase is Phase.WARM else None)
    engine.start()
    try:
        assert warm.wait(PATIENCE_S)
        assert failed.wait(PATIENCE_S)
        futures = [engine.submit(Request(TEXT, document_id=str(n), stop=Stop(max_tokens=4))) for n in range(4)]
        assert len({future.result(PATIENCE_S).candidates[0].text for future in futures}) == 1
        assert engine.state.phase is Phase.WARM
        assert engine.state.message.startswith("1 of 2 replicas")
        assert "failed: " in engine.state.message
    finally:
        assert engine.close(10)
