"""Tokens per second over whole answers: the same decoding loop around each forward, with and without prompt lookup."""

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
    """A contestant's figures over all answers. `tokens` counts those after the first of each answer.

    `ratio` is its speed over the first contestant's, `same_text` the share of answers equal to the first contestant's.
    """

    name: str
    answers: int
    tokens: int
    tokens_per_s: float
    tokens_per_pass: float
    ratio: float
    same_text: float


def requests(files: Sequence[SourceFile], per_file: int, max_tokens: int, seed: int) -> list[Request]:
    """Requests for a line, at random positions in `files`."""
    rng = random.Random(seed)
    holes = [cut(file, kind, rng) for file in files for kind in _KINDS for _ in range(per_file)]
    stop = Stop(max_tokens, single_line=True)
    return [Request((hole.prefix, hole.suffix), hole.file.name, stop) for hole in holes if hole is not None]


def contestants(options: ModelOptions, llama_files: Sequence[Path], by_transformers: bool = True) -> dict[str, Decoder]:
    """Decoders of one model that differ in the forward, and in whether they draft."""
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

    decoders = {"own": around(loaded.forward), "own, drafts": around(loaded.forward, own.max_draft_tokens)}
    for file in llama_files:
        decoders[f"llama.cpp {file.stem}"] = around(llama_cpp.LlamaForward(llama_cpp.load(file, own.context)))
    if by_transformers:
        library = assemble.load_model(replace(options, forward="transformers"), lambda *_: None)
        decoders["transformers"] = around(library.forward)
    return decoders


def measure(decoders: Mapping[str, Decoder], requests: Sequence[Request]) -> list[AnswersRow]:
    """A row for each decoder. They take turns, request by request."""
    results: dict[str, list[CompletionResult]] = {name: [] for name in decoders}
    names = list(decoders)
    for number, request in enumerate(requests):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            results[name].append(answer(decoders[name], name, request, CancelToken(), time.perf_counter()))
    rows: list[AnswersRow] = []
    for name, answers in results.items():
        rows.append(_row(name, answers, results[names[0]], rows[0].tokens_per_s if rows else None))
    return rows


def table(rows: Sequence[AnswersRow]) -> Iterator[str]:
    """The rows as a Markdown table, line by line."""
    yield "| forward | answers | tokens | tokens/s | tokens per pass | to the first | same text |"
    yield "| --- " * 7 + "|"
    for row in rows:
        yield (
            f"| {row.name} | {row.answers} | {row.tokens} | {row.tokens_per_s:.0f} | {row.tokens_per_pass:.2f} "
            f"| {row.ratio:.2f} | {100 * row.same_text:.0f} % |"
        )


def _row(
    name: str, answers: Sequence[CompletionResult], first: Sequence[CompletionResult], speed: float | None
) -> AnswersRow:
    metrics = [result.metrics for result in answers if result.metrics.generated_tokens]
    tokens = sum(one.generated_tokens - 1 for one in metrics)
    decode_s = sum(one.total_s - one.first_token_s for one in metrics)
    passes = sum(one.forward_passes for one in metrics)
    per_second = tokens / decode_s if decode_s else 0.0
    return AnswersRow(
        name=name,
        answers=len(answers),
        tokens=tokens,
        tokens_per_s=per_second,
        tokens_per_pass=(tokens + len(metrics)) / passes if passes else 0.0,
        ratio=per_second / speed if speed else 1.0,
        same_text=sum(_text(a) == _text(b) for a, b in zip(answers, first, strict=True)) / len(answers),
    )


def _text(result: CompletionResult) -> str:
    return result.candidates[0].text
