"""The KV caches of documents on disk, so that the first answer after a restart need not read its prompt again.

A cache is found by its model and document, and used as far as its tokens are the prompt's, like one in memory. Nothing
here is needed for an answer: what cannot be read is removed, what cannot be written is skipped. Several processes may
share a folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from lacuna_inference import private_files
from lacuna_inference.cache import kv_file
from lacuna_inference.cache.kv_file import Header, Unreadable
from lacuna_inference.forward import ExportingForward

SUFFIX = ".kv"
_KEPT_FREE = 2**30
"""Bytes that stay free on the disk."""

logger = logging.getLogger(__name__)


class DiskCaches:
    """The files of one model in a private folder, which also holds those of others.

    All files together take up to `budget` bytes; the least recently used ones are removed first.
    """

    def __init__(self, folder: Path, budget: int, model_key: str, forward: ExportingForward, context: int) -> None:
        """`model_key` names everything besides the tokens that keys and values depend on."""
        self._folder, self._budget, self._model_key = folder, budget, model_key
        self._forward, self._context = forward, context

    def find(self, document_id: str) -> Header | None:
        """What is known about the saved cache of a document; None without one."""
        path, key = self._locate(document_id)
        try:
            header = kv_file.read_header(path, key)
            if len(header.tokens) > self._context:
                raise Unreadable("it holds more tokens than the context")
        except (Unreadable, OSError) as error:
            _reject(path, error)
            return None
        return header

    def load(self, document_id: str, header: Header) -> Any:
        """The forward's KV cache that was found with this `header`; None if it turns out to be damaged."""
        path, _ = self._locate(document_id)
        length = len(header.tokens)
        try:
            shape = self._forward.kv_shape(length)
            keys_values = kv_file.read_keys_values(path, header, shape, self._forward.kv_dtype)
            os.utime(path)
        except (Unreadable, OSError) as error:
            _reject(path, error)
            return None
        return self._forward.import_kv(keys_values, length)

    def save(self, document_id: str, tokens: Sequence[int], notes: Mapping[str, Any], keys_values: Tensor) -> bool:
        """Writes what `export` returned, if it fits the budget and the disk; returns whether it was written."""
        path, key = self._locate(document_id)
        try:
            private_files.make_private(self._folder)
            if keys_values.nbytes > min(self._budget, shutil.disk_usage(self._folder).free - _KEPT_FREE):
                return False
            private_files.make_room(keys_values.nbytes, self._budget, path)
            kv_file.write(path, Header(key, tuple(tokens), notes), keys_values)
        except OSError as error:
            logger.warning("A KV cache was not saved: %s.", error.strerror or type(error).__name__)
            return False
        return True

    def _locate(self, document_id: str) -> tuple[Path, str]:
        """The file of a document, and the key in it. The document's name cannot be told from either."""
        name = f"{self._model_key}\0{document_id}".encode(errors="surrogatepass")
        key = hashlib.blake2b(name, digest_size=20).hexdigest()
        return self._folder / f"{key}{SUFFIX}", key


def _reject(path: Path, error: Exception) -> None:
    """Removes a file that cannot be used."""
    if isinstance(error, FileNotFoundError):
        return
    logger.info("A saved KV cache is removed: %s.", error if isinstance(error, Unreadable) else "it cannot be read")
    with suppress(OSError):
        path.unlink()
