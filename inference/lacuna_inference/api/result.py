"""What the engine answers: candidates with a fill for each hole, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.api.request import StopReason, TokenLogprob


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
