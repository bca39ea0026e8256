"""Lacuna as a contestant: a real `lacuna lsp`, asked over its protocol as an editor asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lacuna_lab.bench.editor import Client, Document, change_folder, connect, process_of
from lacuna_lab.replay.session import Answer
from lacuna_lab.replay.tasks import ReplayTask

_ASK_AGAIN_S, _ASK_AGAIN_FOR_S = 0.25, 60.0
"""How often, and for how long, a patient typist asks until the answer is based on the whole text."""


class Lacuna:
    """A running language server, and the document that is typed into."""

    def __init__(self, name: str, client: Client, patient: bool) -> None:
        self.name = name
        self._client = client
        self._process = process_of(client)
        self._patient = patient
        self._opened = 0
        self._folder: Path | None = None
        self._document: Document

    async def open(self, task: ReplayTask) -> None:
        self._opened += 1  # a document of its own: the server must not know the task's file from the task before
        name = f"{self._opened}/{task.name}" if task.root is None else str(task.root / task.path)
        if task.root != self._folder:
            change_folder(self._client, self._folder, task.root)
            self._folder = task.root
        self._document = Document(self._client, name, task.language_id, task.before, task.after)

    def insert(self, text: str) -> None:
        self._document.insert(text)

    async def ask(self) -> Answer:
        """The server's answer. A patient typist waits until the model has read the whole text for it."""
        started = time.perf_counter()
        text = await self._document.ask()
        taken_s = time.perf_counter() - started
        told = await self._document.explain()
        while self._patient and _counter(told, "narrow") and time.perf_counter() - started < _ASK_AGAIN_FOR_S:
            await asyncio.sleep(_ASK_AGAIN_S)
            text = await self._document.ask()
            told = await self._document.explain()
        read = _counter(told, "prompt_tokens") - _counter(told, "reused_tokens")
        return Answer(text, taken_s, told.get("withheld") or "", read)

    def leave(self) -> None:
        self._document.close()

    def pause(self) -> None:
        self._process.suspend()

    def resume(self) -> None:
        self._process.resume()


def _counter(told: Mapping[str, Any], name: str) -> int:
    return int(told.get("counters", {}).get(name, 0))


@asynccontextmanager
async def lacuna(name: str, environment: Mapping[str, str], patient: bool) -> AsyncIterator[Lacuna]:
    """Starts a server with this environment, and ends it with the block."""
    async with connect(environment) as client:
        contestant = Lacuna(name, client, patient)
        try:
            yield contestant
        finally:
            contestant.resume()
