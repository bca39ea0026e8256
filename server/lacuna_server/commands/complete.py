"""`lacuna complete`: one completion, or one for each marked hole, printed in its place."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from rich.text import Text

from lacuna_inference.api import Completions, Counters, Request, Sampling, Stop
from lacuna_inference.engine import ModelEngine
from lacuna_inference.errors import BadRequest
from lacuna_server.commands.show import stderr, stdout, wait_until_warm
from lacuna_server.core import service
from lacuna_server.core.admission import is_secret
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.settings import Settings

HOLE = "<FILL>"
_SHOWN_LINES = 14
_SUGGESTION = "bold green"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The texts around the holes, the candidates (a text for each hole), and what they cost."""

    parts: list[str]
    candidates: tuple[tuple[str, ...], ...]
    counters: Counters
    model: str
    withheld: Withheld | None = None


def run(settings: Settings, file: str, at: str | None, as_json: bool, allow_secrets: bool = False) -> None:
    """Completes `file` at the cursor `at`, or its marked holes, and prints the result.

    Raises BadRequest for a file that is never shown to a model, unless `allow_secrets`.
    """
    if not allow_secrets and (is_secret(file) or is_secret(str(Path(file).resolve()))):
        raise BadRequest(
            f"{file} may hold passwords or keys, which are never shown to a model.", "If it may be: --allow-secrets."
        )
    parts = _parts(read(file), at)
    engine = ModelEngine(settings.model_options())
    try:
        wait_until_warm(engine)
        outcome = _complete(engine, settings, parts, None if file == "-" else file)
    finally:
        engine.close()
    _print_json(outcome) if as_json else _print(outcome)


def read(file: str) -> str:
    """The text of `file`, or of standard input for `-`. Raises BadRequest for what is no UTF-8 text file."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadRequest(f"{file} cannot be read: {error.strerror or error}.", "Check the path.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    if "\0" in text:
        raise BadRequest(f"{file} is a binary file.", "Name a source file.")
    return text


def offset_at(text: str, at: str) -> int:
    """Offset of LINE:COLUMN, both from 1; columns count characters. Raises BadRequest for a place outside the text."""
    line_text, _, column_text = at.partition(":")
    if not line_text.isdigit() or not column_text.isdigit():
        raise BadRequest(f"{at!r} is no position.", "Write LINE:COLUMN, both from 1, for example --at 12:5.")
    line, column = int(line_text), int(column_text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not 1 <= line <= len(lines):
        raise BadRequest(f"Line {line} is outside the text, which has {len(lines)} lines.", "Check --at LINE:COLUMN.")
    if not 1 <= column <= len(lines[line - 1]) + 1:
        known = len(lines[line - 1])
        raise BadRequest(
            f"Column {column} is outside line {line}, which has {known} characters.", "Check --at LINE:COLUMN."
        )
    return sum(len(other) + 1 for other in lines[: line - 1]) + column - 1


def _parts(text: str, at: str | None) -> list[str]:
    """The texts around the holes, with LF line ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if at is not None:
        offset = offset_at(text, at)
        return [text[:offset], text[offset:]]
    parts = text.split(HOLE)
    if len(parts) == 1:
        raise BadRequest("There is no place to complete.", f"Give --at LINE:COLUMN, or write {HOLE} into the text.")
    return parts


def _complete(engine: ModelEngine, settings: Settings, parts: list[str], path: str | None) -> Outcome:
    policy = service.Policy(
        settings.max_tokens, settings.max_lines, settings.candidates, settings.temperature, settings.top_p
    )
    if len(parts) > 2:
        return _several(engine, policy, parts, path)
    snapshot = Snapshot("".join(parts), len(parts[0]), path)
    request = service.request_for(snapshot, policy, invoked=policy.candidates > 1)
    if request is None:
        return Outcome(parts, (), Counters(), settings.model, Withheld.INSIDE_WORD)
    answer = service.answer_from(engine.submit(request).result(), snapshot)
    return Outcome(parts, tuple((s,) for s in answer.suggestions), answer.counters, answer.model, answer.withheld)


def _several(engine: ModelEngine, policy: service.Policy, parts: list[str], path: str | None) -> Outcome:
    several = policy.candidates > 1
    sampling = Sampling(policy.temperature, policy.top_p, seed=0) if several else Sampling()
    stop = Stop(policy.max_tokens, max_lines=policy.max_lines)
    request = Request(tuple(parts), path, stop, sampling, policy.candidates if several else 1)
    completions: Completions = engine.submit(request).result()
    texts = tuple(tuple(fill.text for fill in candidate.fills) for candidate in completions.candidates)
    return Outcome(parts, texts, completions.counters, completions.model)


def _print(outcome: Outcome) -> None:
    """The code with the suggestion in place: all of it into a pipe, its surroundings on a terminal."""
    if not outcome.candidates:
        _write(outcome, ())
        stderr.print(f"nothing to suggest here ({outcome.withheld or 'empty'})")
        return
    for number, fills in enumerate(outcome.candidates):
        if number:
            stderr.print(f"--- candidate {number + 1}")
        _write(outcome, fills)
    counters = outcome.counters
    speed = counters.generated_tokens / counters.total_s if counters.total_s else 0.0
    stderr.print(
        f"{outcome.model}: {counters.generated_tokens} tokens in {1000 * counters.total_s:.0f} ms, {speed:.0f} tokens/s"
    )


def _write(outcome: Outcome, fills: tuple[str, ...]) -> None:
    """Coloured and shortened on a terminal; else byte by byte, because rich changes tabs and control characters."""
    if stdout.is_terminal:
        stdout.print(_coloured(outcome.parts, fills), end="")
        return
    texts = [text for pair in zip_longest(outcome.parts, fills, fillvalue="") for text in pair]
    sys.stdout.buffer.write(_ended("".join(texts)).encode())
    sys.stdout.buffer.flush()


def _coloured(parts: list[str], fills: tuple[str, ...]) -> Text:
    """The lines around the holes, with the fills in colour."""
    first = "\n".join(parts[0].split("\n")[-_SHOWN_LINES:])
    last = "\n".join(parts[-1].split("\n")[:_SHOWN_LINES])
    shown = Text(first)
    for fill, part in zip(fills, [*parts[1:-1], _ended(last)], strict=False):
        shown.append(fill, style=_SUGGESTION).append(part)
    return shown if fills else Text(first + _ended(last))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _print_json(outcome: Outcome) -> None:
    content = {
        "suggestions": [list(fills) for fills in outcome.candidates],
        "withheld": outcome.withheld,
        "model": outcome.model,
        "counters": asdict(outcome.counters),
    }
    print(json.dumps(content, indent=2))  # noqa: T201
