"""`lacuna serve --ray` on a cluster on this machine: two nodes, one of which is killed under load."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lacuna_inference.api import CancelToken, ModelOptions, Phase, Request, Stop, StreamEvent
from lacuna_inference.errors import BadRequest, EngineUnavailable, RequestCancelled

pytest.importorskip("ray.serve", reason="pip install 'lacuna-lsp[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE_S = 120.0
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(first, second):\n    return first - second\n"
OPTIONS = ModelOptions(device="cpu", context=256)


@dataclass
class Cluster:
    """A cluster of a head, which runs no replica, and two nodes with room for one each."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    import ray
    from ray.cluster_utils import Cluster as RayCluster

    created = RayCluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    found = Cluster(created, [created.add_node(num_cpus=2, resources={"model": 1}) for _ in range(2)])
    yield found
    from ray import serve

    serve.shutdown()
    ray.shutdown()
    created.shutdown()


@pytest.fixture(scope="module")
def engine(cluster: Cluster) -> Iterator[Any]:
    from lacuna_server.scale.engine import RayEngine
    from lacuna_server.scale.replica import Scale

    created = RayEngine(
        OPTIONS, Scale(min_replicas=2, max_replicas=2, resources=(("model", 1.0),)), cluster.cluster.address
    )
    settled = threading.Event()
    created.watch(lambda state: settled.set() if state.phase in (Phase.WARM, Phase.FAILED) else None)
    created.start()
    assert settled.wait(PATIENCE_S)
    assert created.state.phase is Phase.WARM, created.state.message
    yield created
    created.close()


