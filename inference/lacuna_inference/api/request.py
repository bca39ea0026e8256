"""What the engine is asked: text around holes, when to stop, how to choose tokens, and how to cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from lacuna_inference.text import without_surrogates

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
