"""Tokens a second of whole answers: the same decode loop around each forward, with drafts and without."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lacuna_inference.api import CancelToken, CompletionResult, ModelOptions, Request, Stop
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.engine import assemble
from lacuna_inference.forward import Forward
from lacuna_lab.bench import llama_cpp
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import HoleKind, cut

_KINDS = (HoleKind.REST_OF_LINE, HoleKind.WHOLE_LINE)


@dataclass(frozen=True, slots=True)
class AnswersRow:
    """A contestant's figures over all answers: `tokens` behind the first of each answer, and the time for them.

    `ratio` is its speed over the first contestant's; `same_text` the share of answers that are equal to that one's.
    """

    name: str
    answers: int
    tokens: int
    tokens_per_s: float
    tokens_per_pass: float
    ratio: float
    same_text: float


def requests(files: Sequence[SourceFile], per_file: int, max_tokens: int, seed: int) -> list[Request]:
    """Requests for a line, at random places of `files`."""
    rng = random.Random(seed)
    holes = [cut(file, kind, rng) for file in files for kind in _KINDS for _ in range(per_file)]
    stop = Stop(max_tokens, single_line=True)
    return [Request((hole.prefix, hole.suffix), hole.file.name, stop) for hole in holes if hole is not None]


def contestants(options: ModelOptions, llama_files: Sequence[Path], by_transformers: bool = True) -> dict[str, Decoder]:
    """Decoders of one model that differ in what runs it, and whether it drafts."""
    loaded = assemble.load_model(replace(options, forward="own"), lambda *_: None)
    own = loaded.decoder

    def around(forward: Forward | None, max_draft_tokens: int = 0) -> Decoder:
        assert forward is not None
        return replace(
            own,
            caches=PrefixCachePool(forward),
            max_draft_tokens=max_draft_tokens,
            reuse=SuggestionReuse(),
            anchors=Anchors(),
        )

    found = {"own": around(loaded.forward), "own, drafts": around(loaded.forward, own.max_draft_tokens)}
    for file in llama_files:
        found[f"llama.cpp {file.stem}"] = around(llama_cpp.LlamaForward(llama_cpp.load(file, own.context)))
    if by_transformers:
        library = assemble.load_model(replace(options, forward="transformers"), lambda *_: None)
        found["transformers"] = around(library.forward)
    return found


def measure(decoders: Mapping[str, Decoder], asked: Sequence[Request]) -> list[AnswersRow]:
    """A row for each decoder; they take turns, request by request."""
    found: dict[str, list[CompletionResult]] = {name: [] for name in decoders}
    names = list(decoders)
    for number, request in enumerate(asked):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(answer(decoders[name], name, request, CancelToken(), time.perf_counter()))
    rows: list[AnswersRow] = []
    for name, answers in found.items():
        rows.append(_row(name, answers, found[names[0]], rows[0].tokens_per_s if rows else None))
    return rows


def table(rows: Sequence[AnswersRow]) -> Iterator[str]:
    """The rows as a Markdown table, line by line."""
    yield "| forward | answers | tokens | tokens/s | tokens a pass | to the first | same text |"
    yield "| --- " * 7 + "|"
    for row in rows:
        yield (
            f"| {row.name} | {row.answers} | {row.tokens} | {row.tokens_per_s:.0f} | {row.tokens_per_pass:.2f} "
            f"| {row.ratio:.2f} | {100 * row.same_text:.0f} % |"
        )


def _row(
    name: str, answers: Sequence[CompletionResult], first: Sequence[CompletionResult], speed: float | None
) -> AnswersRow:
    counted = [found.metrics for found in answers if found.metrics.generated_tokens]
    tokens = sum(counters.generated_tokens - 1 for counters in counted)
    taken = sum(counters.total_s - counters.first_token_s for counters in counted)
    passes = sum(counters.forward_passes for counters in counted)
    per_second = tokens / taken if taken else 0.0
    return AnswersRow(
        name=name,
        answers=len(answers),
        tokens=tokens,
        tokens_per_s=per_second,
        tokens_per_pass=(tokens + len(counted)) / passes if passes else 0.0,
        ratio=per_second / speed if speed else 1.0,
        same_text=sum(_text(a) == _text(b) for a, b in zip(answers, first, strict=True)) / len(answers),
    )


def _text(found: CompletionResult) -> str:
    return found.candidates[0].text
