"""`lacuna bench http`: many users who type, at `lacuna serve` and at other servers with the same weights."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lacuna_inference.api import BUNDLED
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading import sources
from lacuna_inference.prompt import families
from lacuna_inference.prompt.families import Family
from lacuna_lab.bench import callers, servers, typing_trace
from lacuna_lab.bench.callers import Load, Target
from lacuna_lab.bench.servers import PeerServer
from lacuna_lab.evaluation import files
from lacuna_server.commands.show import stderr, stdout
from lacuna_server.settings import Settings

WARM_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class HttpBenchPlan:
    """Numbers of users, seconds for each, and rounds. Every server is measured once per round."""

    users: Sequence[int]
    seconds: float
    rounds: int
    seed: int
    batch: int


def run(settings: Settings, plan: HttpBenchPlan, llama_cpp: Sequence[Path], transformers: bool, as_json: bool) -> None:
    """Measures and prints. Raises LacunaError when a server does not start."""
    rng = random.Random(plan.seed)
    sessions = [typing_trace.typing_trace(file, 12, rng) for file in files.held_out(max(plan.users), plan.seed)]
    with ExitStack() as stack:
        running = _targets(settings, plan, llama_cpp, transformers, stack)
        loads: dict[tuple[str, int], list[Load]] = {}

        def turn(target: Target, server: PeerServer, users: int, seconds: float) -> Load:
            server.resume()
            load = asyncio.run(callers.measure(target, sessions, users, seconds))
            server.pause()
            return load

        for target, server in running:  # lazy initialization at the first requests is not measured
            turn(target, server, 1, WARM_UP_S)
        for number in range(plan.rounds):
            for users in plan.users:
                for target, server in running:
                    stderr.print(f"round {number + 1}, {users} users, {target.name}")
                    loads.setdefault((target.name, users), []).append(turn(target, server, users, plan.seconds))
    rows = [_row(name, users, of_rounds) for (name, users), of_rounds in loads.items()]
    stdout.print_json(json.dumps(rows)) if as_json else _print(rows)


def _targets(
    settings: Settings, plan: HttpBenchPlan, llama_cpp: Sequence[Path], transformers: bool, stack: ExitStack
) -> list[tuple[Target, PeerServer]]:
    """Starts the servers, each paused."""
    folder = sources.find(settings.model)
    context = int(folder.config.get("max_position_embeddings") or settings.context)
    family = _family(settings) if llama_cpp or transformers else None

    def start(command: Callable[[int], list[str]], ready: str) -> PeerServer:
        port = servers.free_port()
        server = stack.enter_context(servers.running(command(port), port, ready))
        server.pause()
        return server

    own = start(lambda port: servers.own(settings.model, port, plan.batch), "/health/ready")
    targets = [(callers.lacuna(own.url), own)]
    if family is None:
        return targets
    for file in llama_cpp:
        other = start(lambda port, file=file: servers.llama_cpp(file, port, context), "/v1/models")  # type: ignore[misc]
        targets.append((callers.completions(f"llama-cpp-python, {file.stem}", other.url, "", family, context), other))
    if transformers:
        device = "cpu" if settings.device == "auto" else settings.device
        other = start(lambda port: servers.transformers(folder.path, port, device), "/openapi.json")
        name = str(folder.path)
        targets.append((callers.completions("transformers serve", other.url, name, family, context), other))
    return targets


def _family(settings: Settings) -> Family:
    """The prompt family for the other servers."""
    if settings.family != "auto":
        return families.by_name(settings.family)
    if settings.model != BUNDLED:
        raise BadRequest("The prompts for the other servers need a family.", "Name it with --family.")
    return families.by_name("lacuna")


def _row(name: str, users: int, loads: Sequence[Load]) -> dict[str, object]:
    whole = Load(users)
    for load in loads:
        whole.sent += load.sent
        whole.in_time += load.in_time
        whole.failed += load.failed
        whole.tokens += load.tokens
        whole.latencies += load.latencies
        whole.seconds += load.seconds
    return {
        "server": name,
        "users": users,
        "asked": whole.sent,
        "answered before the next key": whole.in_time,
        "share": round(whole.share(), 4),
        "failed": whole.failed,
        "p50 ms": round(1000 * whole.percentile(0.5), 1),
        "p95 ms": round(1000 * whole.percentile(0.95), 1),
        "tokens/s": round(whole.tokens / whole.seconds, 1),
    }


def _print(rows: Sequence[dict[str, object]]) -> None:
    stdout.print("| " + " | ".join(rows[0]) + " |", highlight=False)
    stdout.print("|" + " --- |" * len(rows[0]), highlight=False)
    for row in rows:
        stdout.print("| " + " | ".join(map(str, row.values())) + " |", highlight=False, soft_wrap=True)
