"""`lacuna models recommend`: measures this machine and lists the catalogue with what to expect of each model here."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lacuna_inference.errors import BadRequest
from lacuna_server.commands.show import print_table, progress, stdout
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_inference.models.machine import Machine
    from lacuna_inference.models.recommend import Expectation

_NOT_HERE = ("shape", "hub_id")
"""Facts of the catalogue that are of no use to who chooses."""


def recommend(settings: Settings, languages: str, as_json: bool) -> None:
    """Prints the models that know all of `languages`, separated by commas, and marks the best one for this machine.

    Raises BadRequest if none knows them, or for an unavailable device.
    """
    from lacuna_inference.models import loader
    from lacuna_inference.models import recommend as recommender

    wanted = [language.strip().lower() for language in languages.split(",") if language.strip()]
    with progress("measuring this machine"):
        here, found = recommender.expected(loader.choose_device(settings.device), settings.context, wanted)
    if not found:
        raise BadRequest(f"No model of the catalogue knows {', '.join(wanted)}.", "Leave out --languages.")
    best = recommender.best(found)
    if as_json:
        rows = [_row(one) | {"best": one is best} for one in found]
        print(json.dumps({"machine": _machine(here), "models": rows}, indent=2))  # noqa: T201
        return
    _print(found, best)
    stdout.print(f"\n{_advice(best, recommender.fastest(found))}")


def _print(found: Collection[Expectation], best: Expectation | None) -> None:
    heads = ("", "model", "first answer", "a line", "memory", "download", "licence", "languages")
    table = Table(*heads, box=None, pad_edge=False)
    for one in found:
        slow = "" if one.fits is not False else ", does not fit"
        table.add_row(
            "*" if one is best else "",
            one.entry.name,
            _time(one.first_s),
            _time(one.line_s),
            f"{_gib(one.bytes)}{slow}",
            _gib(one.entry.bytes) if one.entry.source else "",
            f"{one.entry.licence}{' (limits uses)' if one.entry.conditions else ''}",
            _languages(one.entry.languages),
        )
    print_table(table)


def _advice(best: Expectation | None, fastest: Expectation | None) -> str:
    """What to do next."""
    if best is not None and best.entry.source:
        return (
            f"* {best.entry.name} is the strongest that writes a line within 300 ms here, of those whose licence "
            f"limits no use. Run: lacuna models fetch {best.entry.name}"
        )
    said = "None writes a line within 300 ms here." if best is None else f"* Only {best.entry.name} is that fast here."
    if fastest is None:
        return said
    return f"{said} The fastest for many languages is {fastest.entry.name}: lacuna models fetch {fastest.entry.name}"


def _row(one: Expectation) -> dict[str, Any]:
    entry = {key: value for key, value in asdict(one.entry).items() if key not in _NOT_HERE}
    return {
        **entry, "source": one.entry.source, "type": one.type, "first_s": round(one.first_s, 3),
        "line_s": round(one.line_s, 3), "memory_bytes": one.bytes, "fits": one.fits, "fast": one.fast,
    }  # fmt: skip


def _machine(here: Machine) -> dict[str, Any]:
    operations = {kind: round(speed.operations_per_s) for kind, speed in here.speeds.items()}
    return {
        "device": here.device, "free_bytes": here.free_bytes, "bytes_per_s": here.bytes_per_s,
        "operations_per_s": operations,
    }  # fmt: skip


def _languages(languages: Collection[str]) -> str:
    if "*" in languages:
        return "many"
    return ", ".join(languages) if len(languages) < 4 else str(len(languages))


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
