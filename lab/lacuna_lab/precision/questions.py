"""The inputs of a study: windows of text to score and holes to fill, the same for every dtype."""

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
    """Tokens that are evaluated from scratch. Those before `first`, at least one, are a header and not scored."""

    file: str
    ids: tuple[int, ...]
    first: int

    @property
    def positions(self) -> int:
        """Number of scored predictions: of every token from `first` on."""
        return len(self.ids) - self.first


@dataclass(frozen=True, slots=True)
class Questions:
    """All inputs for one model. `infills`: whether it fills holes, or only continues text."""

    folder: ModelFolder
    windows: tuple[TextWindow, ...]
    holes: tuple[EvaluationHole, ...]
    infills: bool
    own_text: bool


def questions(options: ModelOptions, paths: Sequence[Path], tokens: int, hole_count: int, seed: int) -> Questions:
    """`tokens` positions and `hole_count` holes in held-out code, or in the files at `paths`.

    Raises the LacunaErrors that loading raises before it reads weights, and BadRequest when there is no text.
    """
    folder = sources.find(options.model, options.revision)
    tokenizer = read_tokenizer(folder, options)
    family, _ = loader.choose_family(folder, tokenizer, options.family)
    prompt_tokenizer = PromptTokenizer(tokenizer, family)
    context = loader.context_of(folder.config, family, options.context)
    texts = files.any_text(list(paths)) if paths else files.held_out(max(4, hole_count // 4, tokens // 500), seed)
    windows = _windows(texts, prompt_tokenizer, context, tokens)
    if not windows:
        raise BadRequest("The files have too little text.", "Name more or longer files with --text.")
    infills = family.infill is not None
    kinds = [kind for kind in HoleKind if infills or kind is HoleKind.NEXT_LINE]
    holes = run.holes(texts, 1, seed) if hole_count else []
    holes = [hole for hole in holes if hole.kind in kinds][:hole_count]
    return Questions(folder, tuple(windows), tuple(holes), infills, bool(paths))


def request(hole: EvaluationHole, max_tokens: int) -> Request:
    """The request that an editor would send for `hole`."""
    left_to_right = hole.kind is HoleKind.NEXT_LINE
    stop = Stop(max_tokens, single_line=left_to_right, max_lines=None if left_to_right else run.MAX_LINES + 2)
    parts = (hole.prefix,) if left_to_right else (hole.prefix, hole.suffix)
    return Request(parts, hole.file.name, stop)


_MIN_TOKENS = 16


def _windows(texts: Sequence[SourceFile], tokenizer: PromptTokenizer, context: int, tokens: int) -> list[TextWindow]:
    """Windows of at most the context's length, in the order of the files, until there are `tokens` positions."""
    windows: list[TextWindow] = []
    for file in texts:
        header = list(plan(PromptSpec(("",), file.name, 1), tokenizer, context).ids)
        ids, room = tokenizer.encode(file.text), context - len(header)
        for start in range(0, len(ids), room):
            left = tokens - sum(window.positions for window in windows)
            chunk = ids[start : start + min(room, left)]
            if left <= 0:
                return windows
            if len(chunk) >= min(_MIN_TOKENS, left):
                windows.append(TextWindow(f"{file.group}/{file.name}", (*header, *chunk), max(1, len(header))))
    return windows
