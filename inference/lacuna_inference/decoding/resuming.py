"""What besides its KV cache makes a document's next prompt the same as its last one: the window, the anchor, and what
it shows of other files.

They are saved with the cache. The anchor is saved as the lengths and a hash of the texts around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lacuna_inference.api import ContextFile
from lacuna_inference.decoding.anchors import Anchor, Anchors, FilesShown
from lacuna_inference.prompt.windows import Window
from lacuna_inference.text import without_surrogates

Notes = Mapping[str, Any]


def notes_of(anchors: Anchors, document_id: str) -> Notes:
    """What to save of a document, as JSON."""
    notes: dict[str, Any] = {}
    if (window := anchors.windows.get(document_id)) is not None:
        notes["window"] = [window.before, window.after]
    if (anchor := anchors.last(document_id)) is not None:
        notes["anchor"] = [len(anchor.before), len(anchor.suffix), _hash(anchor)]
    if (shown := anchors.files.get(document_id)) is not None and shown.files:
        notes["files"] = [[file.path, file.text] for file in shown.files]
        notes["repository"] = shown.repository
    return notes


def resume(anchors: Anchors, document_id: str, notes: Notes, prefix: str, suffix: str) -> None:
    """Restores what was saved of a document, as far as it applies to the text around the cursor.

    Where nobody knows the cursor, both are the whole text. `notes` may hold anything. A window that does not fit the
    text any more is ignored later, as one in memory would be.
    """
    match notes.get("window"):
        case [int(before), int(after)] if before >= 0 and after >= 0:
            anchors.windows.put(document_id, Window(before, after))
    match notes.get("anchor"):
        case [int(before), int(after), str(digest)] if 0 <= before <= len(prefix) and 0 <= after <= len(suffix):
            anchor = Anchor(prefix[:before], suffix[len(suffix) - after :])
            if _hash(anchor) == digest:
                anchors.move(document_id, anchor.before, anchor.suffix)
    match notes.get("files"), notes.get("repository"):
        case [list(files), str() | None as repository] if all(map(_is_file, files)):
            shown = tuple(ContextFile(*map(without_surrogates, file)) for file in files)
            anchors.files.put(document_id, FilesShown(shown, repository))


def _is_file(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _hash(anchor: Anchor) -> str:
    texts = f"{anchor.before}\0{anchor.suffix}".encode(errors="surrogatepass")
    return hashlib.blake2b(texts, digest_size=16).hexdigest()
