"""What a model answers at places, asked as the language server asks, with its tokens' probabilities. Kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter, ValidationError

from lacuna_inference.api import ContextFile, Engine, Fill, Request
from lacuna_inference.errors import BadRequest
from lacuna_lab.gate.places import Place
from lacuna_server.core.service import Policy, request_for
from lacuna_server.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What `model` wrote at a place."""

    place: Place
    fill: Fill
    model: str


Shown = Callable[[Place], tuple[ContextFile, ...]]
"""What a prompt shows of other files."""
_REMEDY = "`lacuna gate collect` writes them."
_ANSWER: TypeAdapter[GateAnswer] = TypeAdapter(GateAnswer)


def snapshot_of(place: Place) -> Snapshot:
    """The document at this place, without its project: the model knows nothing of it."""
    text = place.before + place.after
    return Snapshot(text, len(place.before), place.name, place.name, (), place.language, place.name)


def answers(
    engine: Engine, places: Iterable[Place], policy: Policy, other_files: Shown = lambda _: ()
) -> Iterator[GateAnswer]:
    """The answers of a warm engine to automatic requests, each computed anew, where anything is asked at all."""
    for place in places:
        snapshot = replace(snapshot_of(place), context_files=other_files(place), repository=place.project)
        request = request_for(snapshot, policy, invoked=False)
        if request is not None:
            result = engine.submit(_anew(request)).result()
            yield GateAnswer(place, result.candidates[0].fills[0], result.model)


def write(file: TextIO, answer: GateAnswer) -> None:
    """Appends an answer as one line."""
    file.write(json.dumps(asdict(answer)) + "\n")
    file.flush()


def read(files: Iterable[Path]) -> list[GateAnswer]:
    """The answers in files. Raises BadRequest for a file that holds something else."""
    found = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
            found += [_ANSWER.validate_json(line) for line in lines if line]
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise BadRequest(f"{file} holds no answers: {type(error).__name__}.", _REMEDY) from None
    if not found:
        raise BadRequest("There are no answers.", _REMEDY)
    return found


def _anew(request: Request) -> Request:
    """With alternatives asked for, though none: such an answer is never the rest of an earlier one."""
    return replace(request, top_logprobs=0)