class SimulatedUser(threading.Thread):
    """A simulated user: types a text repeatedly, and requests a completion after each key."""

    def __init__(self, engine: Any, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._engine, self._ends = engine, threading.Event()
        self.taken: list[tuple[float, float]] = []
        """When each answer came, and how long it took."""
        self.failures: list[BaseException] = []
        self.unanswered = 0

    def run(self) -> None:
        while not self._ends.is_set():
            for end in range(20, len(TEXT)):
                if self._ends.is_set():
                    return
                asked = Request((TEXT[:end], "\n"), "x.py", Stop(max_tokens=4, single_line=True), document_id=self.name)
                started = time.monotonic()
                try:
                    self._engine.submit(asked).result(PATIENCE_S)
                    self.taken.append((time.monotonic(), time.monotonic() - started))
                except TimeoutError:
                    self.unanswered += 1
                except Exception as error:
                    self.failures.append(error)

    def stop(self) -> None:
        self._ends.set()
        self.join(PATIENCE_S)


def wait_until(holds: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def names_on_both(engine: Any, each: int) -> list[str]:
    """Names of sessions, `each` of them on either replica."""
    found: dict[str, list[str]] = {}
    for number in itertools.count():
        name = f"typist-{number}"
        engine.submit(Request((TEXT, "\n"), stop=Stop(max_tokens=1), document_id=name)).result(PATIENCE_S)
        found.setdefault(engine._replicas[name], []).append(name)
        if len(found) == 2 and all(len(names) >= each for names in found.values()):
            return [name for names in found.values() for name in names[:each]]
    raise AssertionError


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def test_an_answer_equals_that_of_a_single_engine(engine: Any) -> None:
    from lacuna_inference.engine.engine import ModelEngine

    asked = Request((TEXT, "\n"), "x.py", Stop(max_tokens=12))
    alone = ModelEngine(OPTIONS)
    expected = alone.submit(asked).result(PATIENCE_S).candidates[0].text
    alone.close()
    assert engine.submit(asked).result(PATIENCE_S).candidates[0].text == expected
    events: list[StreamEvent] = []
    streamed = Request((TEXT, "\n"), "x.py", Stop(max_tokens=12), on_token=events.append)
    assert engine.submit(streamed).result(PATIENCE_S).candidates[0].text == expected
    assert "".join(event.token.text for event in events) == expected


def test_the_model_is_described_as_without_a_cluster(engine: Any) -> None:
    """Its languages decide what it is asked about."""
    facts = engine.state.facts
    assert (facts.family, facts.languages, facts.dtype, facts.context) == ("lacuna", ("python",), "float32", 256)


def test_errors_and_cancels_of_a_replica_are_passed_on(engine: Any) -> None:
    with pytest.raises(BadRequest):
        engine.submit(Request((TEXT,), ids=(10**9,))).result(PATIENCE_S)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(RequestCancelled):
        engine.submit(Request((TEXT, "\n")), cancel).result(PATIENCE_S)


def test_a_node_killed_under_load_loses_no_request(engine: Any, cluster: Cluster) -> None:
    users = [SimulatedUser(engine, name) for name in names_on_both(engine, 4)]
    for user in users:
        user.start()
    wait_until(lambda: all(len(user.taken) >= 60 for user in users))
    moved_while_both_lived = engine.moved
    killed = time.monotonic()
    cluster.cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
    counts = [len(user.taken) for user in users]
    wait_until(lambda: all(len(t.taken) >= n + 60 for t, n in zip(users, counts, strict=True)))
    for user in users:
        user.stop()
    before = [took for user in users for came, took in user.taken if came < killed]
    after = [took for user in users for came, took in user.taken if came >= killed]
    failures = [failure for user in users for failure in user.failures]
    moved = engine.moved - moved_while_both_lived
    unanswered = sum(user.unanswered for user in users)
    print(  # noqa: T201
        f"8 sessions on 2 nodes: {len(before)} answers before a node was killed, {len(after)} after; moved sessions"
        f" {moved} (before: {moved_while_both_lived}); failed with an error {len(failures)}, lost without one"
        f" {unanswered}; p95 {1000 * p95(before):.0f} ms before, {1000 * p95(after):.0f} ms after, longest"
        f" {1000 * max(after):.0f} ms"
    )
    assert not unanswered
    assert not failures
    assert moved_while_both_lived == 0
    assert moved == 4


def test_the_model_is_replaced_while_requests_are_answered(engine: Any, cluster: Cluster) -> None:
    cluster.nodes.append(cluster.cluster.add_node(num_cpus=2, resources={"model": 1}))
    user = SimulatedUser(engine, "typist")
    user.start()
    wait_until(lambda: len(user.taken) >= 20)
    engine.change(ModelOptions(device="cpu", context=128))
    count = len(user.taken)
    wait_until(lambda: len(user.taken) >= count + 20)
    user.stop()
    assert not user.failures
    assert not user.unanswered


def test_a_missing_model_changes_nothing(engine: Any) -> None:
    user = SimulatedUser(engine, "typist")
    user.start()
    with pytest.raises(EngineUnavailable, match="no-such-model"):
        engine.change(ModelOptions(model="/tmp/no-such-model", device="cpu"))
    assert engine.state.phase is Phase.WARM
    assert engine.state.model == "bundled"
    count = len(user.taken)
    wait_until(lambda: len(user.taken) >= count + 20)
    user.stop()
    assert not user.failures
    assert not user.unanswered


def test_a_replica_is_added_when_requests_have_to_wait(engine: Any, cluster: Cluster) -> None:
    from ray import serve

    from lacuna_server.scale.engine import RayEngine
    from lacuna_server.scale.replica import APPLICATION, Scale

    def running() -> int:
        return int(serve.status().applications[APPLICATION].deployments["model"].replica_states.get("RUNNING", 0))

    serve.delete(APPLICATION)
    grows = RayEngine(
        OPTIONS,
        Scale(min_replicas=1, max_replicas=2, target_requests=1, resources=(("model", 1.0),)),
        cluster.cluster.address,
    )
    grows.submit(Request((TEXT, "\n"), stop=Stop(max_tokens=1))).result(PATIENCE_S)
    assert running() == 1
    users = [SimulatedUser(grows, f"typist-{number}") for number in range(8)]
    for user in users:
        user.start()
    wait_until(lambda: running() == 2)
    count = [len(user.taken) for user in users]
    wait_until(lambda: all(len(t.taken) >= n + 20 for t, n in zip(users, count, strict=True)))
    for user in users:
        user.stop()
    assert not [failure for user in users for failure in user.failures]
    assert not [user for user in users if user.unanswered]
    assert len(set(grows._replicas.values())) == 2
