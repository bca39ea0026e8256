"""Which answer the text after the cursor follows from: several are written, and the suffix is counted.

By Bayes' rule, what fills a hole is the text with the largest product of its own probability and that of the suffix
behind it. So a model that reads from left to right alone learns of the suffix (the reranking of Fried et al., 2022,
arXiv 2204.05999), and a chat-tuned one, which hardly ever closes a hole, ends it where the line goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from lacuna_inference.api import StopReason
from lacuna_inference.decoding.hole import Hole
from lacuna_inference.decoding.surroundings import Surroundings
from lacuna_inference.decoding.syntax import open_brackets
from lacuna_inference.decoding.trace import Ending, Trace, endings, own_ending
from lacuna_inference.decoding.writer import Begin, HoleWriter
from lacuna_inference.forward import Steps

SUFFIX_TOKENS = 12
"""Tokens of the suffix that are read behind an answer; further ones hardly depend on it."""
_SUFFIX_CODE_POINTS = 160
MAX_WRITTEN = 5
"""Answers that are written at most; most are the same as another up to a few tokens."""
MAX_READ = 5
"""Answers behind which the suffix is read at most."""
BEHIND = 3.0
"""How much less likely than the likeliest an answer may be by itself, in nats, that the suffix may prefer."""
_CUT_SHORT = frozenset({StopReason.DEADLINE, StopReason.CONTEXT_FULL, StopReason.STOP_STRING})


@dataclass(frozen=True, slots=True)
class SuffixChoice:
    """Fills the hole after the prompt `ids`, before the text `after`, of which `suffix` are the first tokens.

    A model that does not see the suffix `reads` it behind each answer. Another has seen it in the prompt: the next
    token tells it.
    """

    writer: HoleWriter
    ids: Sequence[int]
    around: Surroundings
    suffix: Sequence[int]
    reads: bool
    begin: Begin

    def write(self) -> Steps[tuple[Hole, float | None]]:
        """The hole with the best answer; and the log-probability of the suffix behind it in nats, if it was read.

        Raises RequestCancelled between two tokens.
        """
        found = yield from self._answers()
        first, likely = found[0].hole, self._likeliest(found)
        if not likely or first.reason in _CUT_SHORT:
            return first, None
        if not self.reads or len(likely) == 1 or self._is_late():
            return _ended(likely[0]), None
        scored = list[tuple[float, Ending]]()
        for ending in likely:
            scored.append(((yield from self._suffix_logprob(ending)), ending))
        suffix_logprob, best = max(scored, key=lambda one: one[0] + one[1].logprob)
        return _ended(best), suffix_logprob

    def _answers(self) -> Steps[list[Ending]]:
        """Answers with different texts, the likeliest token by token first.

        Each is only written while it alone is likelier than one that has been found with its end, or not much less
        likely if the suffix is read: it cannot become likelier.
        """
        found, begun = list[Ending](), [Trace(self.suffix[0])]
        margin = BEHIND if self.reads else 0.0
        for _ in range(MAX_WRITTEN):
            if not begun:
                break
            trace = max(begun, key=Trace.joint)
            best = max((ending.logprob for ending in found if ending.text.strip()), default=-math.inf) - margin
            if found and (trace.joint() <= best or self._is_late()):
                break
            begun.remove(trace)
            hole, choose = self.begin()
            yield from self.writer.write(hole, self.ids, choose, trace, partial(self._is_beaten, hole, trace, best))
            if hole.reason not in _CUT_SHORT or not found:
                found += [end for end in self._endings(hole, trace) if all(end.text != other.text for other in found)]
            if hole.reason in _CUT_SHORT:
                break
            begun += trace.branches(hole)
        return found

    def _endings(self, hole: Hole, trace: Trace) -> Iterator[Ending]:
        if hole.reason in _CUT_SHORT or not self.around.rest.strip():
            return iter([own_ending(hole, trace)])
        return endings(hole, trace, self._may_end)

    def _is_beaten(self, hole: Hole, trace: Trace, best: float) -> bool:
        """Whether what is in `hole` is less likely than `best`, or than itself with an earlier end."""
        if not self.around.rest.strip():
            return trace.joint() <= best
        found = (ending.logprob for ending in endings(hole, trace, self._may_end))
        return trace.joint() <= max(best, max(found) - (BEHIND if self.reads else 0.0))

    def _likeliest(self, found: Sequence[Ending]) -> list[Ending]:
        """Those of `found` that may be the best, the likeliest first."""
        texts = sorted((end for end in found if end.text.strip()), key=lambda end: end.logprob, reverse=True)
        return [end for end in texts[:MAX_READ] if end.logprob >= texts[0].logprob - BEHIND]

    def _may_end(self, before: str, behind: str) -> bool:
        """Whether an answer may be `before` without `behind`: no word is cut, and no bracket or string is left open."""
        if before[-1].isspace() or (_is_word(before[-1]) and (_is_word(behind[0]) or _is_word(self.around.rest[0]))):
            return False
        scan = self.around.syntax.scan(before, self.around.inside)
        return scan.inside == self.around.inside and open_brackets(scan.marks) == ([], [])

    def _suffix_logprob(self, ending: Ending) -> Steps[float]:
        writer, following = self.writer, list(self.suffix)
        ids = [*self.ids, *ending.hole.prompt_ids(ending.length)]
        logits = yield from writer.cache.logits_along(ids, following, writer.state.cancel)
        logprobs = logits[:, : writer.tokenizer.size].float().log_softmax(-1)
        return float(logprobs.gather(1, torch.tensor(following, device=logprobs.device)[:, None]).sum())

    def _is_late(self) -> bool:
        deadline = self.writer.state.request.deadline_s
        return not self.writer.cache.rolls_back or (deadline is not None and self.writer.state.elapsed_s >= deadline)


def first_tokens(after: str, encode: Callable[[str], list[int]]) -> list[int]:
    """The first tokens of a suffix."""
    return encode(after[:_SUFFIX_CODE_POINTS])[:SUFFIX_TOKENS]


def _ended(ending: Ending) -> Hole:
    ending.hole.end_at(ending.length)
    return ending.hole


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
