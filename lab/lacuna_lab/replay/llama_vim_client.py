"""llama.vim as a contestant: its rules for what is asked and shown, and llama.cpp's own server."""

from __future__ import annotations

import asyncio
import http
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_lab.bench.model import llama_program, rivals
from lacuna_lab.bench.model.child import Child
from lacuna_lab.replay import llama_vim as rules
from lacuna_lab.replay.session import Answer
from lacuna_lab.replay.tasks import ReplayTask

NAME = "llama.vim"
_TIMEOUT_S = 300.0
_EVENT = "data: "
"""Begins a piece of an answer that comes in pieces."""
_END = "[DONE]"


class LlamaVim:
    """The editor's side for one document: its text, its answers, the one request that may be under way.

    For a patient typist it asks only at the cursor, without limits of time, where nothing that it keeps can be shown,
    and reads an answer only as far as it matters to him: the rest could take ten times as long. In time it also asks as
    llama.vim does while something is shown: at the cursor, and in advance for what comes after. That saves time later,
    and is left out where time does not count.
    """

    name = NAME

    def __init__(self, child: Child, client: httpx.AsyncClient, patient: bool) -> None:
        self._child = child
        self._client = client
        self._patient = patient
        self._before = self._after = self._reference = ""
        self._answers = rules.Answers()
        self._job: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._indent = 0
        self._tokens_read = 0
        """Tokens of prompts that were read since the last answer."""
        self._shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, task: ReplayTask) -> None:
        if self._job is not None:
            await asyncio.wait([self._job])
        self._before, self._after, self._answers = task.before, task.after, rules.Answers()
        self._reference = task.target

    def insert(self, text: str) -> None:
        self._before += text
        self._reference = self._reference.removeprefix(text)

    async def ask(self) -> Answer:
        started = time.perf_counter()
        if self._patient:
            return Answer(await self._waited_for(), time.perf_counter() - started)
        self._shown = asyncio.get_running_loop().create_future()
        self._show_kept()
        self._request(None)
        self._settle()
        text = await asyncio.shield(self._shown)
        read, self._tokens_read = self._tokens_read, 0
        return Answer(text, time.perf_counter() - started, read=read)

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def end(self) -> None:
        """Gives up what is under way."""
        self.leave()
        if self._job is not None:
            self._job.cancel()
            await asyncio.wait([self._job])

    def pause(self) -> None:
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    async def _waited_for(self) -> str:
        at = rules.context(self._before, self._after)
        if self._answers.find(at) is None and at.asks and not self._answers.has(at):
            self._answers.put(at, await self._read(at))
        return rules.shown(self._answers.find(at) or "", self._before, self._after)

    def _show_kept(self) -> None:
        """Shows what is kept for the cursor, and asks in advance for what comes after."""
        found = self._answers.find(rules.context(self._before, self._after))
        if found is None:
            return
        text = rules.shown(found, self._before, self._after)
        if text and not self._shown.done():
            self._shown.set_result(text)
        self._request(text)

    def _settle(self) -> None:
        """Answers with nothing if nothing will come at this cursor."""
        at = rules.context(self._before, self._after)
        if not self._shown.done() and (not at.asks or self._answers.has(at)):
            self._shown.set_result("")

    def _request(self, accepted: str | None) -> None:
        """Asks at the cursor, or for what comes after `accepted`; later, if an answer is on its way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._job is not None:
            self._timer = asyncio.get_running_loop().call_later(rules.RETRY_S, self._request, accepted)
            return
        if accepted is None:
            wanted, limit_ms = rules.context(self._before, self._after), rules.FIRST_MS
        else:
            wanted = rules.context_after(self._before, self._after, accepted, self._indent)
            limit_ms = rules.NEXT_MS
        if wanted.asks and not self._answers.has(wanted):
            self._indent = wanted.indent
            self._job = asyncio.ensure_future(self._run(wanted, limit_ms))

    async def _run(self, wanted: rules.Context, limit_ms: int) -> None:
        try:
            self._answers.put(wanted, await self._post(wanted, limit_ms))
            if not self._shown.done():
                self._show_kept()
            self._settle()
        except LacunaError as error:
            if not self._shown.done():
                self._shown.set_exception(error)
        finally:
            self._job = None

    async def _read(self, wanted: rules.Context) -> str:
        """The beginning of the answer that matters. The server ends when nobody reads on."""
        answer = ""
        with _failures():
            async with self._client.stream("POST", "/infill", json=wanted.body(timed=False)) as response:
                if response.is_error:
                    _check(response, json.loads(await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith(_EVENT) and not line.endswith(_END):
                        answer += _check(response, json.loads(line.removeprefix(_EVENT)))
                        if rules.is_enough(answer, self._before, self._after, self._reference):
                            break
        return answer

    async def _post(self, wanted: rules.Context, limit_ms: int) -> str:
        with _failures():
            response = await self._client.post("/infill", json=wanted.body(timed=True, limit_ms=limit_ms))
            found = response.json()
            text = _check(response, found)
            self._tokens_read += int(found.get("timings", {}).get("prompt_n", 0))
            return text


@contextmanager
def _failures() -> Iterator[None]:
    """Raises LacunaError for what is not an answer."""
    try:
        yield
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise LacunaError(f"llama.cpp's server gave no answer: {error}.", "Omit --rival.") from error


def _check(response: httpx.Response, found: dict[str, Any]) -> str:
    """The text in an answer, or in a piece of one. Raises LacunaError if it is a refusal."""
    if response.status_code == http.HTTPStatus.NOT_IMPLEMENTED:
        raise BadRequest("llama.cpp knows no sentinels of this model.", "Name another, or omit --rival.")
    if "error" in found:
        raise LacunaError(f"llama.cpp's server answered: {found['error'].get('message')}.", "Omit --rival.")
    return str(found["content"])


@asynccontextmanager
async def llama_vim(file: Path, context: int, gpu: bool, patient: bool) -> AsyncIterator[LlamaVim]:
    """Starts llama.cpp's server with a GGUF file as llama.vim's page says, and ends it with the block."""
    numbers = map(str, (context, rivals.cores(), rivals.CACHE_REUSE, int(gpu)))
    child = Child(llama_program.__name__, str(file), *numbers)
    try:
        url = child.wait_until_ready()["url"]
        # a connection for each request, as llama.vim does: the server closes one that it keeps whenever it likes
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits, trust_env=False) as client:
            contestant = LlamaVim(child, client, patient)
            try:
                yield contestant
            finally:
                await contestant.end()
    finally:
        child.close()
