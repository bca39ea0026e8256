"""What one client's session holds: settings, documents, engine, and what the client can do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lsprotocol import types

from lacuna_inference.api import Engine
from lacuna_server.core.service import Answer, Policy
from lacuna_server.lsp import capabilities
from lacuna_server.lsp.capabilities import Client
from lacuna_server.lsp.documents import Documents
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
        self.complaints = list(complaints)
        """Sentences about settings that were left out; told to the client when it listens."""
        self._told = set(complaints)
        self.retired: list[Engine] = []
        """Engines whose place was taken; their memory must be free before the next one loads."""
        self.last: Answer | None = None
        """The answer that was given last, for `lacuna.explain`."""
        self.announced: Engine | None = None
        """The engine whose loading was shown last."""
        self.tasks: set[asyncio.Future[None]] = set()
        """Kept here, because the event loop holds its tasks only weakly."""

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
        before = self.settings.model_options()
        self.settings, complaints = self._base.changed(values)
        self.complaints += [c for c in complaints if c not in self._told]
        self._told.update(complaints)
        if self.settings.model_options() == before:
            return False
        self.engine.close(timeout=0)
        self.retired.append(self.engine)
        self.engine = self._make_engine(self.settings)
        return True
