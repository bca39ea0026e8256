"""Converts suggestions to protocol items, adapted to each client. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lsprotocol import types

from lacuna_server.core.service import Suggestions
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.lsp.capabilities import Client

LABEL_LENGTH = 60
_WORD = re.compile(r"\w*")

ACCEPT = "lacuna.accept"
"""The command that a client executes when a suggestion was accepted."""


def inline_items(answer: Suggestions, ids: Sequence[str], position: types.Position) -> types.InlineCompletionList:
    """Plain text at an empty range, the one form that every client renders correctly. `ids` are the suggestions'."""
    at_cursor = types.Range(position, position)
    items = [
        types.InlineCompletionItem(text, range=at_cursor, command=_accept_command(suggestion_id))
        for text, suggestion_id in zip(answer.texts, ids, strict=True)
    ]
    return types.InlineCompletionList(items)


def matching_selected(answer: Suggestions, selected: types.SelectedCompletionInfo, snapshot: Snapshot) -> Suggestions:
    """The suggestions that start with the selected popup item; a client ignores others."""
    word = word_before(snapshot)
    return replace(answer, texts=tuple(s for s in answer.texts if (word + s).startswith(selected.text)))


def with_selected(
    answer: Suggestions, ids: Sequence[str], selected: types.SelectedCompletionInfo, snapshot: Snapshot
) -> types.InlineCompletionList:
    """Items for a selected popup item, with its range."""
    word = word_before(snapshot)
    items = [
        types.InlineCompletionItem(word + text, range=selected.range, command=_accept_command(suggestion_id))
        for text, suggestion_id in zip(answer.texts, ids, strict=True)
    ]
    return types.InlineCompletionList(items)


def word_before(snapshot: Snapshot) -> str:
    """The part of a word directly before the cursor."""
    match = _WORD.match(snapshot.line_before[::-1])  # a search anchored at the end would try every word of the line
    return match.group()[::-1] if match else ""


def popup_items(
    answer: Suggestions, ids: Sequence[str], snapshot: Snapshot, word_range: types.Range, client: Client
) -> types.CompletionList:
    """A menu item for each suggestion.

    The edit replaces `word_range`, the word before the cursor, and `filterText` is that word followed by the
    suggestion: clients filter by the text between the start of the edit and the cursor.
    """
    word = word_before(snapshot)
    indent = snapshot.line_before[: len(snapshot.line_before) - len(snapshot.line_before.lstrip())]
    items = []
    for number, suggestion in enumerate(answer.texts):
        documentation = _documentation(word + suggestion, snapshot.language, client)
        text, as_snippet = _popup_text(word + suggestion, indent, client)
        first, *rest = (word + suggestion).strip("\n").split("\n")
        label = first.strip()[:LABEL_LENGTH] + ("…" if rest or len(first.strip()) > LABEL_LENGTH else "")
        items.append(
            types.CompletionItem(
                label=label,
                kind=types.CompletionItemKind.Snippet if rest else types.CompletionItemKind.Text,
                detail=_detail(answer),
                documentation=documentation,
                filter_text=first,
                sort_text=f"{number:04}",
                text_edit=types.TextEdit(word_range, text),
                insert_text_format=types.InsertTextFormat.Snippet if as_snippet else types.InsertTextFormat.PlainText,
                insert_text_mode=types.InsertTextMode.AsIs if client.insert_as_is else None,
                command=_accept_command(ids[number]),
            )
        )
    return popup_list(items, client)


def popup_list(items: Sequence[types.CompletionItem], client: Client) -> types.CompletionList:
    """An incomplete list: the client must request a new one at the next character.

    For Helix an empty list is complete. Helix opens its menu 0.1 s after the first list that is not both empty and
    complete; if there is nothing to show by then, it discards the answers of slower servers.
    """
    return types.CompletionList(is_incomplete=bool(items) or client.name != "helix", items=items)


def _accept_command(suggestion_id: str) -> types.Command:
    return types.Command("Lacuna: accepted", ACCEPT, arguments=[{"id": suggestion_id}])


def _detail(answer: Suggestions) -> str:
    confidence = "" if answer.confidence is None else f", {100 * answer.confidence:.0f} %"
    return f"Lacuna ({answer.model}{confidence})"


def _popup_text(text: str, indent: str, client: Client) -> tuple[str, bool]:
    """The text in the form that this client inserts completely, and whether it is a snippet.

    Neovim 0.11 inserts plain text up to the first blank, newer versions up to the end of the first line, and Helix
    indents the later lines itself; all of them insert snippets completely. Clients without snippet support (eglot,
    Kate) insert plain text unchanged.
    """
    if client.insert_as_is or not client.snippets:
        return text, False
    first, *rest = text.split("\n")
    relative = [line.removeprefix(indent) for line in rest]
    return re.sub(r"([\\$}])", r"\\\1", "\n".join([first, *relative])), True


def _documentation(text: str, language: str, client: Client) -> types.MarkupContent | str:
    """The whole text, as a code block if the client renders Markdown."""
    return types.MarkupContent(types.MarkupKind.Markdown, _fenced(text, language)) if client.markdown else text


def _fenced(text: str, language: str) -> str:
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
