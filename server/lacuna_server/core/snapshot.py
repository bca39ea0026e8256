"""A document at the moment of a request, with the cursor. Immutable, so that later edits do not affect it."""

from __future__ import annotations

from dataclasses import dataclass

from lacuna_inference.api import ContextFile


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Text and cursor of one request. `offset` is in code points. Lines end at LF, CRLF or CR, as in LSP.

    `path` is for the prompt, None where not even the language is known. `uri_path` is for the user's rules: the path of
    the document's URI, whatever its scheme. `related_files` are the texts of other open documents of the same language,
    the last edited one last. `context_files` are excerpts of files that the model is shown, of the repository with the
    name `repository`; with `keeps_files` it is shown what it was shown last instead. Without `in_sync` the text may
    differ from the editor's, and nothing is suggested.
    """

    text: str
    offset: int
    path: str | None = None
    document_id: str = ""
    related_files: tuple[str, ...] = ()
    language: str = ""
    uri_path: str = ""
    in_sync: bool = True
    context_files: tuple[ContextFile, ...] = ()
    repository: str = ""
    keeps_files: bool = False

    @property
    def prefix(self) -> str:
        return self.text[: self.offset]

    @property
    def suffix(self) -> str:
        return self.text[self.offset :]

    @property
    def line_before(self) -> str:
        """The part of the cursor's line before the cursor."""
        return self.text[self._line_start : self.offset]

    @property
    def line_after(self) -> str:
        """The part of the cursor's line after the cursor, without its line end."""
        return self.text[self.offset : self._line_end]

    def lines_around(self) -> tuple[str, str]:
        """The text before the cursor's line and the text after it."""
        return self.text[: self._line_start], self.text[self._line_end :]

    @property
    def _line_start(self) -> int:
        return max(self.text.rfind("\n", 0, self.offset), self.text.rfind("\r", 0, self.offset)) + 1

    @property
    def _line_end(self) -> int:
        ends = [end for end in (self.text.find("\n", self.offset), self.text.find("\r", self.offset)) if end >= 0]
        return min(ends, default=len(self.text))


def with_lf(text: str) -> str:
    """`text` with LF line ends, which models are trained on. Clients convert them back."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
