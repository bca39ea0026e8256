"""`lacuna complete`: prints a file with a completion at the cursor, or in each marked hole."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from lacuna_inference.api import Request, RequestMetrics, Sampling, Stop
from lacuna_inference.engine.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_inference.models.loading import sources
from lacuna_server.commands import source as reading
from lacuna_server.commands.show import stderr, stdout, wait_until_warm
from lacuna_server.commands.source import SourceText
from lacuna_server.core import service
from lacuna_server.core.admission import Rules, is_secret, refusal
from lacuna_server.core.notes import limited
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import with_lf
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_inference.api import CompletionResult

_SHOWN_LINES = 14
_SUGGESTION = "bold green"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The candidates, each with a text for every hole, and their metrics; or the reason for having none."""

    model: str
    candidates: tuple[tuple[str, ...], ...] = ()
    counters: RequestMetrics = field(default_factory=RequestMetrics)
    withheld: Withheld | None = None


def run(settings: Settings, file: str, at: str | None, as_json: bool, allow_secrets: bool = False) -> None:
    """Completes `file` at the cursor `at`, or in its marked holes, and prints the result.

    Raises BadRequest for a file that may hold secrets, unless `allow_secrets`.
    """
    if not allow_secrets and (is_secret(file) or is_secret(str(Path(file).resolve()))):
        raise BadRequest(
            f"{file} may hold passwords or keys, which are never shown to a model.", "If it may be: --allow-secrets."
        )
    source = reading.read(file, at)
    withheld = refusal(source.snapshot, _rules(settings, allow_secrets), invoked=True)
    outcome = Outcome(settings.model, withheld=withheld) if withheld else _complete(settings, source)
    _print_json(outcome) if as_json else _print(source, outcome)


def _rules(settings: Settings, allow_secrets: bool) -> Rules:
    """The user's rules that apply to an explicit request for one file."""
    model = sources.find(settings.model, settings.revision)
    return Rules(
        languages=settings.languages,
        exclude=settings.exclude,
        max_characters=1024 * settings.max_file_kib,
        secrets=allow_secrets,
        model_languages=model.languages,
    )


def _complete(settings: Settings, source: SourceText) -> Outcome:
    engine = ModelEngine(settings.model_options())
    try:
        wait_until_warm(engine)
        return _fill_all(engine, settings, source) if len(source.parts) > 2 else _fill_one(engine, settings, source)
    finally:
        engine.close()


def _fill_one(engine: ModelEngine, settings: Settings, source: SourceText) -> Outcome:
    policy = service.Policy(
        settings.max_tokens, settings.max_lines, settings.candidates, settings.temperature, settings.top_p
    )
    request = service.request_for(source.snapshot, policy, invoked=policy.candidates > 1)
    if request is None:
        return Outcome(settings.model, withheld=Withheld.INSIDE_WORD)
    answer = service.answer_from(engine.submit(request).result(), source.snapshot)
    return Outcome(answer.model, tuple((s,) for s in answer.texts), answer.metrics, answer.withheld)


def _fill_all(engine: ModelEngine, settings: Settings, source: SourceText) -> Outcome:
    sampled = settings.candidates > 1
    request = Request(
        parts=tuple(with_lf(part) for part in source.parts),
        path=source.path,
        stop=Stop(settings.max_tokens, max_lines=settings.max_lines),
        sampling=Sampling(settings.temperature, settings.top_p, seed=0) if sampled else Sampling(),
        candidates=settings.candidates,
    )
    completions: CompletionResult = engine.submit(request).result()
    texts = tuple(tuple(fill.text for fill in candidate.fills) for candidate in completions.candidates)
    return Outcome(completions.model, texts, completions.metrics)


def _print(source: SourceText, outcome: Outcome) -> None:
    """Prints the code with the suggestion inserted: all of it to a pipe, only its surroundings to a terminal."""
    if not outcome.candidates:
        _write(source, ())
        reason = f"{outcome.withheld}: {outcome.withheld.sentence}" if outcome.withheld else "empty"
        stderr.print(f"nothing to suggest here ({reason})")
        return
    for number, fills in enumerate(outcome.candidates):
        if number:
            stderr.print(f"--- candidate {number + 1}")
        _write(source, fills)
    counters = outcome.counters
    speed = counters.generated_tokens / counters.total_s if counters.total_s else 0.0
    stderr.print(
        f"{outcome.model}: {counters.generated_tokens} tokens in {1000 * counters.total_s:.0f} ms, {speed:.0f} tokens/s"
    )
    if text := limited(counters):
        stderr.print(text)


def _write(source: SourceText, fills: tuple[str, ...]) -> None:
    """Writes colored, shortened text to a terminal, else raw bytes: rich would change tabs and control characters."""
    if stdout.is_terminal:
        stdout.print(_colored([with_lf(part) for part in source.parts], fills), end="")
        return
    sys.stdout.buffer.write(source.filled_bytes(fills))
    sys.stdout.buffer.flush()


def _colored(parts: list[str], fills: tuple[str, ...]) -> Text:
    """The lines around the holes, with the fills in color."""
    first = "\n".join(parts[0].split("\n")[-_SHOWN_LINES:])
    last = "\n".join(parts[-1].split("\n")[:_SHOWN_LINES])
    shown = Text(first)
    for fill, part in zip(fills, [*parts[1:-1], _with_line_end(last)], strict=False):
        shown.append(fill, style=_SUGGESTION).append(part)
    return shown if fills else Text(first + _with_line_end(last))


def _with_line_end(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _print_json(outcome: Outcome) -> None:
    content = {
        "suggestions": [list(fills) for fills in outcome.candidates],
        "withheld": outcome.withheld,
        "model": outcome.model,
        "counters": asdict(outcome.counters),
    }
    print(json.dumps(content, indent=2))  # noqa: T201
