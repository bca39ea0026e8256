"""Results of the engine: candidates with a fill for each hole, and their metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lacuna_inference.api.request import StopReason, TokenLogprob


class Source(StrEnum):
    """Where a text comes from."""

    MODEL = "model"
    CANDIDATE = "candidate"
    """It is, or begins, a text elsewhere in the file that may fill the hole whole."""


@dataclass(frozen=True, slots=True)
class Fill:
    """The text for one hole. `mean_logprob` is in nats per token, 0 for an empty fill.

    `token_logprobs` are its tokens, with alternatives if they were requested; none where a server does not tell them.
    `suffix_logprob` is the log-probability in nats of the suffix's first tokens behind it, from left to right; None
    where they were not read.
    """

    text: str
    reason: StopReason
    tokens: int
    mean_logprob: float
    token_logprobs: tuple[TokenLogprob, ...] = ()
    source: Source = Source.MODEL
    suffix_logprob: float | None = None


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
    """The cost of an answer. Times are in seconds, everything else in tokens or forward passes.

    `reused_tokens` are the tokens of the prompt that were cached, less those that were read again for further fills and
    candidates. `evaluated_tokens` are all tokens that the model read. They include the `drafted_tokens`, of which
    `accepted_tokens` were correct.
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
    """How long the request had run when it was cancelled; None if it was answered."""
    forward: str = ""
    """The forward that ran the model: `own`, with how its steps were recorded if they were, or `transformers`."""
    whole: bool = True
    """Whether the prompt showed all of the text; otherwise the text is longer than the context."""
    narrow: bool = False
    """Whether the prompt showed only the lines at the cursor, because reading more would have taken long."""
    limit: int | None = None
    """Tokens of a fill that the context had room for, if more were requested."""
    layout: str = ""
    """The prompt's layout, `anchored` or `canonical`."""
    reading_speed: int = 0
    """How fast the engine reads prompts of late, in tokens per second; 0 if it is unknown."""


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """The answer to a request: at least one candidate, best first, except for a tokenize request."""

    candidates: tuple[Candidate, ...]
    metrics: RequestMetrics
    model: str
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """The prompt's tokens, if requested. The first has no log-probability: it is 0."""
