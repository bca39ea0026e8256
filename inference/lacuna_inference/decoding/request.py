"""One request, from the moment it is queued until it is answered. Imports nothing heavy, for the scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from lacuna_inference.api import CancelToken, CompletionResult, ContextFile, Request
from lacuna_inference.cache.counts import TokenCounts


@dataclass(slots=True, eq=False, weakref_slot=True)
class RequestState:
    """A request, the future of its caller, and how far the answer is. Times are `perf_counter` seconds.

    The scheduler sets the first fields, the decode loop the others; only the engine's thread writes them once it runs.
    """

    request: Request
    cancel: CancelToken
    in_background: bool = False
    """Nobody waits for it: it was queued by the engine itself."""
    reads_ahead: bool = False
    """Its prompt is only read."""
    beside: bool = False
    """The prompt is not the one that requests show now."""
    future: Future[CompletionResult] = field(default_factory=Future)
    queued_at: float = field(default_factory=time.perf_counter)
    turn: int = 0
    """Its document's position in the queue: the smallest has waited longest for an answer."""
    concurrency: Callable[[], int] = lambda: 1
    """Number of requests in the current batch."""
    started_at: float = 0.0
    first_token_s: float = 0.0
    """Seconds from the start to the first token; 0 until then."""
    counts: TokenCounts = field(default_factory=TokenCounts)
    candidate: int = 0
    """The candidate that is being generated."""
    hole: int = 0
    """The hole that is being filled."""
    prompt_is_whole: bool = True
    """Whether the prompts showed all of the text."""
    prompt_is_narrow: bool = False
    files: tuple[ContextFile, ...] = ()
    """What is known of other files."""
    token_limit: int | None = None
    """Tokens that the context had room for in a hole, where more were requested."""

    def start(self) -> None:
        """The engine begins to work on it."""
        self.started_at = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started_at

    def on_first_token(self) -> None:
        """Notes the time of the first token; later ones change nothing."""
        if not self.first_token_s:
            self.first_token_s = self.elapsed_s
