"""Many users who type: each sends an HTTP request at every keystroke and cancels it at the next one.

All servers get the same input: the prompt of the family table, or the text if the server builds the prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from lacuna_inference.api import Request, Stop
from lacuna_inference.prompt.families import Family
from lacuna_inference.remote.prompt import as_text
from lacuna_lab.bench.typing_trace import Key, TypingTrace
from lacuna_lab.quantiles import quantile

MAX_TOKENS = 16
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server: `body` builds the request for a keystroke, `tokens` reads the number of generated tokens."""

    name: str
    url: str
    path: str
    body: Callable[[str, str, str], dict[str, Any]]
    tokens: Callable[[dict[str, Any]], int]


@dataclass(slots=True)
class Load:
    """Results of `users` users at one server. `latencies` are those of answered requests, in seconds."""

    users: int
    sent: int = 0
    in_time: int = 0
    failed: int = 0
    tokens: int = 0
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def share(self) -> float:
        return self.in_time / self.sent if self.sent else 0.0

    def percentile(self, share: float) -> float:
        return quantile(self.latencies, share)


def lacuna(url: str) -> Target:
    """`lacuna serve`, with a session for each user."""

    def body(user: str, before: str, after: str) -> dict[str, Any]:
        return {
            "data": before,
            "suffix": after,
            "session": user,
            "stop": "\n",
            "max_tokens": MAX_TOKENS,
            "path": "a.py",
        }

    return Target("lacuna serve", url, "/", body, lambda answer: int(answer["usage"]["completion_tokens"]))


def completions(name: str, url: str, model: str, family: Family, context: int) -> Target:
    """A server with OpenAI's completions endpoint, which gets the whole prompt."""

    def body(_: str, before: str, after: str) -> dict[str, Any]:
        request = Request((before, after), path="a.py", stop=Stop(MAX_TOKENS))
        prompt = as_text(request, family, context)
        stops = ["\n", *family.ends][:4]
        return {"model": model, "prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0, "stop": stops}

    return Target(name, url, "/v1/completions", body, lambda answer: int(answer["usage"]["completion_tokens"]))


async def measure(target: Target, sessions: Sequence[TypingTrace], users: int, seconds: float) -> Load:
    """Lets `users` users type for `seconds`. Sessions are distributed among them; shared ones start at other keys."""
    load = Load(users)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=target.url, timeout=_TIMEOUT_S, limits=limits, trust_env=False) as client:
        started = time.monotonic()
        until = started + seconds
        await asyncio.gather(*(_type(client, target, sessions, n, until, load) for n in range(users)))
        load.seconds = time.monotonic() - started
    return load


async def _type(
    client: httpx.AsyncClient, target: Target, sessions: Sequence[TypingTrace], user: int, until: float, load: Load
) -> None:
    session = sessions[user % len(sessions)]
    first = (user // len(sessions)) * 37 % max(1, len(session.keys))
    keys = [*session.keys[first:], *session.keys[:first]]
    number = 0
    await asyncio.sleep(0.05 * (user % 7))
    while time.monotonic() < until:
        key, following = keys[number % len(keys)], keys[(number + 1) % len(keys)]
        number += 1
        request = asyncio.ensure_future(_ask(client, target, f"user {user}", key, load))
        await asyncio.sleep(following.gap_s)
        load.sent += 1
        if not request.done():
            request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request


async def _ask(client: httpx.AsyncClient, target: Target, user: str, key: Key, load: Load) -> None:
    body = target.body(user, key.text[: key.cursor], key.text[key.cursor :])
    started = time.monotonic()
    try:
        response = await client.post(target.path, json=body)
        seconds = time.monotonic() - started
        tokens = target.tokens(response.raise_for_status().json())
    except (httpx.HTTPError, ValueError, KeyError, TypeError):  # no answer, or an unreadable one
        load.failed += 1
        return
    load.latencies.append(seconds)
    load.in_time += 1
    load.tokens += tokens
