"""Keeps the index of the workspace in step with the editor, and chooses in pauses what prompts show of other files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from lacuna_inference.api import ContextFile, ModelFacts, RequestMetrics
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp.documents import Documents
from lacuna_server.lsp.reading import at, items, number, text
from lacuna_server.lsp.uris import local_path

if TYPE_CHECKING:
    from lacuna_server.workspace import DocumentContext, DocumentContexts, Indexer

PAUSE_S = 0.5
"""Seconds without a request after which something else is chosen for a document's prompts."""
_BUDGET_S = 2.0
"""Seconds that the model may take to read the excerpts."""
_AT_ONCE_S = 0.3
"""Seconds that the model may take to read the excerpts where the first request shows them."""
_MIXED_CHARACTERS = 6000
"""For a model that need not read them: more would not make the bundled model's answers better."""
_LEAST_TOKENS = 400
"""Fewer show too little; they are read in pauses, and prompts for the lines at the cursor are used until then."""
_LEAST_MOVED = 3
"""Lines after which passages are chosen again: those that were chosen for a line help less with each line below it."""
_SHARE = 4
"""They take at most a quarter of the context."""
_CHARACTERS_PER_TOKEN = 3.0
"""Of code, a little less than is usual."""


class OtherFiles:
    """What prompts show of files other than their document. Used on the event loop; nothing is shown before `start`.

    The index is read in a thread of its own, and excerpts are chosen in another.
    """

    def __init__(
        self,
        documents: Documents,
        read: Callable[[Snapshot, bool], Awaitable[bool]],
        on_change: Callable[[], None],
    ) -> None:
        """`read` has the model read a prompt, perhaps beside the one that is shown; it returns whether it was read.

        `on_change` is called when requests begin to show something else.
        """
        self._documents, self._read, self._on_change = documents, read, on_change
        self._roots: tuple[Path, ...] = ()
        self._facts = ModelFacts()
        self._reading_speed = 0.0
        self._indexer: Indexer | None = None
        self._contexts: DocumentContexts | None = None
        self._edited: set[str] = set()
        """Documents whose text the index does not have."""
        self._reconsidering: asyncio.Task[None] | None = None
        self._replacing: dict[str, asyncio.Task[None]] = {}
        """By document, what is read before it is shown."""

    def start(self, roots: Sequence[Path], facts: ModelFacts, may_be_read: Callable[[str], bool]) -> None:
        """Indexes the folders, unless they are indexed already or the model is shown no files.

        `may_be_read` is the user's rule, by path; it is asked in other threads, too.
        """
        if facts != self._facts:
            self._facts, self._reading_speed = facts, facts.reading_speed
        wanted = tuple(root for root in roots if root not in (Path.home(), Path(root.anchor)))
        wanted = wanted if facts.shows_files or facts.mixes_files else ()
        if wanted == self._roots:
            return
        self.stop()
        if wanted:
            from lacuna_server.workspace import DocumentContexts, Indexer, WorkspaceIndex

            self._roots = wanted
            index = WorkspaceIndex(wanted, may_be_read)
            self._indexer, self._contexts = Indexer(index), DocumentContexts(index)
            self._indexer.start()

    def choose_again(self) -> None:
        """The user's rules have changed: what was chosen before is shown no more."""
        if self._contexts is not None:
            self._contexts.forget_all()
        self._stop_replacing()

    def stop(self) -> None:
        """Forgets the index."""
        if self._indexer is not None:
            self._indexer.close(timeout=0)
        if self._reconsidering is not None:
            self._reconsidering.cancel()
        self._stop_replacing()
        self._roots, self._indexer, self._contexts = (), None, None

    def edited(self, uri: str) -> None:
        """Notes that an open document has another text than the index has; it is indexed when another one asks."""
        self._edited.add(uri)

    def closed(self, uri: str) -> None:
        """From now on a document's text is that on the disk."""
        self._edited.discard(uri)
        if self._contexts is not None:
            self._contexts.forget(uri)
        if self._indexer is not None and (path := local_path(uri)) is not None:
            self._indexer.changed(str(path))

    def files_changed(self, params: Any) -> None:
        """Applies a didChangeWatchedFiles notification, from its raw parameters."""
        for change in items(at(params, "changes")) or ():
            uri = text(at(change, "uri")) or ""
            path = local_path(uri)
            if self._indexer is None or path is None or self._documents.get(uri) is not None:
                continue
            if number(at(change, "type")) == types.FileChangeType.Deleted:
                self._indexer.removed(str(path))
            else:
                self._indexer.changed(str(path))

    async def shown_in(self, snapshot: Snapshot) -> Snapshot:
        """`snapshot` with what its prompt shows of other files.

        The first time it is chosen at once if it can be read at once, otherwise in the first pause.
        """
        if (contexts := self._contexts) is None:
            return snapshot
        if not contexts.is_known(snapshot.document_id) and self._reads_at_once():
            contexts.adopt(snapshot.document_id, await self._wanted(contexts, snapshot))
        return self.with_last(snapshot)

    def with_last(self, snapshot: Snapshot) -> Snapshot:
        """`snapshot` with what was chosen for its document, or with what the model was shown before a restart."""
        if (contexts := self._contexts) is None:
            return snapshot
        if not contexts.is_known(snapshot.document_id):
            return replace(snapshot, keeps_files=True)
        return _with_files(snapshot, contexts.of(snapshot.document_id))

    def reconsider(self, snapshot: Snapshot, metrics: RequestMetrics) -> None:
        """Chooses again in the next pause after an answer with these `metrics`. What is to be shown then is read first.

        Of the reading speeds the best one counts, as other programs may be busy.
        """
        self._reading_speed = max(self._reading_speed, metrics.reading_speed)
        if self._contexts is None:
            return
        if self._reconsidering is not None:
            self._reconsidering.cancel()
        self._reconsidering = asyncio.ensure_future(self._reconsider(self._contexts, snapshot, metrics.narrow))

    def shown(self, document_id: str) -> DocumentContext | None:
        """What a document's prompts show, with the reasons; None if nothing is chosen."""
        return None if self._contexts is None else self._contexts.of(document_id)

    async def _reconsider(self, contexts: DocumentContexts, snapshot: Snapshot, is_narrow: bool) -> None:
        await asyncio.sleep(PAUSE_S)
        document_id = snapshot.document_id
        is_first = not contexts.is_known(document_id)
        if document_id in self._replacing or (is_first and not self._is_indexed()):
            return
        context = await self._wanted(contexts, snapshot)
        if context is None and is_first:
            contexts.adopt(document_id, None)
        if context is not None and self._may_adopt(contexts, document_id):
            task = self._replacing[document_id] = asyncio.ensure_future(
                self._replace(contexts, snapshot, context, at_once=is_first and is_narrow)
            )
            task.add_done_callback(lambda _: self._replacing.pop(document_id))

    async def _replace(
        self, contexts: DocumentContexts, snapshot: Snapshot, context: DocumentContext, at_once: bool
    ) -> None:
        """Shows `context` once it was read: until then, keys are answered from what is shown now.

        What is shown `at_once` takes the place of a prompt that is still to be read from its beginning.
        """
        if at_once:
            contexts.adopt(snapshot.document_id, context)
        was_read = self._facts.mixes_files or await self._read(_with_files(snapshot, context), not at_once)
        if was_read and self._may_adopt(contexts, snapshot.document_id):
            contexts.adopt(snapshot.document_id, context)
            self._on_change()

    def _stop_replacing(self) -> None:
        for task in self._replacing.values():
            task.cancel()

    def _may_adopt(self, contexts: DocumentContexts, document_id: str) -> bool:
        """Whether what was chosen in `contexts` for a document still counts."""
        return contexts is self._contexts and self._documents.get(document_id) is not None

    async def _wanted(self, contexts: DocumentContexts, snapshot: Snapshot) -> DocumentContext | None:
        from lacuna_server.workspace import Place

        if not snapshot.in_sync:
            return None
        self._index_others(snapshot.document_id)
        path = local_path(snapshot.document_id)
        before, _ = snapshot.lines_around()
        budget = most_characters(self._facts, self._reading_speed)
        place = Place(str(path or snapshot.uri_path), snapshot.language, before, len(before))
        moved = max(_LEAST_MOVED, self._reading_s(snapshot, budget))
        return await asyncio.to_thread(contexts.wanted, snapshot.document_id, place, budget, moved)

    def _is_indexed(self) -> bool:
        return self._indexer is not None and self._indexer.wait(0)

    def _reads_at_once(self) -> bool:
        if self._facts.mixes_files:
            return True
        tokens = most_characters(self._facts, self._reading_speed) / _CHARACTERS_PER_TOKEN
        return tokens <= self._reading_speed * _AT_ONCE_S

    def _reading_s(self, snapshot: Snapshot, budget: int) -> int:
        """Seconds that the model takes for a prompt with `budget` characters of other files."""
        tokens = min(self._facts.context, (len(snapshot.text) + budget) / _CHARACTERS_PER_TOKEN)
        return int(tokens / self._reading_speed) if self._reading_speed else 0

    def _index_others(self, asking: str) -> None:
        """Gives the index the texts of edited documents but for the one that asks, which is never shown to itself."""
        for uri in [uri for uri in self._edited if uri != asking]:
            self._edited.discard(uri)
            document, path = self._documents.get(uri), local_path(uri)
            if self._indexer is not None and document is not None and document.in_sync and path is not None:
                self._indexer.changed(str(path), document.clean_text)


def most_characters(facts: ModelFacts, reading_speed: float) -> int:
    """How many characters of other files a request has: about as many as the model reads in `_BUDGET_S`."""
    if facts.mixes_files:
        return _MIXED_CHARACTERS
    if not facts.shows_files:
        return 0
    tokens = max(_LEAST_TOKENS, reading_speed * _BUDGET_S)
    return int(_CHARACTERS_PER_TOKEN * min(tokens, facts.context / _SHARE))


def _with_files(snapshot: Snapshot, context: DocumentContext) -> Snapshot:
    files = tuple(ContextFile(one.path, one.text) for one in context.files)
    return replace(snapshot, context_files=files, repository=context.repository)
