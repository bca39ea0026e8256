"""Where the holes of open documents begin, so that a prompt stays what it is while somebody types.

By default at the start of the cursor's line. A closing bracket that an editor puts behind the cursor by itself would
change the first token of the suffix and with it all that was read of it, so it is left out of the prompt until the
cursor leaves the line; the model then writes it, and what an answer repeats of the text behind it is cut anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lacuna_inference.prompt.windows import Window

DOCUMENTS = 32
"""How many documents' anchors are remembered."""
LONGEST_TYPED = 400
"""Characters behind the anchor after which a new one is set (about 128 tokens)."""
_CLOSERS = frozenset(")]}\"'`")
_MOST_CLOSERS = 4


@dataclass(frozen=True, slots=True)
class Anchor:
    """The text before the hole, and the text behind it as the prompt shows it."""

    before: str
    suffix: str


class Anchors:
    """The anchors of the documents that were asked for last, and the windows of their last prompts."""

    def __init__(self) -> None:
        self._anchors: OrderedDict[str, Anchor] = OrderedDict()
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def window(self, key: str | None) -> Window | None:
        """What the last prompt of the document showed."""
        return self._windows.get(key) if key is not None else None

    def keep_window(self, key: str | None, window: Window | None) -> None:
        """Remembers what a prompt of the document shows."""
        if key is None or window is None:
            return
        self._windows[key] = window
        self._windows.move_to_end(key)
        if len(self._windows) > DOCUMENTS:
            self._windows.popitem(last=False)

    def of(self, key: str | None, prefix: str, suffix: str) -> Anchor:
        """The anchor for the cursor between `prefix` and `suffix`; kept while the typist stays behind it."""
        line_start = prefix.rfind("\n") + 1
        known = self._anchors.get(key) if key is not None else None
        if known is not None and _holds(known, prefix, suffix, line_start):
            anchor = known
        else:
            anchor = Anchor(prefix[:line_start], suffix)
        self._keep(key, anchor)
        return anchor

    def move(self, key: str | None, before: str, suffix: str) -> None:
        """Sets the anchor of a document somewhere else than at a line's start."""
        self._keep(key, Anchor(before, suffix))

    def _keep(self, key: str | None, anchor: Anchor) -> None:
        if key is None:
            return
        self._anchors[key] = anchor
        self._anchors.move_to_end(key)
        if len(self._anchors) > DOCUMENTS:
            self._anchors.popitem(last=False)


def _holds(anchor: Anchor, prefix: str, suffix: str, line_start: int) -> bool:
    """Whether the cursor still stands behind `anchor`, on its line, with nothing changed around it but closers."""
    if not prefix.startswith(anchor.before) or len(anchor.before) < line_start:
        return False
    if len(prefix) - len(anchor.before) > LONGEST_TYPED:
        return False
    closers = suffix[: len(suffix) - len(anchor.suffix)]
    return len(closers) <= _MOST_CLOSERS and set(closers) <= _CLOSERS and suffix[len(closers) :] == anchor.suffix
