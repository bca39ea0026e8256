"""Tracks what becomes of suggestions: accepted, rejected, still there half a minute later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from lacuna_server.core.service import Suggestions
from lacuna_server.lsp.documents import Documents
from lacuna_server.statistics import Statistics

RETAINED_AFTER_S = 30.0
_MAX_SUGGESTIONS = 64


@dataclass(slots=True)
class _Suggestion:
    """`accepted` characters of `text` were accepted."""

    uri: str
    text: str
    accepted: int = 0


class Feedback:
    """The latest suggestions by the ids in their items."""

    def __init__(self, statistics: Statistics, documents: Documents) -> None:
        self._statistics = statistics
        self._documents = documents
        self._suggestions: OrderedDict[str, _Suggestion] = OrderedDict()
        self._number = 0

    def register(self, answer: Suggestions, uri: str) -> list[str]:
        """Assigns an id to each suggestion of `answer`. The rest of an earlier suggestion is not counted as shown."""
        if answer.texts and not answer.cached:
            self._statistics.shown()
        ids = []
        for text in answer.texts:
            self._number += 1
            ids.append(str(self._number))
            self._suggestions[ids[-1]] = _Suggestion(uri, text)
        while len(self._suggestions) > _MAX_SUGGESTIONS:
            self._suggestions.popitem(last=False)
        return ids

    def accept(self, number: str, length: int | None = None) -> bool:
        """Counts a suggestion, or its first `length` characters, as accepted. Returns whether the id is known.

        A suggestion that is accepted in several parts counts once; `length` is their total.
        """
        suggestion = self._suggestions.get(number)
        if suggestion is None:
            return False
        length = len(suggestion.text) if length is None else min(length, len(suggestion.text))
        if not suggestion.accepted:
            self._statistics.accepted()
            asyncio.get_running_loop().call_later(RETAINED_AFTER_S, self._check_retained, suggestion)
        self._statistics.saved(max(0, length - suggestion.accepted))
        suggestion.accepted = max(suggestion.accepted, length)
        return True

    def reject(self, number: str) -> bool:
        """Forgets a suggestion. Returns whether the id is known."""
        return self._suggestions.pop(number, None) is not None

    def _check_retained(self, suggestion: _Suggestion) -> None:
        """Counts a suggestion as retained if its document still has the text; one that is out of sync has none."""
        document = self._documents.get(suggestion.uri)
        text = suggestion.text[: suggestion.accepted].strip()
        if document is not None and text in document.text.replace("\r\n", "\n").replace("\r", "\n"):
            self._statistics.retained()
        self._statistics.save()
