"""An engine: a model behind a queue, and its states."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from lacuna_inference.api.request import CancelToken, Request
from lacuna_inference.api.result import CompletionResult


class Phase(StrEnum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"
    ASLEEP = "asleep"
    """Unloaded because nobody asked for long; a request wakes it."""
    UNREACHABLE = "unreachable"
    """The server that runs the model does not answer; it is tried again."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a loaded model is, for those who are asked. Sizes in tokens and bytes; 0 and "" for what is not known.

    `begin` and `end` are how the first and the last token of a text are spelt. `languages` are those that the model
    completes, by their editors' ids; empty for all.
    """

    family: str = ""
    architecture: str = ""
    parameters: int = 0
    weight_bytes: int = 0
    dtype: str = ""
    context: int = 0
    vocabulary: int = 0
    begin: str = ""
    end: str = ""
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineState:
    """Where the engine is. `progress` runs from 0 to 1 while loading; `message` says what is done or what failed."""

    phase: Phase
    progress: float = 0.0
    message: str = ""
    model: str = ""
    facts: ModelFacts = field(default_factory=ModelFacts)
    """Of the model, from the time that it is loaded."""


class Engine(Protocol):
    """A model behind a queue. Every method returns at once; none raises for a model that is not ready."""

    @property
    def state(self) -> EngineState: ...

    def start(self) -> None:
        """Begins loading in the background. Does nothing when that has begun."""

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        """Queues `request`.

        The future fails with `RequestCancelled` after `cancel`, with `EngineUnavailable` when the model failed to
        load or the engine was closed, and with another `LacunaError` when this request cannot be answered. A
        request that comes while the model loads waits for it.
        """
        ...

    def watch(self, listener: Callable[[EngineState], None]) -> None:
        """Calls `listener` with every new state, and at once with the present one, on any thread."""

    def close(self, timeout: float = 2.0) -> bool:
        """Cancels everything and ends the thread; whether it ended within `timeout` seconds."""
        ...
