"""What the prompts of each open document show of other files.

That changes only through `adopt`: a prompt that begins differently is read again from its beginning, so a key must
never change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lacuna_server.core.paths import normal
from lacuna_server.workspace.excerpts import Excerpt, fitting, rendered
from lacuna_server.workspace.ignored import relative
from lacuna_server.workspace.index import WorkspaceIndex
from lacuna_server.workspace.references import Place, RelatedDefinition, Why, related

_URGENT = frozenset({Why.ON_LINE, Why.RECEIVER, Why.IN_FUNCTION})
"""Reasons for which a prompt is read again."""


@dataclass(frozen=True, slots=True)
class DocumentContext:
    """Excerpts of other files, the definitions in them with the reasons for them, and the name of the repository."""

    files: tuple[Excerpt, ...] = ()
    definitions: tuple[RelatedDefinition, ...] = ()
    repository: str = ""


class DocumentContexts:
    """The contexts of the open documents. `wanted` may be called on another thread than the rest."""

    def __init__(self, index: WorkspaceIndex) -> None:
        self.index = index
        self._adopted: dict[str, DocumentContext] = {}

    def of(self, document_id: str) -> DocumentContext:
        """What the document's prompts show now."""
        return self._adopted.get(document_id, DocumentContext())

    def is_known(self, document_id: str) -> bool:
        """Whether something was adopted for the document, even if it is empty."""
        return document_id in self._adopted

    def wanted(self, document_id: str, place: Place, budget: int) -> DocumentContext | None:
        """A better context for `place`, of at most `budget` characters; None if the present one will do.

        It keeps what is shown now, as far as there is room, so that going back and forth changes nothing.
        """
        before = self.of(document_id).definitions
        found = related(place, self.index)
        needed = fitting(found, budget, self.index.roots)
        shown = {_key(one) for one in before}
        if all(_key(one) in shown or (before and one.why not in _URGENT) for one in needed):
            return None
        new = {_key(one) for one in found}
        kept = [one for one in self._still_there(before) if _key(one) not in new]
        chosen = fitting([*found, *kept], budget, self.index.roots)
        files = rendered(chosen, self.index.roots)
        return DocumentContext(files, tuple(chosen), self._repository(place.path))

    def adopt(self, document_id: str, context: DocumentContext) -> None:
        self._adopted[document_id] = context

    def forget(self, document_id: str) -> None:
        self._adopted.pop(document_id, None)

    def _still_there(self, shown: Sequence[RelatedDefinition]) -> list[RelatedDefinition]:
        """Those definitions that the index still has, as it has them now."""
        now = {_key(one): one for one in shown}
        found = []
        for path in {one.definition.path for one in shown}:
            for definition in self.index.in_file(path):
                old = now.get((definition.path, definition.parent, definition.name, definition.signature))
                if old is not None:
                    found.append(replace(old, definition=definition))
        return found

    def _repository(self, path: str) -> str:
        """The name of the innermost root folder around `path`."""
        around = [root for root in self.index.roots if relative(normal(path), root) is not None]
        return max(around, key=lambda root: len(str(root))).name if around else ""


def _key(one: RelatedDefinition) -> tuple[str, str, str, str]:
    """What makes a definition the same after lines above it have changed."""
    definition = one.definition
    return definition.path, definition.parent, definition.name, definition.signature
