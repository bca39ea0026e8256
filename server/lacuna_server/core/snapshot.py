"""A document as it was when a request came in, and a cursor in it. Immutable, so that no edit can reach it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Text and cursor of one request. `offset` counts code points. Lines end at LF, CRLF or CR, as in LSP.

    `nearby` are the texts of other open documents of the same language, the one that was edited last at the end.
    """

    text: str
    offset: int
    path: str | None = None
    key: str = ""
    nearby: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        return self.text[: self.offset]

    @property
    def suffix(self) -> str:
        return self.text[self.offset :]

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        start = max(self.text.rfind("\n", 0, self.offset), self.text.rfind("\r", 0, self.offset)) + 1
        return self.text[start : self.offset]

    @property
    def line_after(self) -> str:
        """The cursor's line from the cursor on, without its line end."""
        ends = [end for end in (self.text.find("\n", self.offset), self.text.find("\r", self.offset)) if end >= 0]
        return self.text[self.offset : min(ends, default=len(self.text))]
