"""Recorded steps: they are recorded on the model's device, compute correctly, and keep documents apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from helpers import tiny_model

from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward import static
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.forward.static import Run, StaticForward

IDS = list(range(10, 60))
DEVICE = torch.device("cuda:1")


@pytest.fixture(scope="module")
def forward() -> OwnForward:
    model = tiny_model("llama")
    weights = dict(model.state_dict())
    return registry.build(
        model.config.to_dict(), weights, registry.ForwardSpec(torch.float32, torch.device("cpu"), 300, tuned=False)
    )


def empty(run: Run) -> Run:
    """Like a graph that torch captured on another device's stream: it runs once, and replays nothing."""
    run()
    return lambda: None


def baked(run: Run) -> Run:
    """A recording that keeps computing with its recorded inputs."""
    step: Any = run.__self__  # type: ignore[attr-defined]
    run()
    logits = step.logits.clone()
    return lambda: step.logits.copy_(logits)


@pytest.mark.parametrize("capture", [empty, baked])
def test_a_wrongly_recorded_step_is_rejected(forward: OwnForward, capture: static.Capture) -> None:
    with pytest.raises(RuntimeError, match="does not compute what it computes unrecorded"):
        StaticForward(forward.network, 3, capture)


def test_a_model_whose_steps_are_recorded_wrongly_runs_unrecorded(
    forward: OwnForward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(static, "cuda_graph", lambda run, device: empty(run))
    assert registry.accelerate(forward, "graphs") == (forward, "own")
    assert "runs unrecorded: a recorded step of 1 tokens does not compute" in caplog.text


def test_a_recorded_step_may_differ_by_the_order_of_its_sums(forward: OwnForward) -> None:
    def nearly(run: Run) -> Run:
        step: Any = run.__self__  # type: ignore[attr-defined]

        def rounded() -> None:
            run()
            step.logits.mul_(1 + 1e-5)

        return rounded

    StaticForward(forward.network, 3, nearly)


@pytest.mark.parametrize("max_draft_tokens", [0, 3])
def test_non_finite_numbers_stay_with_their_document(forward: OwnForward, max_draft_tokens: int) -> None:
    plain, recorded = forward, StaticForward(forward.network, max_draft_tokens, lambda run: run)
    broken = recorded.new_kv_cache()
    recorded.step(IDS * 3, broken)
    recorded._stage.keys_values[:, :, : 3 * len(IDS)] = torch.nan
    for _ in range(2):  # once with the broken document active, once with it set aside
        kv_caches: Any = plain.new_kv_cache(), recorded.new_kv_cache()
        for ids in (IDS, [7], [8], IDS[:2], [9]):
            expected, found = (
                one.step(ids, kv_cache) for one, kv_cache in zip((plain, recorded), kv_caches, strict=True)
            )
            assert (expected - found).abs().max() <= 1e-5
        assert recorded.step([7], broken).isnan().all()


def test_non_finite_numbers_are_rolled_back_with_their_tokens(forward: OwnForward) -> None:
    """A rejected draft that overflows must not affect the tokens that follow."""
    recorded = StaticForward(forward.network, 3, lambda run: run)
    kv_cache: Any = recorded.new_kv_cache()
    recorded.step(IDS, kv_cache)
    expected = recorded.step([7], kv_cache)
    recorded.step([1, 2, 3, 4], kv_cache)
    recorded._stage.keys_values[:, :, len(IDS) + 1 : len(IDS) + 5] = torch.nan
    kv_cache.rollback(len(IDS))
    assert (recorded.step([7], kv_cache) - expected).abs().max() <= 1e-5


class FakeCuda:
    """Replaces torch.cuda: records what is called, and for which device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.inside = 0
        self.most_inside = 0
        self.streams: list[Any] = []
        for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph", "device"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, "_" + name.lower()))

    def _stream_of(self, device: Any) -> Any:
        stream = type("Stream", (), {"device": device, "wait_stream": lambda *_: None})()
        self.streams.append(stream)
        return stream

    def _stream(self, given: Any = None) -> Any:
        """Both `torch.cuda.Stream(device)` and `torch.cuda.stream(stream)`."""
        if given in self.streams:
            self.calls.append(("on", given.device))
            return nullcontext()
        self.calls.append(("Stream", given))
        return self._stream_of(given)

    def _current_stream(self, device: Any = None) -> Any:
        self.calls.append(("current_stream", device))
        return self._stream_of(device)

    def _cudagraph(self) -> Any:
        return type("Graph", (), {"replay": lambda *_: None})()

    @contextmanager
    def _graph(self, graph: Any, stream: Any = None, capture_error_mode: str = "global") -> Iterator[None]:
        self.calls += [("graph", stream.device if stream else None), ("mode", capture_error_mode)]
        yield

    @contextmanager
    def _device(self, device: Any) -> Iterator[None]:
        self.calls.append(("device", device))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        yield
        self.inside -= 1


def test_a_graph_is_recorded_on_the_device_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, runs = FakeCuda(monkeypatch), list[int]()
    static.cuda_graph(lambda: runs.append(1), DEVICE)
    devices = [device for what, device in cuda.calls if what != "mode"]
    assert {"device", "Stream", "current_stream", "on", "graph"} <= {what for what, _ in cuda.calls}
    assert set(devices) == {DEVICE}
    assert ("mode", "thread_local") in cuda.calls
    assert len(runs) == 3  # twice for the libraries' preparations, once recorded


def test_the_model_s_device_is_used_for_the_recording(forward: OwnForward, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def cuda_graph(run: Run, device: torch.device) -> Run:
        asked.append(device)
        return run

    monkeypatch.setattr(static, "cuda_graph", cuda_graph)
    for wanted in ("auto", "graphs"):
        capture = registry._capture_for(wanted, DEVICE)
        assert capture is not None
        capture(lambda: None)
    assert asked == [DEVICE] * 2
    assert registry.forward_name("auto", DEVICE) == "own, CUDA graphs"
    assert registry.forward_name("compile", DEVICE) == "own, compiled"


def test_one_graph_is_recorded_at_a_time_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, started, go_on = FakeCuda(monkeypatch), threading.Semaphore(0), threading.Event()

    def run() -> None:
        started.release()
        go_on.wait(10)

    threads = [threading.Thread(target=static.cuda_graph, args=(run, torch.device(f"cuda:{n}"))) for n in range(2)]
    for thread in threads:
        thread.start()
    assert started.acquire(timeout=10)
    assert not started.acquire(timeout=0.05)  # the other waits
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert cuda.most_inside == 1
