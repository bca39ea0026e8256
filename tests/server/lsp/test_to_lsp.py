"""Completion items for each kind of client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import at_cursor
from lsprotocol import types

from lacuna_server.core.service import Suggestions
from lacuna_server.lsp import to_lsp
from lacuna_server.lsp.capabilities import Client, position_encoding, resolve

AT = types.Range(types.Position(0, 5), types.Position(0, 7))
TWO_LINES = "if x:\n        return $y}"


def popup(marked: str, suggestion: str, client: Client = Client()) -> types.CompletionItem:  # noqa: B008
    snapshot = at_cursor(marked)
    answer = Suggestions((suggestion,), model="fake")
    (item,) = to_lsp.popup_items(answer, ["7"], snapshot, AT, client).items
    return item


def edit(item: types.CompletionItem) -> types.TextEdit:
    assert isinstance(item.text_edit, types.TextEdit)
    return item.text_edit


def test_inline_items_have_an_empty_range_at_the_cursor() -> None:
    position = types.Position(3, 4)
    items = to_lsp.inline_items(Suggestions(("a", "b")), ["7", "8"], position).items
    assert [(item.insert_text, item.range) for item in items] == [(t, types.Range(position, position)) for t in "ab"]


def test_a_selected_row_must_be_the_beginning_of_the_suggestion() -> None:
    selected = types.SelectedCompletionInfo(
        range=types.Range(types.Position(0, 2), types.Position(0, 4)), text="append"
    )
    fitting = to_lsp.with_selected(Suggestions(("pend(x)",)), ["7"], selected, at_cursor("a.ap|"))
    assert to_lsp.matching_selected(Suggestions(("pend(x)",)), selected, at_cursor("a.ap|")).texts == ("pend(x)",)
    assert [(i.insert_text, i.range) for i in fitting.items] == [("append(x)", selected.range)]
    assert to_lsp.matching_selected(Suggestions(("ply(x)",)), selected, at_cursor("a.ap|")).texts == ()


def test_a_popup_item_starts_at_the_word_and_filters_by_it() -> None:
    item = popup("self.na|", "me = name")
    assert (edit(item).new_text, edit(item).range) == ("name = name", AT)
    assert (item.label, item.filter_text, item.sort_text) == ("name = name", "name = name", "0000")
    assert item.detail == "Lacuna (fake)"


def test_lists_are_incomplete() -> None:
    assert to_lsp.popup_items(Suggestions(), [], at_cursor("|"), AT, Client()).is_incomplete


def test_helix_waits_for_other_servers_after_an_empty_list_only_when_it_is_complete() -> None:
    helix = Client(name="helix")
    assert not to_lsp.popup_items(Suggestions(), [], at_cursor("|"), AT, helix).is_incomplete
    assert to_lsp.popup_items(Suggestions(("x",), model="fake"), ["7"], at_cursor("|"), AT, helix).is_incomplete


def test_the_whole_text_is_in_the_documentation_even_with_backticks() -> None:
    assert popup("|", "x = 1\ny").documentation == "x = 1\ny"
    item = popup("|", "x = '```'\ny", Client(markdown=True))
    assert isinstance(item.documentation, types.MarkupContent)
    assert item.documentation.value == "````python\nx = '```'\ny\n````"
    assert item.label == "x = '```'…"


@pytest.mark.parametrize(
    ("client", "text", "snippet"),
    [
        (Client(insert_as_is=True), TWO_LINES, False),
        (Client(snippets=True), "if x:\n    return \\$y\\}", True),
        (Client(), TWO_LINES, False),
    ],
)
def test_several_lines_as_each_client_inserts_them(client: Client, text: str, snippet: bool) -> None:
    item = popup("    |", TWO_LINES, client)
    assert edit(item).new_text == text
    assert (item.insert_text_format == types.InsertTextFormat.Snippet) is snippet


def test_a_blank_after_a_word_stays_in_label_and_filter() -> None:
    item = popup("if|", " x > 0:")
    assert (item.label, item.filter_text, edit(item).new_text) == ("if x > 0:", "if x > 0:", "if x > 0:")


def test_one_line_is_also_a_snippet_where_plain_text_is_cut_at_a_blank() -> None:
    assert edit(popup("x = |", "{a} b", Client(snippets=True))).new_text == "{a\\} b"


def initialize(capabilities: dict[str, object]) -> dict[str, object]:
    return {"processId": None, "rootUri": None, "capabilities": capabilities}


def test_channels() -> None:
    inline = resolve(initialize({"textDocument": {"inlineCompletion": {}}}))
    popup_only = resolve(initialize({}))
    assert (inline.shows_inline("auto"), inline.shows_popup("auto")) == (True, False)
    assert (popup_only.shows_inline("auto"), popup_only.shows_popup("auto")) == (False, True)
    assert inline.shows_popup("both")
    assert popup_only.shows_inline("both")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-32"], "utf-32"),
        (["utf-7", "utf-16"], "utf-16"),
        ([], "utf-16"),
    ],
)
def test_position_encoding(offered: list[str] | None, chosen: str) -> None:
    general = {} if offered is None else {"general": {"positionEncodings": offered}}
    assert position_encoding(initialize(general)).value == chosen


def test_capabilities_of_a_modern_editor(tmp_path: Path) -> None:
    raw = {
        "window": {"workDoneProgress": True},
        "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
        "textDocument": {
            "completion": {
                "completionItem": {
                    "snippetSupport": True,
                    "insertTextModeSupport": {"valueSet": [1, 2]},
                    "documentationFormat": ["markdown"],
                }
            },
            "inlineCompletion": {"dynamicRegistration": True},
        },
    }
    client = resolve(initialize(json.loads(json.dumps(raw))))
    assert client == Client("", True, True, True, True, True, True, True)
