"""A document as it was when a request came in, and a cursor in it. Immutable, so that no edit can reach it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Text and cursor of one request. `offset` counts code points. Lines end at LF, CRLF or CR, as in LSP.

    `path` is for the prompt, None where not even the language is known. `uri_path` is for the user's rules: the path of
    its URI, whatever its scheme. `related_files` are the texts of other open documents of the same language, the one
    that was edited last at the end. Without `in_step` the text is not known to be the editor's, and is left out.
    """

    text: str
    offset: int
    path: str | None = None
    document_id: str = ""
    related_files: tuple[str, ...] = ()
    language: str = ""
    uri_path: str = ""
    in_step: bool = True

    @property
    def prefix(self) -> str:
        return self.text[: self.offset]

    @property
    def suffix(self) -> str:
        return self.text[self.offset :]

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.text[self._line_start : self.offset]

    @property
    def line_after(self) -> str:
        """The cursor's line from the cursor on, without its line end."""
        return self.text[self.offset : self._line_end]

    def lines_around(self) -> tuple[str, str]:
        """The text up to the cursor's line, and the text behind it."""
        return self.text[: self._line_start], self.text[self._line_end :]

    @property
    def _line_start(self) -> int:
        return max(self.text.rfind("\n", 0, self.offset), self.text.rfind("\r", 0, self.offset)) + 1

    @property
    def _line_end(self) -> int:
        ends = [end for end in (self.text.find("\n", self.offset), self.text.find("\r", self.offset)) if end >= 0]
        return min(ends, default=len(self.text))
