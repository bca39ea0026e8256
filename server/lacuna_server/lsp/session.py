"""The state of one client's session: settings, documents, engine, and the client's capabilities."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from lsprotocol import types

from lacuna_inference.api import Engine, Phase
from lacuna_inference.errors import LacunaError
from lacuna_server.core.admission import Rules, may_be_read
from lacuna_server.core.completer import Completer
from lacuna_server.core.service import Policy, Suggestions
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.experience import Experience, experience_file
from lacuna_server.lsp import capabilities
from lacuna_server.lsp.capabilities import Client
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.engine_supervisor import EngineSupervisor, MakeEngine, Validate, engine_settings
from lacuna_server.lsp.feedback import Feedback
from lacuna_server.lsp.folders import Folders
from lacuna_server.lsp.lifecycle import Lifecycle
from lacuna_server.lsp.other_files import OtherFiles
from lacuna_server.lsp.outcomes import OutcomesSeen
from lacuna_server.lsp.reading import at, number
from lacuna_server.settings import Settings
from lacuna_server.statistics import Latencies, Statistics, statistics_file

_ENGINE_END_S = 1.5
"""Seconds that the engine may take to end: less than the process may take."""


class Session:
    """The state of a connection. Used on the event loop only."""

    def __init__(
        self,
        settings: Settings,
        make_engine: MakeEngine,
        warnings: Sequence[str] = (),
        validate: Validate = lambda _: None,
    ) -> None:
        self.settings = self._started = settings
        """The settings of the first folder, which determine the engine."""
        self._of_folders: dict[str, Settings] = {}
        self.client = Client()
        self.folders = Folders()
        self.documents = Documents()
        self.lifecycle = Lifecycle()
        self.supervisor = EngineSupervisor(settings, make_engine, validate)
        self.statistics = Statistics(statistics_file() if settings.statistics else None)
        self.other_files = OtherFiles(self.documents, self._read_next, self._forget_answers)
        self.feedback = Feedback(self.statistics, self.documents)
        self.experience = Experience(experience_file() if settings.statistics else None)
        self.outcomes = OutcomesSeen(self.experience, self.documents)
        self.latencies = Latencies()
        self.snoozed_until = 0.0
        """On the monotonic clock, in seconds."""
        self.warnings = list(warnings)
        """Sentences about ignored settings; logged to the client once it is initialized."""
        self.refusals: list[str] = []
        """Why settings that need another engine were not applied; shown to the user."""
        self._reported = set(warnings)
        self._changing = asyncio.Lock()
        self._initial: Mapping[str, Any] = {}
        self._sent: Mapping[str, Any] = {}
        self._chosen: dict[str, Any] = {}
        """Settings chosen by a command; they are kept when the client sends others."""
        self._opened: deque[str] = deque(maxlen=2)
        """The last documents that were opened; the engine reads them once its model is there."""
        self.told_of_language = False
        """Whether the user was told that the model does not complete every language."""
        self.told_of_limit = False
        """Whether the user was told that answers of `max_tokens` do not fit into the model's context."""
        self.last: Suggestions | None = None
        """The latest answer, for `lacuna.explain`."""
        self.last_document = ""
        """The document that it is for."""

    @property
    def engine(self) -> Engine:
        return self.supervisor.engine

    @property
    def completer(self) -> Completer:
        return self.supervisor.completer

    def settings_at(self, uri_path: str) -> Settings:
        """The settings for a document: those of its folder."""
        return self._of_folders.get(self.folders.containing(uri_path) or "", self.settings)

    def rules_at(self, uri_path: str) -> Rules:
        """The rules for a document."""
        s = self.settings_at(uri_path)
        return Rules(
            automatic=s.mode == "automatic",
            off=s.mode == "off",
            snoozed=time.monotonic() < self.snoozed_until,
            languages=s.languages,
            exclude=s.exclude,
            max_characters=1024 * s.max_file_kib,
            in_comments=s.in_comments,
            in_strings=s.in_strings,
            model_languages=self.engine.state.facts.languages,
        )

    def snapshot(self, uri: str, position: types.Position) -> Snapshot | None:
        """The current text and cursor, or None for a document that is not open."""
        return self.documents.snapshot(uri, position, self._may_be_read)

    async def complete(self, snapshot: Snapshot, invoked: bool, rules: Rules | None = None) -> Suggestions:
        """What to show at the cursor; also stored as the `last` answer."""
        started = time.perf_counter()
        of_file, policy = self._how_to_complete(snapshot)
        rules = rules or of_file
        snapshot = await self.other_files.shown_in(snapshot)
        answer = self.last = await self.completer.complete(snapshot, rules, policy, invoked)
        self.last_document = snapshot.document_id
        self.other_files.reconsider(snapshot, answer.metrics)
        self.outcomes.await_outcome(snapshot, answer)
        if answer.texts:
            self.latencies.add(time.perf_counter() - started)
        return answer

    def opened(self, uri: str) -> None:
        """Notes that a document was opened: the engine reads it while nobody asks."""
        self._opened.append(uri)
        self.read_ahead()

    def read_ahead(self) -> None:
        """Has the engine read the documents that were opened last, if the model is there."""
        while self._opened and self.engine.state.phase is Phase.WARM:
            if (snapshot := self.snapshot(self._opened.popleft(), types.Position(0, 0))) is not None:
                snapshot = self.other_files.with_last(snapshot)
                self.completer.read_ahead(snapshot, *self._how_to_complete(snapshot))

    def look_around(self) -> None:
        """Indexes the workspace, if the model that is there is shown other files and the user wants that."""
        if not self.settings.other_files:
            self.other_files.stop()
        elif self.engine.state.phase is Phase.WARM:
            self.other_files.start(self.folders.paths(), self.engine.state.facts, self._may_be_read)

    async def _read_next(self, snapshot: Snapshot, beside: bool) -> bool:
        return await self.completer.read_next(snapshot, *self._how_to_complete(snapshot), beside)

    def _forget_answers(self) -> None:
        """Prompts show other files than before: answers that were given without them do not count."""
        self.completer.forget_answers()

    def _may_be_read(self, path: str) -> bool:
        return may_be_read(path, self.rules_at(path))

    def _how_to_complete(self, snapshot: Snapshot) -> tuple[Rules, Policy]:
        return self.rules_at(snapshot.uri_path), self._policy(self.settings_at(snapshot.uri_path))

    def initialize(self, params: Any) -> None:
        """Reads the client's capabilities, its folders and its initializationOptions from raw parameters."""
        self.client = capabilities.resolve(params)
        self.lifecycle.watch_parent(number(at(params, "processId")))
        if self.client.trusts_folders:
            self.folders.begin(params)
            self.folders.changed()
        if self.folders.settings_files():
            self.warnings.clear()  # they were about the file in the working folder, which may be one of these
            self._reported.clear()
        self._initial = _section(at(params, "initializationOptions")) or {}
        self.configure({})

    def configure(self, sent: Any, keep_engine: bool = False) -> bool:
        """Applies settings that an editor sent, bare or under `lacuna`, over those it started with.

        Returns whether that needed a new engine; with `keep_engine` it never does. Messages about ignored settings go
        to `warnings`, and a reason why the engine was not replaced to `refusals`.
        """
        if (values := _section(sent)) is None:
            return False
        self._sent = values
        before, policies = self.settings, self._policies()
        self.settings, self._of_folders, warnings = self._layered(values)
        if keep_engine:
            self._keep_engine_of(before)
        if takes_engine := engine_settings(self.settings) != engine_settings(before):
            try:
                self.supervisor.renew(self.settings)
            except LacunaError as error:
                self._keep_engine_of(before)
                takes_engine = False
                self.refusals.append(str(error))
        self.statistics.save()
        self.statistics.file = statistics_file() if self.settings.statistics else None
        self.experience.save()
        self.experience.file = experience_file() if self.settings.statistics else None
        self.look_around()
        self.other_files.choose_again()
        if self._policies() != policies:
            self.completer.forget_answers()
        self._add_warnings(warnings)
        return takes_engine

    async def reconfigure(self, sent: Any) -> bool:
        """Like `configure`, but does not replace a running engine by a model that cannot be loaded."""
        if (values := _section(sent)) is None:
            return False
        async with self._changing:
            refusal = await self.supervisor.obstacle(self.settings, self._layered(values)[0])
            if refusal is not None:
                self.refusals.append(refusal)
            return self.configure(values, keep_engine=refusal is not None)

    async def reread(self) -> bool:
        """Reads the settings files again; returns whether that needed a new engine."""
        return await self.reconfigure(self._sent)

    async def choose(self, name: str, value: Any) -> str | None:
        """Applies a setting that the user chose by a command; returns the reason if that is impossible."""
        if self.settings.is_pinned(name):
            return f"The setting {name!r} was given on the command line."
        new, warnings = self.settings.changed({name: value})
        if warnings:
            return warnings[0]
        async with self._changing:
            if refusal := await self.supervisor.obstacle(self.settings, new):
                return refusal
            self._chosen[name] = value
            self.configure(self._sent)
        return None

    def _layered(self, sent: Mapping[str, Any]) -> tuple[Settings, dict[str, Settings], list[str]]:
        """The settings of the first folder, those of each folder, and the warnings about them.

        Each folder's file is overridden by the settings that the editor started with, then by those it sent later and
        those chosen by a command.
        """
        files, warnings = self.folders.settings_files(), list[str]()
        layered = [self._started] if not files else []
        for _, file in files:
            settings, file_warnings = self._started.with_file(file)
            layered.append(settings)
            warnings += [f"{file}: {sentence}" if len(files) > 1 else sentence for sentence in file_warnings]
        for values in (self._initial, {**sent, **self._chosen}):
            changed = [settings.changed(values) for settings in layered]
            layered = [settings for settings, _ in changed]
            warnings += [sentence for _, sentences in changed for sentence in sentences]
        first = layered[0]
        of_folders = {folder: first.with_model_of(s, first) for (folder, _), s in zip(files, layered, strict=False)}
        for (_, file), settings in zip(files[1:], layered[1:], strict=True):
            if engine_settings(settings) != engine_settings(first):
                warnings.append(f"{file}: settings of the model count in the first folder only.")
        return first, of_folders, list(dict.fromkeys(warnings))

    def _policies(self) -> list[Policy]:
        return [self._policy(settings) for settings in (self.settings, *self._of_folders.values())]

    def _policy(self, s: Settings) -> Policy:
        return Policy(
            max_tokens=s.max_tokens,
            max_lines=s.max_lines,
            candidates=s.candidates,
            temperature=s.temperature,
            top_p=s.top_p,
            deadline_s=None if s.deadline_ms is None else s.deadline_ms / 1000,
            look_ahead=s.look_ahead,
            eagerness=s.eagerness,
            corrected=self.experience.corrected,
        )

    def _keep_engine_of(self, before: Settings) -> None:
        self.settings = before.with_model_of(self.settings, before)
        self._of_folders = {folder: before.with_model_of(s, before) for folder, s in self._of_folders.items()}

    def _add_warnings(self, warnings: Sequence[str]) -> None:
        """Adds the warnings that have not been reported yet."""
        self.warnings += [warning for warning in warnings if warning not in self._reported]
        self._reported.update(warnings)

    def end(self) -> None:
        """Must be called before the process ends. Gives the engine a moment to save what it keeps on the disk."""
        self.statistics.save()
        self.outcomes.see_all()
        if self.settings.kv_cache_disk_mb and self.settings.engine is None and self.engine.state.phase is Phase.WARM:
            self.engine.close(_ENGINE_END_S)


def _section(sent: Any) -> Mapping[str, Any] | None:
    """The settings that an editor sent, bare or under `lacuna`; None if there are none."""
    values = sent.get("lacuna", sent) if isinstance(sent, Mapping) else None
    return values if isinstance(values, Mapping) else None
