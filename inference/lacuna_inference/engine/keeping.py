"""Saves the KV caches of documents on the disk: one at a time while nobody asks, and all of them at the end.

The engine's thread copies a cache, which takes less time than a forward pass; another thread writes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lacuna_inference.cache.pool import MIN_SAVED_TOKENS
from lacuna_inference.cache.prefix_cache import PrefixCache, common_prefix
from lacuna_inference.decoding.per_document import PerDocument
from lacuna_inference.decoding.resuming import notes_of
from lacuna_inference.errors import first_line
from lacuna_inference.forward import exporting

if TYPE_CHECKING:
    from lacuna_inference.decoding.loop import Decoder

IDLE_S = 5.0
"""Seconds without a request before a cache is saved."""
INTERVAL_S = 600.0
"""Seconds between two copies of a document's cache: each writes up to hundreds of megabytes."""
END_S = 1.0
"""Seconds after which no further cache is saved at the end."""

logger = logging.getLogger(__name__)


class Keeper:
    """Decides which caches of `decoder` are saved, and when. Used on the engine's thread only."""

    def __init__(self, decoder: Decoder, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoder, self._clock = decoder, clock
        self._saved_at: PerDocument[float] = PerDocument()
        self._writer: threading.Thread | None = None

    def wait_s(self) -> float | None:
        """How long nobody must ask before `save_one` has something to do; None if nothing is to be saved."""
        due = [self._due_in(document_id) for document_id, _ in self._unsaved()]
        return max(IDLE_S, min(due)) if due else None

    def save_one(self) -> None:
        """Begins to save the most recently used cache that is due."""
        if self._writer is not None and self._writer.is_alive():
            return
        due = [(document_id, cache) for document_id, cache in self._unsaved() if self._due_in(document_id) <= 0]
        if due and (write := self._copied(*due[0])) is not None:
            self._writer = threading.Thread(target=write, name="lacuna-kv", daemon=True)
            self._writer.start()

    def close(self) -> None:
        """Saves what is not saved yet, the most recently used first, as far as time allows."""
        end = self._clock() + END_S
        if self._writer is not None:
            self._writer.join(END_S)
        for document_id, cache in self._unsaved():
            if self._clock() >= end:
                return
            if (write := self._copied(document_id, cache)) is not None:
                write()

    def _due_in(self, document_id: str) -> float:
        """Seconds until a document's cache may be saved again."""
        last = self._saved_at.get(document_id)
        return 0.0 if last is None else last + INTERVAL_S - self._clock()

    def _unsaved(self) -> list[tuple[str, PrefixCache]]:
        """The documents whose caches hold enough that is not on the disk, the most recently used first."""
        caches = self._decoder.caches
        return [] if caches.disk is None else [item for item in caches.of_documents() if _news(item[1])]

    def _copied(self, document_id: str, cache: PrefixCache) -> Callable[[], object] | None:
        """Copies a cache, and returns the call that writes the copy. A failure is only logged: nobody waits for it."""
        disk, forward = self._decoder.caches.disk, exporting(self._decoder.caches.forward)
        assert disk is not None
        assert forward is not None
        self._saved_at.put(document_id, self._clock())
        cache.saved = tokens = cache.tokens
        try:
            notes, keys_values = notes_of(self._decoder.anchors, document_id), forward.export_kv(cache.kv_cache)
        except Exception as error:
            logger.warning("A KV cache was not copied: %s.", first_line(error))
            return None
        return lambda: disk.save(document_id, tokens, notes, keys_values)


def _news(cache: PrefixCache) -> bool:
    """Whether a cache holds enough tokens that its copy on the disk does not."""
    tokens = cache.tokens
    return len(tokens) - common_prefix(tokens, cache.saved) >= MIN_SAVED_TOKENS
