"""What the user wrote where answers were judged, in a file of the user: numbers only, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_dir

from lacuna_inference.errors import LacunaError
from lacuna_server import private
from lacuna_server.core.correction import BINS, Correction, Outcomes, bin_of, fit

_MOST = 1000
"""Outcomes of a model that count. Beyond that all count less, so that the latest weigh most."""
_MOST_MODELS = 50
_REMEDY = "Move it away, and learning begins anew."
Bins = tuple[Outcomes, ...]
_NOTHING: Bins = (Outcomes(),) * BINS


@dataclass(slots=True)
class _Known:
    """Of one model: what the file has, and what came since."""

    saved: Bins = _NOTHING
    new: Bins = _NOTHING
    correction: Correction | None = None


class Experience:
    """The outcomes of answers by model, and the corrections of chances that follow.

    Without a `file` nothing is learned. Several servers may share it.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, _Known] = {}
        self._read()

    @property
    def file(self) -> Path | None:
        return self._file

    @file.setter
    def file(self, file: Path | None) -> None:
        if file != self._file:
            self._file = file
            self._known.clear()
            self._read()

    def add(self, model: str, chance: float, right: bool) -> None:
        """The user wrote what an answer of `model` had this `chance` for, or something else."""
        if self._file is None:
            return
        known = self._known.setdefault(_name(model), _Known())
        number = bin_of(chance)
        known.new = _sum(known.new, tuple(Outcomes(int(n == number), int(right and n == number)) for n in range(BINS)))
        known.correction = None

    def corrected(self, model: str, chance: float) -> float:
        """The chance of an answer of `model`, corrected by what was learned."""
        known = self._known.get(_name(model))
        if known is None:
            return chance
        if known.correction is None:
            known.correction = fit(_sum(known.saved, known.new))
        return known.correction.of(chance)

    def save(self) -> None:
        """Adds what came since the last call to the file. Write errors are ignored."""
        if self._file is None or not any(any(one.count for one in known.new) for known in self._known.values()):
            return
        with suppress(OSError, LacunaError):  # what cannot be understood is not overwritten
            stored = read(self._file)
            for name, known in self._known.items():
                saved = _aged(_sum(stored.pop(name, _NOTHING), known.new))
                stored[name] = saved
                self._known[name] = _Known(saved)
            _write(self._file, dict(list(stored.items())[-_MOST_MODELS:]))

    def _read(self) -> None:
        if self._file is not None:
            with suppress(LacunaError):
                self._known = {name: _Known(bins) for name, bins in read(self._file).items()}


def experience_file() -> Path:
    """The path of this user's file."""
    return Path(user_state_dir("lacuna", appauthor=False)) / "experience.json"


def read(file: Path) -> dict[str, Bins]:
    """The outcomes by model; empty when there is no file, or an empty one.

    Raises LacunaError for one that cannot be read, or holds anything else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        found = json.loads(text) if text.strip() else {}
        return {name: _bins(counts) for name, counts in found.items()}
    except OSError as error:
        raise LacunaError(f"{file} cannot be read: {error.strerror or error}.", _REMEDY) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LacunaError(f"{file} holds something else than outcomes of suggestions.", _REMEDY) from error


def _bins(counts: Mapping[str, list[int]]) -> Bins:
    """Raises ValueError, TypeError or AttributeError for what is no outcomes."""
    bins = list(_NOTHING)
    for number, (count, right) in counts.items():
        if type(count) is not int or type(right) is not int or not 0 <= right <= count <= 2 * _MOST:
            raise ValueError(counts)
        if not 0 <= int(number) < BINS:
            raise ValueError(number)
        bins[int(number)] = Outcomes(count, right)
    return tuple(bins)


def _write(file: Path, found: Mapping[str, Bins]) -> None:
    content = {
        name: {str(number): [one.count, one.right] for number, one in enumerate(bins) if one.count}
        for name, bins in found.items()
    }
    private.write(file, json.dumps(content, indent=1))


def _sum(some: Bins, others: Bins) -> Bins:
    pairs = zip(some, others, strict=True)
    return tuple(Outcomes(one.count + other.count, one.right + other.right) for one, other in pairs)


def _aged(bins: Bins) -> Bins:
    """With all counts halved if there are more than count."""
    if sum(one.count for one in bins) <= _MOST:
        return bins
    return tuple(Outcomes(one.count // 2, one.right // 2) for one in bins)


def _name(model: str) -> str:
    """The last part of a model's name or path."""
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
