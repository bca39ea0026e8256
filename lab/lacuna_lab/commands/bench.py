"""`lacuna bench`: measures, and prints tables or JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna_server.commands.show import stderr
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_lab.bench.typing_bench import Run
    from lacuna_lab.bench.typing_trace import TypingTrace

WIDTHS = (1, 2, 4, 8)
TRANSFORMERS = "transformers' forward"
WITHOUT = {
    "without drafts": {"LACUNA_DRAFT_TOKENS": "0"},
    "without looking ahead": {"LACUNA_LOOK_AHEAD": "false"},
    "canonical prompts": {"LACUNA_PROMPT_LAYOUT": "canonical"},
    TRANSFORMERS: {"LACUNA_FORWARD": "transformers"},
}
"""Lacuna with one acceleration switched off."""


@dataclass(frozen=True, slots=True)
class TypingPlan:
    """How many files are typed, how many pieces of each, and after how many keys a session is cut."""

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
    """Tokens a second of each model behind each forward, beside the copy bandwidth measured in the same run."""
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
    found = {"copy_bandwidth": bandwidth, "rows": [asdict(row) for row in rows]}
    _print(found, bench.table(rows, bandwidth), as_json)


def typing(settings: Settings, plan: TypingPlan, others: Others, as_json: bool, chart: Path | None) -> None:
    """Types into the real server, with each acceleration off once, and beside it asks the peers; one table."""
    from lacuna_lab.bench import typing_bench as bench
    from lacuna_lab.bench import typing_chart

    if chart is not None:
        typing_chart.check(chart)
    contestants = _contestants(settings, others)
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for number, session in enumerate(_sessions(plan)):
        names = list(contestants)
        for name in names[number % len(names) :] + names[: number % len(names)]:  # each is first once
            stderr.print(f"{session.name}: {name}")
            runs[name].append(contestants[name](session))
    rows = bench.rows(runs)
    _print([asdict(row) for row in rows], bench.table(rows), as_json)
    if chart is not None:
        typing_chart.draw(rows, chart)


def answers(settings: Settings, files: int, per_file: int, seed: int, llama_cpp: Sequence[Path], as_json: bool) -> None:
    """Tokens a second of whole answers, for each forward, with drafts and without."""
    from lacuna_lab.bench import answers as bench
    from lacuna_lab.evaluation.files import held_out

    asked = bench.requests(held_out(files, seed), per_file, settings.max_tokens, seed)
    decoders = bench.contestants(settings.model_options(), llama_cpp, _transformers_takes_part(settings))
    rows = bench.measure(decoders, asked)
    _print([asdict(row) for row in rows], bench.table(rows), as_json)


def steadiness(settings: Settings, requests: int, seed: int, as_json: bool) -> None:
    """The event loop's delay, the time to a cancel's effect, and the growth of memory."""
    from lacuna_lab.bench import steadiness as bench

    sessions = _sessions(TypingPlan(files=5, runs=4, keys=min(400, requests), seed=seed))
    figures = bench.measure(settings.model_options(), _environment(settings), sessions, requests)
    _print(asdict(figures), bench.table(figures), as_json)


def lsp(seconds: float, rate: float, seed: int, as_json: bool) -> None:
    """What the server costs without a model, in a storm of keys."""
    from lacuna_lab.bench import stress

    figures = stress.measure(seconds, rate, {**os.environ, **_UNCOUNTED}, seed)
    _print(asdict(figures), stress.table(figures), as_json)


def _print(found: object, table: Iterable[str], as_json: bool) -> None:
    print(json.dumps(found, indent=1) if as_json else "\n".join(table))  # noqa: T201


_UNCOUNTED = {"LACUNA_STATISTICS": "false"}


def _environment(settings: Settings) -> dict[str, str]:
    """The settings for a server of its own."""
    chosen = {"LACUNA_MODEL": settings.model, "LACUNA_DEVICE": settings.device, "LACUNA_DTYPE": settings.dtype}
    return {**os.environ, **chosen, **_UNCOUNTED, "LACUNA_MAX_TOKENS": str(settings.max_tokens)}


def _sessions(plan: TypingPlan) -> list[TypingTrace]:
    from dataclasses import replace

    from lacuna_lab.bench import typing_trace
    from lacuna_lab.evaluation import files

    rng = random.Random(plan.seed)
    typed = [typing_trace.typing_trace(file, plan.runs, rng) for file in files.held_out(plan.files, plan.seed)]
    return [replace(session, keys=session.keys[: plan.keys]) for session in typed]


def _transformers_takes_part(settings: Settings) -> bool:
    """Whether transformers can run the same weights; says on stderr when it cannot."""
    if settings.quantization == "none":
        return True
    stderr.print(f"transformers is left out: it does not run {settings.quantization} weights as Lacuna makes them")
    return False


def _contestants(settings: Settings, others: Others) -> dict[str, Callable[[TypingTrace], Run]]:
    from lacuna_lab.bench import editor, peers

    environment = _environment(settings)

    def server(changed: dict[str, str]) -> Callable[[TypingTrace], Run]:
        return lambda session: asyncio.run(editor.drive(session, {**environment, **changed}))

    by_transformers = _transformers_takes_part(settings)
    found = {"lacuna": server({})}
    found |= {f"lacuna, {n}": server(v) for n, v in WITHOUT.items() if by_transformers or n != TRANSFORMERS}
    options = settings.model_options()
    generated = ((True, "generate(max_length)"), (False, "generate() to the line's end"))
    for whole, name in generated if by_transformers else ():
        found[name] = peers.by_generate(options, settings.max_tokens, whole).drive
    for folder in others.ctranslate2:
        found[f"CTranslate2, {folder.name}"] = peers.by_ctranslate2(options, folder, settings.max_tokens).drive
    for file in others.llama_cpp:
        for suffix_last, order in ((True, "llama.vim's order"), (False, "suffix first")):
            name = f"llama.cpp, {file.stem}, {order}"
            found[name] = peers.by_llama_cpp(options, file, settings.max_tokens, suffix_last).drive
    return found
