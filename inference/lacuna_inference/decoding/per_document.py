"""What is remembered of the documents that were asked for last."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

MAX_DOCUMENTS = 32
"""How many documents are remembered."""
_Value = TypeVar("_Value")


class PerDocument(Generic[_Value]):
    """A value for each document; without a key nothing is found and nothing kept."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, _Value] = OrderedDict()

    def get(self, key: str | None) -> _Value | None:
        return None if key is None else self._values.get(key)

    def put(self, key: str | None, value: _Value) -> None:
        """Keeps `value`; the document that was put longest ago gives way."""
        if key is None:
            return
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > MAX_DOCUMENTS:
            self._values.popitem(last=False)
