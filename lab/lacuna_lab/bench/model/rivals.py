"""The two contestants, each in a process of its own, asked over what a client of theirs would use."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import LacunaError
from lacuna_lab.bench.model import lacuna_program, llama_program
from lacuna_lab.bench.model.child import Child
from lacuna_lab.bench.model.questions import N_PREDICT, Question, Reply

CACHE_REUSE = 256
"""The least tokens of a chunk that llama.cpp moves in its KV cache; llama.vim's page starts the server with this."""
INSTALL = "llama.cpp's server is not measured: run pip install xllamacpp."
_TIMEOUT_S = 600


class Contestant(Protocol):
    """A model in a process of its own, which is paused until it is asked."""

    @property
    def name(self) -> str: ...

    @property
    def ready_s(self) -> float:
        """Seconds from the start of the process until it was ready."""
        ...

    def ask(self, question: Question) -> Reply: ...

    def peak_bytes(self) -> int | None: ...

    def close(self) -> None: ...


class Lacuna:
    """Lacuna's engine."""

    name = "Lacuna"

    def __init__(self, options: ModelOptions) -> None:
        self._child = Child(lacuna_program.__name__, json.dumps(asdict(options), default=str))
        self.facts = self._child.wait_until_ready()
        self.ready_s = time.perf_counter() - self._child.started
        self._child.pause()

    def ask(self, question: Question) -> Reply:
        self._child.resume()
        started = time.perf_counter()
        found = self._child.ask(question.as_json())
        taken_s = time.perf_counter() - started
        self._child.pause()
        return Reply(taken_s=taken_s, **found)

    def ids_of(self, text: str) -> list[int]:
        """The token ids of `text`."""
        self._child.resume()
        ids: list[int] = self._child.ask({"tokenize": text})["ids"]
        self._child.pause()
        return ids

    def kv_bytes(self, tokens: int) -> tuple[int, int]:
        """Bytes of a KV cache after `tokens` tokens, and of all that are held."""
        self._child.resume()
        answer = self._child.ask({"kv": tokens})
        return int(answer["bytes"]), int(answer["held"])

    def peak_bytes(self) -> int | None:
        return self._child.peak_bytes()

    def close(self) -> None:
        self._child.close()


class LlamaServer:
    """llama.cpp's server, asked by HTTP as llama.vim asks, but to stop at the end of the line."""

    name = "llama.cpp"

    def __init__(self, file: Path, context: int, cache_reuse: int = CACHE_REUSE, gpu: bool = False) -> None:
        """Starts it, with all layers on a GPU if `gpu` and its build can."""
        numbers = map(str, (context, cores(), cache_reuse, int(gpu)))
        self._child = Child(llama_program.__name__, str(file), *numbers)
        url = self._child.wait_until_ready()["url"]
        self.ready_s = time.perf_counter() - self._child.started
        self._connection = http.client.HTTPConnection(str(url).removeprefix("http://"), timeout=_TIMEOUT_S)
        self._fills = True
        self._child.pause()

    def ask(self, question: Question) -> Reply:
        path, body = body_of(question, self._fills)
        self._child.resume()
        started = time.perf_counter()
        found = self._post(path, body)
        taken_s = time.perf_counter() - started
        self._child.pause()
        if self._fills and found.get("error", {}).get("code") == http.HTTPStatus.NOT_IMPLEMENTED:
            self._fills = False  # the model has no sentinels: it is only shown what is before the cursor
            return self.ask(question)
        if "error" in found:
            raise LacunaError(f"llama.cpp's server answered: {found['error'].get('message')}.", "Try another model.")
        return reply_of(found, question, taken_s)

    def peak_bytes(self) -> int | None:
        return self._child.peak_bytes()

    def close(self) -> None:
        self._connection.close()
        self._child.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Over a connection of its own: the server closes one that waited some seconds, as while it is paused."""
        try:
            self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.load(self._connection.getresponse())
            return answer
        finally:
            self._connection.close()


def body_of(question: Question, fills: bool = True) -> tuple[str, dict[str, Any]]:
    """The address and body that llama.cpp's server is asked with.

    As llama.vim does, what is typed in the line goes apart, and blanks alone not at all. Only the stop at the line's
    end is added, since Lacuna writes one line, too.
    """
    common = {"temperature": 0, "stream": False, "cache_prompt": True}
    if question.ids:
        body = {"prompt": list(question.ids), "n_predict": question.max_tokens, "cache_prompt": False}
        return "/completion", {**common, **body}
    length: dict[str, Any] = {"n_predict": N_PREDICT if question.single_line else question.max_tokens}
    if question.single_line:
        length["stop"] = ["\n"]
    lines, typed = _typed_apart(question)
    if not fills:
        return "/completion", {**common, **length, "prompt": lines + typed}
    return "/infill", {**common, **length, "input_prefix": lines, "prompt": typed, "input_suffix": question.suffix}


def reply_of(found: dict[str, Any], question: Question, taken_s: float) -> Reply:
    """The reply in an answer of llama.cpp's server. Blanks that were typed, but not sent, are taken from its text."""
    timings = found["timings"]
    lines, typed = _typed_apart(question)
    decoded = max(0, int(timings["predicted_n"]) - 1)
    return Reply(
        text=str(found["content"]).removeprefix(question.prefix[len(lines) + len(typed) :]),
        taken_s=taken_s,
        read=int(timings["prompt_n"]),
        read_s=timings["prompt_ms"] / 1000,
        evaluated=int(timings["prompt_n"]) + decoded,
        decoded=decoded,
        decode_s=timings["predicted_ms"] / 1000 if decoded else 0.0,
    )


def _typed_apart(question: Question) -> tuple[str, str]:
    """The lines before the cursor's, and what is typed in that; nothing if these are only blanks."""
    line_start = question.prefix.rfind("\n") + 1
    typed = question.prefix[line_start:]
    return question.prefix[:line_start], typed if typed.strip() else ""


def is_installed() -> bool:
    """Whether llama.cpp's server can be measured."""
    return find_spec("xllamacpp") is not None


def version() -> str:
    """The version of the package with llama.cpp's server, or nothing."""
    return metadata.version("xllamacpp") if is_installed() else ""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_turns(contestants: Sequence[Contestant], questions: Sequence[Question]) -> dict[str, list[Reply]]:
    """The replies of each contestant by its name. They take turns question by question, in rotating order."""
    replies: dict[str, list[Reply]] = {contestant.name: [] for contestant in contestants}
    for number, question in enumerate(questions):
        first = number % len(contestants)
        for contestant in (*contestants[first:], *contestants[:first]):
            replies[contestant.name].append(contestant.ask(question))
    return replies
