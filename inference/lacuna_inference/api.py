"""The border of the engine: what is asked, what is answered, and how to wait, cancel and look at its state.

Imports nothing heavy: a server may import this module before it has answered `initialize`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

BUNDLED = "bundled"
"""Name of the model that is part of the package."""


MOST_NEARBY = 4
"""Other texts that a request may bring along; of more the last count."""


class CancelToken:
    """A flag that one thread sets and the decode loop reads between tokens."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()


class StopReason(StrEnum):
    """Why the text of a hole ends where it ends."""

    END_OF_HOLE = "end-of-hole"
    """The model closed the hole."""
    NEWLINE = "newline"
    """A single-line request reached the end of its line."""
    DEDENT = "dedent"
    """A block ended: a line stood further to the left than the block."""
    MAX_LINES = "max-lines"
    MAX_TOKENS = "max-tokens"
    CONTEXT_FULL = "context-full"
    STOP_STRING = "stop-string"
    """The answer came to one of the texts that it was asked to end before."""
    DEADLINE = "deadline"
    """Time was up; the text ends at a line's end, or where it was when the time was up twice."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop besides the model's own end-of-hole tokens.

    `dedent_below` is a width in columns: a line of the answer, not the first one, that is indented less ends it.
    `strings` end the answer before the first of them. `truncate_before` are regular expressions as of CodeGen's
    `truncate_before_pattern`; None does nothing.
    """

    max_tokens: int = 64
    single_line: bool = False
    dedent_below: int | None = None
    max_lines: int | None = None
    truncate_before: tuple[str, ...] | None = None
    strings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A token of an answer: its text, empty while a character is not whole, and its log-probability in nats.

    `alternatives` are the likeliest tokens in its place, itself among them perhaps, likeliest first.
    """

    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What is certain of an answer so far, behind what was told before: of which candidate, of which hole."""

    candidate: int
    hole: int
    token: Scored


@dataclass(frozen=True, slots=True)
class Request:
    """Text around one or several holes.

    `parts` are the texts between the holes: one part means "go on after it", two parts mean one hole, and so on.
    A request with the same `key` (a document, say) as an older one takes the older one's place.
    """

    parts: tuple[str, ...]
    path: str | None = None
    stop: Stop = field(default_factory=Stop)
    sampling: Sampling = field(default_factory=Sampling)
    candidates: int = 1
    key: str | None = None
    deadline_s: float | None = None
    """Seconds after which the text so far is answered, up to a line's end; None waits for all of it."""
    looks_ahead: bool = False
    """While nobody asks, compute what is likely asked next; needs a `key`."""
    settles: bool = False
    """The typist pauses: the hole may begin at the cursor from now on, as the model was trained."""
    nearby: tuple[str, ...] = ()
    """Texts that may say the same again, the likeliest last. They make an answer faster, and change nothing in it."""
    ahead: bool = False
    """Nobody waits for the answer: it is computed so that it is there when it is asked for."""
    ids: tuple[int, ...] | None = None
    """Token ids that are the prompt, as they are, instead of `parts`, of which there is one."""
    caller: str | None = None
    """Who asks. Where many wait, it is the turn of whoever has the fewest requests running."""
    distinct: bool = True
    """Candidates are ranked and told apart; else they are as many as were asked for, as they came."""
    alternatives: int | None = None
    """Each fill comes with its tokens and so many alternatives to each; None for neither."""
    tell: Callable[[Piece], None] | None = field(default=None, compare=False)
    """Called by the engine's thread with every piece of the answer as it becomes certain. Must not wait."""


@dataclass(frozen=True, slots=True)
class Fill:
    """The text for one hole. `mean_logprob` is in nats a token, 0 for an empty fill."""

    text: str
    reason: StopReason
    tokens: int
    mean_logprob: float
    scored: tuple[Scored, ...] = ()
    """Its tokens, when they were asked for."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One candidate: a fill for each hole, in order."""

    fills: tuple[Fill, ...]

    @property
    def text(self) -> str:
        """The text of the first hole."""
        return self.fills[0].text


@dataclass(frozen=True, slots=True)
class Counters:
    """What an answer cost. Times are in seconds, everything else in tokens or forward passes.

    `evaluated_tokens` are all that the model read, the `drafted_tokens` among them, of which `accepted_tokens` came
    true.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    evaluated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    generated_tokens: int = 0
    forward_passes: int = 0
    queued_s: float = 0.0
    first_token_s: float = 0.0
    total_s: float = 0.0
    cancelled_s: float | None = None
    """How long the request had run when a cancel took effect; None for one that was answered."""
    forward: str = ""
    """What ran the model: `own`, perhaps with how its steps were recorded, or `transformers`."""
    whole: bool = True
    """Whether the prompt showed all of the text; else it is longer than the context."""
    layout: str = ""
    """`anchored` or `canonical`: how the prompt was laid out."""


@dataclass(frozen=True, slots=True)
class Completions:
    """The answer to a request: at least one candidate, best first."""

    candidates: tuple[Completion, ...]
    counters: Counters
    model: str


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, where, and how. Sizes in tokens; `max_memory` as accelerate takes it ("0": "10GiB")."""

    model: str = BUNDLED
    device: str = "auto"
    dtype: str = "auto"
    family: str | None = None
    revision: str | None = None
    devices: tuple[str, ...] = ()
    """Several devices, by number or as torch names them; then `device` is not looked at."""
    spread: str = "replicas"
    """How several devices are used: `replicas` (a whole model on each), `tensor` (a part of each layer on each), or
    `layers` (some layers on each, by accelerate)."""
    device_map: str | None = None
    max_memory: dict[str, str] = field(default_factory=dict)
    trust_remote_code: bool = False
    context: int = 2048
    quantization: str = "none"
    """`int8` or `int4` for weights of eight or four bits, with the own forward on a CPU; or `none`."""
    forward: str = "auto"
    """`own`, `transformers`, or `auto`: the own one wherever it can run the model."""
    acceleration: str = "auto"
    """How the own forward's short steps are recorded: `graphs` (CUDA graphs), `compile` (torch.compile), `none`, or
    `auto`: graphs on a CUDA device."""
    layout: str = "auto"
    """`anchored`, `canonical` (see `prompt.families.Layout`), or `auto`: anchored while somebody types, and in every
    pause as the model was trained."""
    idle_unload_s: float | None = None
    """Seconds without a request after which the model is unloaded until the next one; None keeps it. Weights that the
    own forward had on a GPU wait in host memory, others are read from disk again."""
    draft_tokens: int | None = None
    """Most tokens of a draft; 0 for none, None for what suits device and forward."""
    batch: int = 8
    """Most requests that are answered side by side, in the same forward passes, as far as their caches fit."""


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
class EngineState:
    """Where the engine is. `progress` runs from 0 to 1 while loading; `message` says what is done or what failed."""

    phase: Phase
    progress: float = 0.0
    message: str = ""
    model: str = ""
    languages: tuple[str, ...] = ()
    """The languages that the model completes, by their editors' ids; empty for all, and while it is not known."""


class Engine(Protocol):
    """A model behind a queue. Every method returns at once; none raises for a model that is not ready."""

    @property
    def state(self) -> EngineState: ...

    def start(self) -> None:
        """Begins loading in the background. Does nothing when that has begun."""

    def submit(self, request: Request, cancel: CancelToken | None = None) -> Future[Completions]:
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
