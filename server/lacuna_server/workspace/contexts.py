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
from lacuna_server.workspace.similar import similar

_URGENT = frozenset({Why.ON_LINE, Why.RECEIVER, Why.IN_FUNCTION})
"""Reasons for which a prompt is read again."""
_SHARE = 3 / 8
"""Of the budget, for definitions; passages made a small model's answers better than they did."""


@dataclass(frozen=True, slots=True)
class DocumentContext:
    """Definitions with the reasons for them, as excerpts; passages, the most alike last; the name of the repository.

    `line` is where the cursor was when they were chosen, counted from 0.
    """

    definitions: tuple[RelatedDefinition, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    passages: tuple[Excerpt, ...] = ()
    repository: str = ""
    line: int | None = None

    @property
    def files(self) -> tuple[Excerpt, ...]:
        """What a prompt shows, the most relevant last."""
        return (*self.excerpts, *self.passages)


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

    def wanted(self, document_id: str, place: Place, budget: int, moved: int) -> DocumentContext | None:
        """A better context for `place`, of at most `budget` characters; None if the present one will do.

        Passages are chosen again so many lines from where they were chosen last.
        It keeps the definitions that are shown now where there is room, so that going back and forth changes little.
        """
        now, line = self.of(document_id), place.text.count("\n", 0, place.offset)
        found, roots = related(place, self.index), self.index.roots
        shown = {_key(one) for one in now.definitions}
        needed = [one for one in fitting(found, int(budget * _SHARE), roots) if one.why in _URGENT or not shown]
        has_moved = now.line is None or abs(line - now.line) >= moved
        if not has_moved and all(_key(one) in shown for one in needed):
            return None
        new = {_key(one) for one in found}
        kept = [one for one in self._still_there(now.definitions) if _key(one) not in new]
        chosen = fitting([*found, *kept], int(budget * _SHARE), roots)
        excerpts = rendered(chosen, roots)
        left = budget - sum(len(one.path) + len(one.text) for one in excerpts)
        passages = similar(place, self.index, left, roots)
        wanted = DocumentContext(tuple(chosen), excerpts, passages, self._repository(place.path), line)
        return None if wanted.files == now.files else wanted

    def adopt(self, document_id: str, context: DocumentContext | None) -> None:
        """From now on the document's prompts show `context`; None leaves what they show, and makes it known."""
        self._adopted[document_id] = context or self.of(document_id)

    def forget(self, document_id: str) -> None:
        self._adopted.pop(document_id, None)

    def forget_all(self) -> None:
        """What was chosen may no longer be shown: the user's rules have changed."""
        self._adopted.clear()

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
