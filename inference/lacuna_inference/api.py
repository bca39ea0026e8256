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

from lacuna_inference.text import without_surrogates

BUNDLED = "bundled"
"""Name of the model that is part of the package."""


MAX_RELATED_FILES = 4
"""Other texts that a request may bring along; of more the last count."""


class CancelToken:
    """A flag that one thread sets and the decode loop reads between tokens."""

    __slots__ = ("_callbacks", "_cancelled", "_lock")

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Has `callback` called once, by the thread that cancels; at once when that has happened already."""
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()


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
    """When to stop besides the model's own end-of-hole tokens. `max_tokens` may be 0, `max_lines` is 1 at least.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "strings", tuple(map(without_surrogates, self.strings)))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. Temperature 0 is greedy; neither it nor the seed may be negative.

    Else among the likeliest that have the share `top_p` together, at most `top_k` where that is not 0, each with at
    least `min_p` of the likeliest's probability.

    Before it is, `logit_bias` is added to the logits of token ids, `presence_penalty` taken from those of tokens that
    were written, and `frequency_penalty` as often as each was.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    top_k: int = 0
    min_p: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def adjusts_logits(self) -> bool:
        """Whether anything is done to the logits before a token is chosen."""
        return bool(self.logit_bias or self.presence_penalty or self.frequency_penalty)


class Raw(StrEnum):
    """Whether a text is a prompt that the caller built: the model's sentinels in it count, and nothing is moved, added
    or spelt again. Only the token that a text begins with is put before it where it is missing."""

    NO = "no"
    SENTINELS = "sentinels"
    """It is, if one of the model's sentinels stands in it."""
    YES = "yes"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer: its text, empty while a character is not whole, and its log-probability in nats.

    `alternatives` are the likeliest tokens in its place, itself among them perhaps, likeliest first.
    """

    text: str
    logprob: float
    top_logprobs: tuple[tuple[str, float], ...] = ()
    id: int | None = None
    """Which token of the model's vocabulary it is, where that was asked for."""


@dataclass(frozen=True, slots=True)
class TokenizeOptions:
    """Only tokenise. `specials` that are spelt in a text count; `begin` puts the model's beginning before it."""

    specials: bool = True
    begin: bool = False


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What is certain of an answer so far, behind what was told before: of which candidate, of which hole."""

    candidate: int
    hole: int
    token: TokenLogprob


@dataclass(frozen=True, slots=True)
class Request:
    """Text around one or several holes.

    `parts` are the texts between the holes: one part means "go on after it", two parts mean one hole, and so on.
    In texts and path a lone surrogate is read as U+FFFD.
    A request with the same `key` (a document, say) as an older one takes the older one's place.
    """

    parts: tuple[str, ...]
    path: str | None = None
    stop: Stop = field(default_factory=Stop)
    sampling: Sampling = field(default_factory=Sampling)
    candidates: int = 1
    document_id: str | None = None
    deadline_s: float | None = None
    """Seconds after which the text so far is answered, up to a line's end; None waits for all of it."""
    prefetch_next: bool = False
    """While nobody asks, compute what is likely asked next; needs a `key`."""
    relayout_on_pause: bool = False
    """The typist pauses: the hole may begin at the cursor from now on, as the model was trained."""
    related_files: tuple[str, ...] = ()
    """Texts that may say the same again, the likeliest last. They make an answer faster, and change nothing in it."""
    is_prefetch: bool = False
    """Nobody waits for the answer: it is computed so that it is there when it is asked for."""
    raw: Raw = Raw.NO
    """Whether the one part is a prompt that the caller built."""
    ids: tuple[int, ...] | None = None
    """Token ids that are the prompt, as they are, instead of `parts`, of which there is one."""
    prompt_logprobs: int | None = None
    """The answer comes with the tokens of its prompt, which is `raw` or `ids`, and so many alternatives to each."""
    tokenize: TokenizeOptions | None = None
    """Nothing is written: the answer has no candidates, and in `prompt` the tokens of the one part, or of `ids`."""
    caller: str | None = None
    """Who asks. Where many wait, it is the turn of whoever has the fewest requests running."""
    distinct: bool = True
    """Candidates are ranked and told apart; else they are as many as were asked for, as they came."""
    top_logprobs: int | None = None
    """Each fill comes with its tokens and so many alternatives to each; None for neither."""
    on_token: Callable[[StreamEvent], None] | None = field(default=None, compare=False)
    """Called by the engine's thread with every piece of the answer as it becomes certain. Must not wait."""

    def __post_init__(self) -> None:
        """Texts come from editors and files, and no tokenizer and no wire takes half of a surrogate pair."""
        object.__setattr__(self, "parts", tuple(map(without_surrogates, self.parts)))
        object.__setattr__(self, "related_files", tuple(map(without_surrogates, self.related_files)))
        object.__setattr__(self, "path", self.path and without_surrogates(self.path))


@dataclass(frozen=True, slots=True)
class Fill:
    """The text for one hole. `mean_logprob` is in nats a token, 0 for an empty fill."""

    text: str
    reason: StopReason
    tokens: int
    mean_logprob: float
    token_logprobs: tuple[TokenLogprob, ...] = ()
    """Its tokens, when they were asked for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate: a fill for each hole, in order."""

    fills: tuple[Fill, ...]

    @property
    def text(self) -> str:
        """The text of the first hole."""
        return self.fills[0].text


@dataclass(frozen=True, slots=True)
class RequestMetrics:
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
    limit: int | None = None
    """Tokens of a fill that the context had room for, where more were asked for."""
    layout: str = ""
    """`anchored` or `canonical`: how the prompt was laid out."""


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """The answer to a request: at least one candidate, best first, unless only tokens were asked for."""

    candidates: tuple[Candidate, ...]
    metrics: RequestMetrics
    model: str
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """The prompt's tokens, where they were asked for. Of the first nobody can say how likely it was: 0."""


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
