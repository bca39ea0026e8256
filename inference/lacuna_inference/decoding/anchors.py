"""Where the holes of open documents begin, so that a prompt stays what it is while somebody types.

By default at the start of the cursor's line. A closing bracket that an editor puts behind the cursor by itself would
change the first token of the suffix and with it all that was read of it, so it is left out of the prompt until the
cursor leaves the line; the model then writes it, and what an answer repeats of the text behind it is cut anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.decoding.per_document import PerDocument
from lacuna_inference.prompt.windows import Window

MAX_TYPED_CODE_POINTS = 400
"""Characters behind the anchor after which a new one is set (about 128 tokens)."""
_CLOSERS = frozenset(")]}\"'`")
_MAX_CLOSERS = 4


@dataclass(frozen=True, slots=True)
class Anchor:
    """The text before the hole, and the text behind it as the prompt shows it."""

    before: str
    suffix: str


class Anchors:
    """The anchors of the documents that were asked for last, and the windows of their last prompts."""

    def __init__(self) -> None:
        self._anchors: PerDocument[Anchor] = PerDocument()
        self.windows: PerDocument[Window] = PerDocument()

    def of(self, key: str | None, prefix: str, suffix: str) -> Anchor:
        """The anchor for the cursor between `prefix` and `suffix`; kept while the typist stays behind it."""
        line_start = prefix.rfind("\n") + 1
        known = self._anchors.get(key)
        if known is not None and _holds(known, prefix, suffix, line_start):
            anchor = known
        else:
            anchor = Anchor(prefix[:line_start], suffix)
        self._anchors.put(key, anchor)
        return anchor

    def move(self, key: str | None, before: str, suffix: str) -> None:
        """Sets the anchor of a document somewhere else than at a line's start."""
        self._anchors.put(key, Anchor(before, suffix))


def _holds(anchor: Anchor, prefix: str, suffix: str, line_start: int) -> bool:
    """Whether the cursor still stands behind `anchor`, on its line, with nothing changed around it but closers."""
    if not prefix.startswith(anchor.before) or len(anchor.before) < line_start:
        return False
    if len(prefix) - len(anchor.before) > MAX_TYPED_CODE_POINTS:
        return False
    closers = suffix[: len(suffix) - len(anchor.suffix)]
    return len(closers) <= _MAX_CLOSERS and set(closers) <= _CLOSERS and suffix[len(closers) :] == anchor.suffix
