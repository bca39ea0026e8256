"""The `Engine` protocol, a model behind a queue, and the engine's states."""

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
    """Unloaded after a long idle time; the next request loads it again."""
    UNREACHABLE = "unreachable"
    """The server that runs the model does not answer; the engine keeps retrying."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Properties of a loaded model. Sizes in tokens and bytes; unknown ones are 0 or "".

    `begin` and `end` are the spellings of the tokens that begin and end a text. `languages` are the editor language ids
    that the model completes; empty for all. With `shows_files`, prompts show the model a request's context files; with
    `mixes_files`, what they say is mixed into its answers, which costs next to nothing.
    `reading_speed` is in prompt tokens per second, as measured when the model was loaded.
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
    shows_files: bool = False
    mixes_files: bool = False
    reading_speed: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine's state. `progress` runs from 0 to 1 during loading; `message` says what happens or what failed."""

    phase: Phase
    progress: float = 0.0
    message: str = ""
    model: str = ""
    facts: ModelFacts = field(default_factory=ModelFacts)
    """Properties of the model, once it has been loaded."""


class Engine(Protocol):
    """A model behind a queue. Every method returns at once; none raises for a model that is not ready."""

    @property
    def state(self) -> EngineState: ...

    def start(self) -> None:
        """Starts loading in the background. Does nothing if already started."""

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[CompletionResult]:
        """Queues `request`.

        The future fails with `RequestCancelled` after `cancel`, with `EngineUnavailable` if the model failed to load or
        the engine was closed, and with another `LacunaError` if this request cannot be answered. A request that arrives
        while the model loads waits for it.
        """
        ...

    def read_ahead(self, request: Request, cancel: CancelToken, beside: bool = False) -> Future[bool]:
        """Reads a document's prompt into its prefix cache while nobody asks, in short steps. There is no answer.

        With one part, the text is whole and nobody knows the cursor; with two, it is between them. Only the last few
        documents are read, until a request has read them or `cancel`, and only once the model is loaded. An engine
        whose time others pay for reads nothing.

        A prompt that requests do not show yet is read `beside` theirs, which stays cached, if there is memory for it.
        The future tells whether nothing is left that this engine would read, or it was given up.
        """
        ...

    def watch(self, listener: Callable[[EngineState], None]) -> None:
        """Calls `listener` at once with the current state, and then with every new one, on any thread."""

    def close(self, timeout: float = 2.0) -> bool:
        """Cancels all requests and ends the thread; returns whether it ended within `timeout` seconds."""
        ...
