"""Requests to the engine: text around holes, stop rules, sampling, and cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from enum import StrEnum

from lacuna_inference.text import without_surrogates

MAX_RELATED_FILES = 4
"""Related files that a request may have; if there are more, the last ones count."""


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
        """Calls `callback` once, on the thread that cancels; at once if already cancelled."""
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
    """A block ended: a line was indented less than the block."""
    OUTSIDE = "outside"
    """What follows is not in the hole: the text after the cursor again, what that text closes, or an explanation."""
    MAX_LINES = "max-lines"
    MAX_TOKENS = "max-tokens"
    CONTEXT_FULL = "context-full"
    STOP_STRING = "stop-string"
    """One of the stop strings was generated; the text ends before it."""
    DEADLINE = "deadline"
    """The deadline passed; the text ends at a line's end, or anywhere after twice the deadline."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop besides the model's own end-of-hole tokens. `max_tokens` may be 0, `max_lines` is at least 1.

    `dedent_below` is a width in columns: a line after the first that is indented less ends the answer. `strings` are
    stop strings. `truncate_before` are regular expressions for CodeGen's `truncate_before_pattern`; None disables it.
    `outside` ends an answer between two texts where it leaves its hole (`StopReason.OUTSIDE`).
    """

    max_tokens: int = 64
    single_line: bool = False
    dedent_below: int | None = None
    max_lines: int | None = None
    truncate_before: tuple[str, ...] | None = None
    strings: tuple[str, ...] = ()
    outside: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "strings", tuple(map(without_surrogates, self.strings)))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. Temperature 0 is greedy; neither it nor the seed may be negative.

    Otherwise a token is drawn from the likeliest whose probabilities add up to `top_p`, at most `top_k` if that is not
    0, each with at least `min_p` times the probability of the likeliest.

    First, `logit_bias` is added to the logits of its token ids. From those of tokens generated before,
    `presence_penalty` is subtracted once, and `frequency_penalty` once for each occurrence.
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
        """Whether the logits are changed before a token is chosen."""
        return bool(self.logit_bias or self.presence_penalty or self.frequency_penalty)


class Raw(StrEnum):
    """Whether a text is a raw prompt, built by the caller: the model's sentinels in it are recognized, and there is no
    layout and no token healing. Only the token that begins a text is prepended if it is missing."""

    NO = "no"
    SENTINELS = "sentinels"
    """Raw if it contains one of the model's sentinels."""
    YES = "yes"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token: its text, empty while a character is incomplete, and its log-probability in nats.

    `top_logprobs` are the likeliest tokens at its position, the likeliest first; they may include the token itself.
    """

    text: str
    logprob: float
    top_logprobs: tuple[tuple[str, float], ...] = ()
    id: int | None = None
    """The token's id, if requested."""


@dataclass(frozen=True, slots=True)
class TokenizeOptions:
    """Tokenize only. `specials`: recognize special tokens in the text. `begin`: prepend the model's first tokens."""

    specials: bool = True
    begin: bool = False


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """The next token of an answer that can no longer be cut, with the index of its candidate and its hole."""

    candidate: int
    hole: int
    token: TokenLogprob


@dataclass(frozen=True, slots=True)
class ContextFile:
    """Another file, or a part of one, that a prompt shows. `path` is relative to the repository."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """Text around one or more holes.

    `parts` are the texts around the holes: one part means "continue it", two parts mean one hole, and so on.
    Lone surrogates in texts and the path are replaced by U+FFFD.
    A request replaces an older one with the same `document_id`.
    """

    parts: tuple[str, ...]
    path: str | None = None
    stop: Stop = field(default_factory=Stop)
    sampling: Sampling = field(default_factory=Sampling)
    candidates: int = 1
    document_id: str | None = None
    deadline_s: float | None = None
    """Seconds after which the text so far is returned, up to a line's end; None for no deadline."""
    prefetch_next: bool = False
    """Compute the likely next request while the engine is idle; needs a `document_id`."""
    relayout_on_pause: bool = False
    """The user pauses: from now on the hole may begin at the cursor, as the model was trained."""
    may_be_narrow: bool = False
    """The prompt may show less of the text, if reading as much as fits would take long. The rest is read while idle,
    and shown once it is. Needs a `document_id` and two parts."""
    related_files: tuple[str, ...] = ()
    """Texts that drafts may come from, the most relevant last. They make an answer faster, and never change it."""
    context_files: tuple[ContextFile, ...] = ()
    """What is known of other files, the most relevant last, for a request with at most one hole. A model is shown them
    in the form that it was trained with, or else as ordinary text; what takes more than a quarter of the prompt is left
    out, the first first. Into the bundled model's answers they are mixed instead, as the rest of the file is."""
    repository: str | None = None
    """The name of the repository that the files are from."""
    keeps_files: bool = False
    """Show what the document's last prompt showed of other files, also before a restart, if that is known."""
    is_prefetch: bool = False
    """The answer is computed in advance; no caller waits for it."""
    raw: Raw = Raw.NO
    """Whether the only part is a raw prompt."""
    ids: tuple[int, ...] | None = None
    """The prompt's token ids, used as they are instead of the only part."""
    prompt_logprobs: int | None = None
    """Return the tokens of the prompt, which must be `raw` or `ids`, each with this number of alternatives."""
    tokenize: TokenizeOptions | None = None
    """Only tokenize: the result has no candidates, and the tokens of the only part, or of `ids`, as its prompt's."""
    caller: str | None = None
    """Who sent the request. If many wait, the caller with the fewest running requests is served next."""
    distinct: bool = True
    """Rank the candidates and drop duplicates; otherwise return all in the order they were generated."""
    top_logprobs: int | None = None
    """Return this number of alternatives for each token of a fill. With any number, none is the rest of an earlier
    answer, so every token is whole."""
    on_token: Callable[[StreamEvent], None] | None = field(default=None, compare=False)
    """Called on the engine's thread for each token of the answer that can no longer be cut. Must not block."""

    def __post_init__(self) -> None:
        """Replaces lone surrogates, which editors and files may contain and tokenizers and servers reject."""
        object.__setattr__(self, "parts", tuple(map(without_surrogates, self.parts)))
        object.__setattr__(self, "related_files", tuple(map(without_surrogates, self.related_files)))
        files = tuple(ContextFile(*map(without_surrogates, astuple(file))) for file in self.context_files)
        object.__setattr__(self, "context_files", files)
        object.__setattr__(self, "repository", self.repository and without_surrogates(self.repository))
        object.__setattr__(self, "path", self.path and without_surrogates(self.path))
