"""Other files in a prompt, in the form in which the model's family was trained with them, or else as ordinary text.

They come before the text with the hole, so that typing leaves their part of the prompt as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lacuna_inference.api import ContextFile
from lacuna_inference.prompt.families import Family, Placeholder
from lacuna_inference.prompt.repository import RepositoryForm
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.prompt.windows import MAX_CODE_POINTS_PER_TOKEN

SHARE = 4
"""Other files take at most a quarter of the room."""
PLAIN = RepositoryForm(path="", file_end="\n\n", files_in_prefix=True)
"""For models that were not trained with other files: ordinary text, like a part of the same file."""
UNNAMED_REPOSITORY, UNNAMED_FILE = "project", "untitled"
"""What a prompt says where the request gives no name."""


@dataclass(frozen=True, slots=True)
class ShownFiles:
    """Token ids: those before the layout, after the family's `begin`, and those before the text in the prefix."""

    before: list[int] = field(default_factory=list)
    in_prefix: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """In tokens."""
        return len(self.before) + len(self.in_prefix)


def shown(
    files: Sequence[ContextFile], repository: str | None, path: str | None, tokenizer: PromptTokenizer, room: int
) -> ShownFiles:
    """As many of `files` as fit a quarter of `room` tokens, the last ones, and the path of the file with the hole.

    If the last one alone does not fit, its beginning is shown. Without the form of its family or the sentinels for it,
    a model is shown ordinary text.
    """
    if not files or not shows_files(tokenizer.family):
        return ShownFiles()
    form = _form(tokenizer)
    if form is PLAIN:
        return ShownFiles([], _fitting(files, form, tokenizer, room // SHARE))
    name = _name(form, repository or UNNAMED_REPOSITORY, tokenizer)
    start, path_ids = _start_of_hole(form, path or UNNAMED_FILE, tokenizer)
    others = _fitting(files, form, tokenizer, room // SHARE - len(name) - len(start) - len(path_ids))
    if not others:
        return ShownFiles()
    if form.files_in_prefix:
        return ShownFiles([], [*name, *others, *start, *path_ids])
    if form.path_in_prefix:
        return ShownFiles([*name, *others, *start], path_ids)
    return ShownFiles([*name, *others, *start, *path_ids])


def shows_files(family: Family) -> bool:
    """Whether models of this family are shown other files; otherwise these are mixed into the answers."""
    return not family.mixes_file_ngrams


def _form(tokenizer: PromptTokenizer) -> RepositoryForm:
    """The family's form if the tokenizer has the sentinels for it."""
    form = tokenizer.family.repository
    if form is None or tokenizer.family.infill is None:
        return PLAIN
    wanted = {form.file_sentinel, form.name_sentinel, form.end_sentinel} - {None}
    return form if wanted <= tokenizer.specials.keys() else PLAIN


def _name(form: RepositoryForm, repository: str, tokenizer: PromptTokenizer) -> list[int]:
    if form.name_sentinel is None:
        return []
    return [tokenizer.sentinel(form.name_sentinel), *tokenizer.encode_bare(_one_line(repository) + form.name_end)]


def _start_of_hole(form: RepositoryForm, path: str, tokenizer: PromptTokenizer) -> tuple[list[int], list[int]]:
    """The sentinel and the path of the file with the hole; neither where the layout's header has them."""
    if Placeholder.HEADER in (tokenizer.family.infill or ()):
        return [], []
    return _sentinel(form.file_sentinel, tokenizer), tokenizer.encode_bare(form.path.format(path=_one_line(path)))


def _fitting(files: Sequence[ContextFile], form: RepositoryForm, tokenizer: PromptTokenizer, room: int) -> list[int]:
    """The ids of the last files that take at most `room` tokens."""
    ids: list[int] = []
    for file in reversed(files):
        limit = max(0, room) * MAX_CODE_POINTS_PER_TOKEN
        found = _file(form, file, tokenizer) if len(file.text) <= limit else None
        if found is None or len(ids) + len(found) > room:
            return ids or _beginning(form, ContextFile(file.path, file.text[:limit]), tokenizer, room)
        ids = [*found, *ids]
    return ids


def _beginning(form: RepositoryForm, file: ContextFile, tokenizer: PromptTokenizer, room: int) -> list[int]:
    """The ids of a file with as many of its first lines as fit; nothing if none does."""
    lines = file.text.splitlines(keepends=True)
    low, high = 0, len(lines) - 1
    while low < high:
        middle = (low + high + 1) // 2
        part = ContextFile(file.path, "".join(lines[:middle]))
        low, high = (middle, high) if len(_file(form, part, tokenizer)) <= room else (low, middle - 1)
    return _file(form, ContextFile(file.path, "".join(lines[:low])), tokenizer) if low > 0 else []


def _file(form: RepositoryForm, file: ContextFile, tokenizer: PromptTokenizer) -> list[int]:
    text = form.path.format(path=_one_line(file.path or UNNAMED_FILE)) + file.text + form.file_end
    return [
        *_sentinel(form.file_sentinel, tokenizer),
        *tokenizer.encode_bare(text),
        *_sentinel(form.end_sentinel, tokenizer),
    ]


def _sentinel(text: str | None, tokenizer: PromptTokenizer) -> list[int]:
    return [] if text is None else [tokenizer.sentinel(text)]


def _one_line(name: str) -> str:
    """A name as the first line of something: a line end in it would end that line."""
    return " ".join(name.splitlines())
