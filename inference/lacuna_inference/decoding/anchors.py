"""Anchors: where the holes of open documents begin, so that the prompt stays the same while the user types.

By default, the hole begins in the cursor's line, before its text (`prompt.planner.hole_start`). A closing bracket that
an editor inserts automatically would change the first token of the suffix and so invalidate the suffix's part of the KV
cache. It is therefore left out of the prompt until the cursor leaves the line. The model then writes it itself, and
whatever an answer repeats of the text after it is trimmed anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.api import ContextFile
from lacuna_inference.decoding.per_document import PerDocument
from lacuna_inference.prompt.windows import Window

MAX_TYPED_CODE_POINTS = 400
"""Code points typed after an anchor until a new one is set (about 128 tokens)."""
_CLOSERS = frozenset(")]}\"'`")
_MAX_CLOSERS = 4


@dataclass(frozen=True, slots=True)
class Anchor:
    """The text before the hole, and the text after it as the prompt shows it."""

    before: str
    suffix: str


@dataclass(frozen=True, slots=True)
class FilesShown:
    """What a prompt shows of other files, and the name of their repository."""

    files: tuple[ContextFile, ...] = ()
    repository: str | None = None


class Anchors:
    """The anchors of the most recently used documents, and the windows and files of their last prompts."""

    def __init__(self) -> None:
        self._anchors: PerDocument[Anchor] = PerDocument()
        self.windows: PerDocument[Window] = PerDocument()
        self.narrow_windows: PerDocument[Window] = PerDocument()
        self.files: PerDocument[FilesShown] = PerDocument()

    def of(self, document_id: str | None, prefix: str, suffix: str, start: int) -> Anchor:
        """The anchor for the cursor between `prefix` and `suffix`: the document's last one while it is valid, or one
        at `start`, a position in `prefix`."""
        last = self._anchors.get(document_id)
        anchor = last if last is not None and _is_valid(last, prefix, suffix) else Anchor(prefix[:start], suffix)
        self._anchors.put(document_id, anchor)
        return anchor

    def last(self, document_id: str) -> Anchor | None:
        """The anchor of a document's last prompt."""
        return self._anchors.get(document_id)

    def cursor_in(self, document_id: str, text: str) -> int | None:
        """Where a document's last cursor is in `text`, in code points; None if the text around the anchor changed."""
        last = self._anchors.get(document_id)
        if last is None or len(last.before) + len(last.suffix) > len(text):
            return None
        found = text.startswith(last.before) and text.endswith(last.suffix)
        return len(text) - len(last.suffix) if found else None

    def move(self, document_id: str | None, before: str, suffix: str) -> None:
        """Sets the anchor of a document explicitly, for example inside a line."""
        self._anchors.put(document_id, Anchor(before, suffix))


def _is_valid(anchor: Anchor, prefix: str, suffix: str) -> bool:
    """Whether the cursor is after `anchor`, on its line, and only closing brackets were inserted after the cursor."""
    if not prefix.startswith(anchor.before) or len(anchor.before) <= prefix.rfind("\n"):
        return False
    if len(prefix) - len(anchor.before) > MAX_TYPED_CODE_POINTS:
        return False
    closers = suffix[: len(suffix) - len(anchor.suffix)]
    return len(closers) <= _MAX_CLOSERS and set(closers) <= _CLOSERS and suffix[len(closers) :] == anchor.suffix
