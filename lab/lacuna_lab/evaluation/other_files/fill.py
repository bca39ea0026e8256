"""Fills a hole without other files and with excerpts of them, as the language server asks for a line."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace

from lacuna_inference.api import ContextFile, Engine, Request, Stop, TokenizeOptions
from lacuna_lab.evaluation.other_files import ContextSource
from lacuna_lab.evaluation.other_files.cut import NamedHole, Occurrence
from lacuna_server.workspace import DocumentContexts, Excerpt, Place, excerpts, related, similar

HEAD = 20
"""Lines at the beginning of a file, where its imports are."""
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """How much the model is shown: at most `budget` characters of other files.

    With `lines`, it sees of its own file only the head, that many lines before the hole, and half as many behind it.
    """

    source: ContextSource
    budget: int
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `exact` ignores trailing blanks; `named`: the name from another file is where it belongs."""

    text: str
    exact: bool
    named: bool
    prompt_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What the index gave for a hole. `has_name`: the definition that the hole needs is in it."""

    files: int = 0
    characters: int = 0
    tokens: int = 0
    has_name: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Both answers for one hole. `file` is relative to the project's folder and begins with its name."""

    file: str
    language: str
    occurrence: Occurrence
    truth: str
    name: str
    without: Answer
    with_excerpts: Answer
    shown: Shown


def fill(hole: NamedHole, engine: Engine, max_tokens: int, show: ShowOptions) -> Pair:
    """Answers greedily with a warm engine."""
    found = context(hole, show)
    hole = hole if show.lines is None else clipped(hole, show.lines)
    files = tuple(ContextFile(one.path, one.text) for one in found)
    without = _answer(hole, engine, max_tokens, ())
    return Pair(
        f"{hole.project.name}/{hole.project.shown(hole.path)}",
        hole.language,
        hole.occurrence,
        hole.truth,
        hole.name,
        without,
        _answer(hole, engine, max_tokens, files) if files else without,
        Shown(
            len(files),
            sum(len(one.path) + len(one.text) for one in files),
            sum(_tokens(one, engine) for one in files),
            any(re.search(rf"\b{re.escape(hole.name)}\b", one.text) for one in files),
        ),
    )


def context(hole: NamedHole, show: ShowOptions) -> tuple[Excerpt, ...]:
    """What the language server shows: it asks for the start of the cursor's line, so that typing changes nothing."""
    place = Place(hole.path, "", hole.prefix + hole.truth + hole.suffix, hole.prefix.rfind("\n") + 1)
    index, roots = hole.project.index, [hole.project.root]
    match show.source:
        case "served":
            found = DocumentContexts(index).wanted(hole.path, place, show.budget, moved=0)
            return () if found is None else found.files
        case "passages":
            return similar(place, index, show.budget, roots)
        case "definitions":
            return excerpts(related(place, index), show.budget, roots)


def clipped(hole: NamedHole, lines: int) -> NamedHole:
    """The hole with less text around it. The index has seen all of it."""
    before = hole.prefix.splitlines(keepends=True)
    if len(before) > HEAD + lines:
        before = [*before[:HEAD], *before[-lines:]]
    after = hole.suffix.splitlines(keepends=True)[: lines // 2 + 1]
    return replace(hole, prefix="".join(before), suffix="".join(after))


def is_named(text: str, hole: NamedHole) -> bool:
    """Whether `text` has the right beginning up to the end of the name."""
    end = hole.name_at + len(hole.name)
    return text[:end] == hole.truth[:end] and not _WORD.match(text, end)


def _answer(hole: NamedHole, engine: Engine, max_tokens: int, files: tuple[ContextFile, ...]) -> Answer:
    request = Request(
        (hole.prefix, hole.suffix),
        hole.project.shown(hole.path),
        Stop(max_tokens, single_line=True),
        context_files=files,
        repository=hole.project.name,
    )
    start = time.perf_counter()
    result = engine.submit(request).result()
    seconds = time.perf_counter() - start
    text = result.candidates[0].text.split("\n")[0].rstrip()
    return Answer(text, text == hole.truth, is_named(text, hole), result.metrics.prompt_tokens, seconds)


def _tokens(file: ContextFile, engine: Engine) -> int:
    request = Request((file.path + "\n" + file.text,), tokenize=TokenizeOptions(specials=False))
    return len(engine.submit(request).result().prompt_logprobs)
