"""What one client's session holds: settings, documents, engine, and what the client can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lsprotocol import types

from lacuna_inference.api import Engine
from lacuna_server.core.admission import Rules, may_be_read
from lacuna_server.core.completer import Completer
from lacuna_server.core.service import Answer, Policy
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.core.statistics import Latencies, Statistics, statistics_file
from lacuna_server.lsp import capabilities
from lacuna_server.lsp.capabilities import Client
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.feedback import Feedback
from lacuna_server.lsp.lifecycle import Lifecycle
from lacuna_server.settings import Settings

MakeEngine = Callable[[Settings], Engine]


class Session:
    """State of the connection. Touched on the event loop only."""

    def __init__(self, settings: Settings, make_engine: MakeEngine, complaints: Sequence[str] = ()) -> None:
        self.settings = self._base = settings
        self.client = Client()
        self.documents = Documents()
        self.lifecycle = Lifecycle()
        self._make_engine = make_engine
        self.engine = make_engine(settings)
        self.completer = Completer(self.engine)
        self.statistics = Statistics(statistics_file() if settings.statistics else None)
        self.feedback = Feedback(self.statistics, self.documents)
        self.latencies = Latencies()
        self.snoozed_until = 0.0
        """On the monotonic clock, in seconds."""
        self.complaints = list(complaints)
        """Sentences about settings that were left out; told to the client when it listens."""
        self._told = set(complaints)
        self._sent: Mapping[str, Any] = {}
        self._chosen: dict[str, Any] = {}
        """Settings that were chosen by a command; they stay when the client sends others."""
        self.retired: list[Engine] = []
        """Engines whose place was taken; their memory must be free before the next one loads."""
        self.last: Answer | None = None
        """The answer that was given last, for `lacuna.explain`."""
        self.healed = 0
        """How often an engine was started in the place of one that ended."""
        self.announced: Engine | None = None
        """The engine whose loading was shown last."""
        self.loading: asyncio.Task[None] | None = None
        """The task that loads the engine and watches it."""

    @property
    def policy(self) -> Policy:
        s = self.settings
        return Policy(
            max_tokens=s.max_tokens,
            max_lines=s.max_lines,
            candidates=s.candidates,
            temperature=s.temperature,
            top_p=s.top_p,
            deadline_s=None if s.deadline_ms is None else s.deadline_ms / 1000,
            look_ahead=s.look_ahead,
        )

    @property
    def rules(self) -> Rules:
        s = self.settings
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
        """Text and cursor as they are now, or None for a document that is not open."""
        rules = self.rules
        return self.documents.snapshot(uri, position, lambda place: may_be_read(place, rules))

    async def complete(self, snapshot: Snapshot, invoked: bool, rules: Rules | None = None) -> Answer:
        """What to show at the cursor; it is also the `last` answer."""
        started = time.perf_counter()
        answer = self.last = await self.completer.complete(snapshot, rules or self.rules, self.policy, invoked)
        if answer.suggestions:
            self.latencies.add(time.perf_counter() - started)
        return answer

    def initialize(self, params: types.InitializeParams) -> None:
        """Takes over what the client says of itself and its initializationOptions."""
        self.client = capabilities.resolve(params)
        self.lifecycle.watch_parent(params.process_id)
        self.configure(params.initialization_options)
        self._base = self.settings

    def configure(self, sent: Any) -> bool:
        """Applies settings that an editor sent, bare or under `lacuna`, over those it started with.

        Returns whether that took a new engine. What does not fit is collected in `complaints`.
        """
        values = sent.get("lacuna", sent) if isinstance(sent, Mapping) else None
        if not isinstance(values, Mapping):
            return False
        before = self._of_the_engine()
        self._sent, policy = values, self.policy
        self.settings, complaints = self._base.changed({**values, **self._chosen})
        self.statistics.save()
        self.statistics.file = statistics_file() if self.settings.statistics else None
        if self.policy != policy:
            self.completer.forget_answers()
        self.complaints += [c for c in complaints if c not in self._told]
        self._told.update(complaints)
        if self._of_the_engine() == before:
            return False
        self.renew_engine()
        return True

    def _of_the_engine(self) -> tuple[object, ...]:
        """What an engine is made of: where it changes, another must take its place."""
        return self.settings.model_options(), self.settings.engine, self.settings.engine_kind

    def choose(self, name: str, value: Any) -> str | None:
        """Takes a setting that a user chose by a command; or says why that cannot be."""
        if self.settings.is_pinned(name):
            return f"The setting {name!r} was given on the command line."
        _, complaints = self.settings.changed({name: value})
        if complaints:
            return complaints[0]
        self._chosen[name] = value
        self.configure(self._sent)
        return None

    def end(self) -> None:
        """What is to be done before the process ends."""
        self.statistics.save()

    def renew_engine(self) -> None:
        """Puts a new engine in the place of the old one, whose memory is freed before this one loads."""
        self.engine.close(timeout=0)
        self.retired.append(self.engine)
        self.engine = self._make_engine(self.settings)
        self.completer = Completer(self.engine)
