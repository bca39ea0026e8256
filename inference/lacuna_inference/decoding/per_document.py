"""State that is kept for the most recently used documents."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

MAX_DOCUMENTS = 32
"""Documents whose state is kept."""
_Value = TypeVar("_Value")


class PerDocument(Generic[_Value]):
    """An LRU map from document ids to values. Without an id, nothing is stored or found."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, _Value] = OrderedDict()

    def get(self, document_id: str | None) -> _Value | None:
        return None if document_id is None else self._values.get(document_id)

    def put(self, document_id: str | None, value: _Value) -> None:
        """Stores `value`; evicts the document whose value was stored longest ago."""
        if document_id is None:
            return
        self._values[document_id] = value
        self._values.move_to_end(document_id)
        if len(self._values) > MAX_DOCUMENTS:
            self._values.popitem(last=False)
