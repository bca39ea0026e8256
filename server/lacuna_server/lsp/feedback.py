"""What became of the suggestions that were handed out: accepted, rejected, still there half a minute later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from lacuna_server.core.service import Suggestions
from lacuna_server.lsp.documents import Documents
from lacuna_server.statistics import Statistics

RETAINED_AFTER_S = 30.0
_REMEMBERED = 64


@dataclass(slots=True)
class _Suggestion:
    """`taken` characters of `text` were accepted."""

    uri: str
    text: str
    taken: int = 0


class Feedback:
    """Remembers the latest suggestions by the ids that their items carry."""

    def __init__(self, statistics: Statistics, documents: Documents) -> None:
        self._statistics = statistics
        self._documents = documents
        self._handed: OrderedDict[str, _Suggestion] = OrderedDict()
        self._number = 0

    def hand_out(self, answer: Suggestions, uri: str) -> list[str]:
        """An id for each suggestion of `answer`. What is left of an earlier one does not count as shown again."""
        if answer.texts and not answer.cached:
            self._statistics.shown()
        ids = []
        for text in answer.texts:
            self._number += 1
            ids.append(str(self._number))
            self._handed[ids[-1]] = _Suggestion(uri, text)
        while len(self._handed) > _REMEMBERED:
            self._handed.popitem(last=False)
        return ids

    def accepted(self, number: str, length: int | None = None) -> bool:
        """Counts a suggestion, or its first `length` characters, as accepted; whether the id is known.

        A suggestion that is accepted piece by piece counts once; `length` is that of all pieces together.
        """
        suggestion = self._handed.get(number)
        if suggestion is None:
            return False
        length = len(suggestion.text) if length is None else min(length, len(suggestion.text))
        if not suggestion.taken:
            self._statistics.accepted()
            asyncio.get_running_loop().call_later(RETAINED_AFTER_S, self._look_again, suggestion)
        self._statistics.saved(max(0, length - suggestion.taken))
        suggestion.taken = max(suggestion.taken, length)
        return True

    def rejected(self, number: str) -> bool:
        """Forgets a suggestion; whether the id is known."""
        return self._handed.pop(number, None) is not None

    def _look_again(self, suggestion: _Suggestion) -> None:
        """An out-of-step document has no text, so the suggestion does not count as retained there."""
        document = self._documents.get(suggestion.uri)
        text = suggestion.text[: suggestion.taken].strip()
        if document is not None and text in document.text.replace("\r\n", "\n").replace("\r", "\n"):
            self._statistics.retained()
        self._statistics.save()
