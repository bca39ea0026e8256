"""`lacuna bench`: measures and prints tables or JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lacuna_server import kept
from lacuna_server.commands.show import stderr
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_lab.bench.typing_bench import Run
    from lacuna_lab.bench.typing_trace import TypingTrace

WIDTHS = (1, 2, 4, 8)
TRANSFORMERS = "transformers' forward"
WITHOUT = {
    "without drafts": {"LACUNA_DRAFT_TOKENS": "0"},
    "without prefetch": {"LACUNA_LOOK_AHEAD": "false"},
    "canonical prompts": {"LACUNA_PROMPT_LAYOUT": "canonical"},
    TRANSFORMERS: {"LACUNA_FORWARD": "transformers"},
}
"""Variants of Lacuna with one acceleration disabled, by name: environment variables."""


@dataclass(frozen=True, slots=True)
class TypingPlan:
    """The number of files, of blocks typed in each, and of keystrokes after which a session is cut."""

    files: int
    runs: int
    keys: int
    seed: int


@dataclass(frozen=True, slots=True)
class Others:
    """The same model for other engines: GGUF files for llama.cpp, folders for CTranslate2."""

    llama_cpp: Sequence[Path] = ()
    ctranslate2: Sequence[Path] = ()


def decode(
    names: Sequence[str],
    dtypes: Sequence[str],
    device_name: str,
    repeats: int,
    as_json: bool,
    llama_files: Sequence[Path] = (),
) -> None:
    """Measures tokens per second for each model and forward, and the copy bandwidth in the same run."""
    from lacuna_inference.models.loader import choose_device
    from lacuna_lab.bench import decode as bench
    from lacuna_lab.bench.bandwidth import copy_bandwidth
    from lacuna_lab.bench.subjects import groups

    device = choose_device(device_name)
    bandwidth = copy_bandwidth(device)
    rows: list[bench.DecodeRow] = []
    for dtype in dtypes:
        for subjects in groups(names, dtype, device, llama_files):
            stderr.print(f"measuring {subjects[0].model} in {dtype}")
            rows += bench.measure(subjects, WIDTHS, device, bandwidth, repeats)
            del subjects
            gc.collect()
    content = {"copy_bandwidth": bandwidth, "rows": [asdict(row) for row in rows]}
    _print(content, bench.table(rows, bandwidth), as_json)


def typing(settings: Settings, plan: TypingPlan, others: Others, as_json: bool, chart: Path | None) -> None:
    """Types into the real server, once with each acceleration disabled, and compares it with other engines."""
    from lacuna_lab.bench import typing_bench as bench
    from lacuna_lab.bench import typing_chart

    if chart is not None:
        typing_chart.check(chart)
    with of_its_own() as around:
        contestants = _contestants(settings, others, around)
        runs: dict[str, list[Run]] = {name: [] for name in contestants}
        for number, session in enumerate(_sessions(plan)):
            names = list(contestants)
            for name in names[number % len(names) :] + names[: number % len(names)]:  # in rotating order
                stderr.print(f"{session.name}: {name}")
                runs[name].append(contestants[name](session))
    rows = bench.rows(runs)
    _print([asdict(row) for row in rows], bench.table(rows), as_json)
    if chart is not None:
        typing_chart.draw(rows, chart)


def answers(settings: Settings, files: int, per_file: int, seed: int, llama_cpp: Sequence[Path], as_json: bool) -> None:
    """Measures tokens per second over whole answers, for each forward, with and without drafts."""
    from lacuna_lab.bench import answers as bench
    from lacuna_lab.evaluation.files import held_out

    requests = bench.requests(held_out(files, seed), per_file, settings.max_tokens, seed)
    decoders = bench.contestants(settings.model_options(), llama_cpp, _transformers_applies(settings))
    rows = bench.measure(decoders, requests)
    _print([asdict(row) for row in rows], bench.table(rows), as_json)


def steadiness(settings: Settings, requests: int, seed: int, as_json: bool) -> None:
    """Measures the delay of edits during decoding, the time until a cancel takes effect, and memory growth."""
    from lacuna_lab.bench import steadiness as bench

    sessions = _sessions(TypingPlan(files=5, runs=4, keys=min(400, requests), seed=seed))
    with of_its_own() as around:
        figures = bench.measure(settings.model_options(), _environment(settings, around), sessions, requests)
    _print(asdict(figures), bench.table(figures), as_json)


def lsp(seconds: float, rate: float, seed: int, as_json: bool) -> None:
    """Measures the server without a model under fast typing."""
    from lacuna_lab.bench import stress

    with of_its_own() as around:
        figures = stress.measure(seconds, rate, around, seed)
    _print(asdict(figures), stress.table(figures), as_json)


@contextmanager
def of_its_own() -> Iterator[dict[str, str]]:
    """The environment of servers that are measured: they find no KV caches from the last time, and leave the user's
    files alone."""
    with TemporaryDirectory() as folder:
        yield {**os.environ, "LACUNA_STATISTICS": "false", "LACUNA_KV_CACHE_DISK_MB": "0", kept.FOLDER: folder}


def _print(content: object, table: Iterable[str], as_json: bool) -> None:
    print(json.dumps(content, indent=1) if as_json else "\n".join(table))  # noqa: T201


def _environment(settings: Settings, around: dict[str, str]) -> dict[str, str]:
    """The environment of a separate server with these settings."""
    chosen = {"LACUNA_MODEL": settings.model, "LACUNA_DEVICE": settings.device, "LACUNA_DTYPE": settings.dtype}
    return {**around, **chosen, "LACUNA_MAX_TOKENS": str(settings.max_tokens)}


def _sessions(plan: TypingPlan) -> list[TypingTrace]:
    from dataclasses import replace

    from lacuna_lab.bench import typing_trace
    from lacuna_lab.evaluation import files

    rng = random.Random(plan.seed)
    sessions = [typing_trace.typing_trace(file, plan.runs, rng) for file in files.held_out(plan.files, plan.seed)]
    return [replace(session, keys=session.keys[: plan.keys]) for session in sessions]


def _transformers_applies(settings: Settings) -> bool:
    """Whether transformers can run the same weights; prints a line to stderr when it cannot."""
    from lacuna_inference.models.describe import describe

    if (dtype := describe(settings.model_options()).dtype) not in ("int8", "int4"):
        return True
    stderr.print(f"transformers is left out: it does not run {dtype} weights as Lacuna quantizes them")
    return False


def _contestants(settings: Settings, others: Others, around: dict[str, str]) -> dict[str, Callable[[TypingTrace], Run]]:
    from lacuna_lab.bench import editor, peers

    environment = _environment(settings, around)

    def server(variables: dict[str, str]) -> Callable[[TypingTrace], Run]:
        return lambda session: asyncio.run(editor.drive(session, {**environment, **variables}))

    by_transformers = _transformers_applies(settings)
    contestants = {"lacuna": server({})}
    contestants |= {f"lacuna, {n}": server(v) for n, v in WITHOUT.items() if by_transformers or n != TRANSFORMERS}
    options = settings.model_options()
    variants = ((True, "generate(max_length)"), (False, "generate() to the line's end"))
    for whole, name in variants if by_transformers else ():
        contestants[name] = peers.by_generate(options, settings.max_tokens, whole).drive
    for folder in others.ctranslate2:
        contestants[f"CTranslate2, {folder.name}"] = peers.by_ctranslate2(options, folder, settings.max_tokens).drive
    for file in others.llama_cpp:
        for suffix_last, order in ((True, "llama.vim's order"), (False, "suffix first")):
            name = f"llama.cpp, {file.stem}, {order}"
            contestants[name] = peers.by_llama_cpp(options, file, settings.max_tokens, suffix_last).drive
    return contestants
