"""What a study asks: windows of text that are read, and holes that are filled. The same for every dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lacuna_inference.api import ModelOptions, Request, Stop
from lacuna_inference.errors import BadRequest
from lacuna_inference.models import loader
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_lab.evaluation import files, run
from lacuna_lab.evaluation.files import SourceFile
from lacuna_lab.evaluation.holes import EvaluationHole, HoleKind


@dataclass(frozen=True, slots=True)
class TextWindow:
    """Tokens that are read from nothing. Predictions count from `first` on, 1 at least: those before are a header."""

    file: str
    ids: tuple[int, ...]
    first: int

    @property
    def positions(self) -> int:
        """How many predictions count: of every token from `first` on."""
        return len(self.ids) - self.first


@dataclass(frozen=True, slots=True)
class Questions:
    """Everything that is asked of one model. `infills` says whether it fills holes, or only goes on."""

    folder: ModelFolder
    windows: tuple[TextWindow, ...]
    holes: tuple[EvaluationHole, ...]
    infills: bool
    own_text: bool


def questions(options: ModelOptions, paths: Sequence[Path], tokens: int, hole_count: int, seed: int) -> Questions:
    """`tokens` positions and `hole_count` holes in held-out code, or in the user's files.

    Raises the LacunaErrors that loading would raise before the weights, and BadRequest when there is no text.
    """
    folder = sources.find(options.model, options.revision)
    tokenizer = read_tokenizer(folder, options)
    family = loader.choose_family(folder, tokenizer, options.family)
    text = PromptTokenizer(tokenizer, family)
    context = loader.context_of(folder.config, family, options.context)
    found = files.any_text(list(paths)) if paths else files.held_out(max(4, hole_count // 4, tokens // 500), seed)
    windows = _windows(found, text, context, tokens)
    if not windows:
        raise BadRequest("The files hold too little text to read.", "Name more or longer files with --text.")
    infills = family.infill is not None
    kinds = [kind for kind in HoleKind if infills or kind is HoleKind.NEXT_LINE]
    holes = run.holes(found, 1, seed) if hole_count else []
    holes = [hole for hole in holes if hole.kind in kinds][:hole_count]
    return Questions(folder, tuple(windows), tuple(holes), infills, bool(paths))


def request(hole: EvaluationHole, max_tokens: int) -> Request:
    """As an editor asks for it."""
    left_to_right = hole.kind is HoleKind.NEXT_LINE
    stop = Stop(max_tokens, single_line=left_to_right, max_lines=None if left_to_right else run.MAX_LINES + 2)
    parts = (hole.prefix,) if left_to_right else (hole.prefix, hole.suffix)
    return Request(parts, hole.file.name, stop)


_MIN_TOKENS = 16


def _windows(found: Sequence[SourceFile], tokenizer: PromptTokenizer, context: int, tokens: int) -> list[TextWindow]:
    """Windows as long as the context, in the order of the files, until there are `tokens` positions."""
    windows: list[TextWindow] = []
    for file in found:
        header = list(plan(PromptSpec(("",), file.name, 1), tokenizer, context).ids)
        ids, room = tokenizer.encode(file.text), context - len(header)
        for start in range(0, len(ids), room):
            left = tokens - sum(window.positions for window in windows)
            piece = ids[start : start + min(room, left)]
            if left <= 0:
                return windows
            if len(piece) >= min(_MIN_TOKENS, left):
                windows.append(TextWindow(f"{file.group}/{file.name}", (*header, *piece), max(1, len(header))))
    return windows
