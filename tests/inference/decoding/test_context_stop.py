"""Where an answer leaves its hole. `|` marks the cursor; what the model writes ends at `^`, if it is cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers import scripted_decoder
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.api import CancelToken, Fill, Raw, Request, Stop, StopReason, StreamEvent
from lacuna_inference.decoding.answer import answer
from lacuna_inference.decoding.context_stop import ContextStop, context_stop
from lacuna_inference.decoding.loop import Decoder

PY, JS, GO, RS, JAVA, C, CSS, JSON = "a.py", "a.js", "a.go", "a.rs", "A.java", "a.c", "a.css", "a.json"
OUTSIDE, DEDENT = StopReason.OUTSIDE, StopReason.DEDENT


def stop_at(document: str, path: str | None = PY, blocks: bool = False, closes_holes: bool = True) -> ContextStop:
    before, _, after = document.partition("|")
    return context_stop(before, after, path, Stop(dedent_below=0 if blocks else None), closes_holes)


def ended(stop: ContextStop, marked: str) -> str:
    """The answer written letter by letter, with a mark where it ends. Nothing that was certain is cut."""
    answer, certain = marked.replace("^", "", 1), 0
    for length in range(1, len(answer) + 1):
        cut = stop.find(answer[:length])
        if cut is not None:
            assert cut[0] >= certain
            return answer[: cut[0]] + "^" + answer[cut[0] :]
        assert certain <= stop.certain <= length
        certain = stop.certain
    return answer


@pytest.mark.parametrize(
    ("path", "document", "answer"),
    [
        # the rest of the cursor's line
        (PY, "print(|)\n", "a, b^)\n"),
        (PY, "print(|)\n", "f(a)[0]^)\n"),
        (PY, "print(|, end='')\n", "a^, end='')\n"),
        (PY, "print(f(|))\n", "a^))\n"),
        (PY, "print(f(|)\n", "a), b^)\n"),
        (PY, "print(|\n", "a)\n"),
        (PY, "x = [|]\n", "i for i in y^]\n"),
        (PY, "x[|] = 1\n", "i^] = 1\n"),
        (PY, "if |:\n    pass\n", "x > 3^:\n    pass"),
        (PY, "x = | if y else z\n", "f(x)^ if y else z\n"),
        (JS, "foo(bar, |);\n", "() => {\n  return x;\n}^);\n"),
        (JS, "if (|) {\n}\n", "a && (b || c)^) {\n"),
        (C, "f(|);\n", "')', 1^);\n"),
        (JAVA, "list.add(|);\n", 'new Foo(")")^);\n'),
        (GO, "x := []int{|}\n", "1, 2^}\n"),
        (RS, "fn f<'a>(|) {}\n", "x: &'a str^) {}\n"),
        (JSON, '{"a": [|], "b": 1}\n', '1, {"c": "]"}^], "b": 1}'),
        (None, "print(|)\n", "a^)\n"),
        ("notes.md", "see (|)\n", "a) b) c)"),
        # strings and comments
        (PY, 'open("|")\n', 'a.txt^")\n'),
        (PY, 'open("|\n', 'a.txt")\n'),
        (PY, 'x = "|", y, "z"\n', 'a^", b, "c", y, "z"\n'),
        (PY, "x = 'a|b'\n", "\\'c^'\n"),
        (PY, 'def f():\n    """|"""\n    return 1\n', 'Say "hello".^"""\n'),
        (PY, 'def f() -> "A|r."""\n    return 1\n', 'b":\n    """C'),
        (JS, "let x = `|`;\n", 'a${b + "c"}^`;\n'),
        (C, "/* | */\nint x;\n", "an int^ */\n"),
        (C, "/* |\nint x;\n", "an int */\n"),
        # the lines below
        (PY, "a = 1\n|\nc = compute(a)\n", "b = 2^\nc = compute(a)\n"),
        (PY, "a = 1\n|\n\n\nc = compute(a)\n", "b = 2^\nc = compute(a)\n"),
        (PY, "def f(|\n    return value_of(x)\n", "x):^\n    return value_of(x)\n"),
        (PY, "if a:\n    |\n    return\n\ndef g():\n", "b()^\n    return\n\ndef g():\n"),
        (PY, "if a:\n    |\n    return\n\ndef g():\n", "b()\n    return\n    c()\n"),
        (PY, "if a:\n    |\nvalue = compute(a)\n", "b()\n    value = compute(a)\n"),
        (PY, "x = 1\n|\ny = 2\nreturn value_of(x)\n", "z = 3^\nreturn value_of(x)\n"),
        (PY, "    |\n    call_it(now)\n    call_it(now)\n", "a()^\n    call_it(now)\n    call_it(now)\n"),
        (GO, "func f() {\n\t|\n}\n", "return x^\n}\n"),
        (GO, "func f() {\n\tif x {\n\t\t|\n}\n", "return x\n\t}^\n}\n"),
        (RS, "fn f() {\n    |\n}\n", "let c = '}';\n    x(\"}\") // }^\n}\n"),
        (CSS, "a {\n  |\n}\n", "color: red;^\n}\n"),
        (JSON, '{\n  "a": 1,\n  |\n}\n', '"b": [\n    2\n  ]^\n}'),
        # explanations
        (PY, "a = 1\n|\n", "b = 2^\n```\nThis"),
        (PY, "a = 1\n|\n", "b = 2^\n\nThis code sets both of them.\n"),
        (PY, "a = 1\n|\n", "b = 2\nThis is_not(prose)\n"),
        (PY, 'def f():\n    """|', "Do it.\n\n    ```\n    f()\n"),
        ("notes.md", "# a\n|\n", "Then:\n```\nx\n```\nThis code sets both of them.\n"),
        (None, "a\n|\n", "This code sets both of them.\nb^\n```\n"),
    ],
)
def test_an_answer_ends_where_it_leaves_its_hole(path: str | None, document: str, answer: str) -> None:
    assert ended(stop_at(document, path), answer) == answer
    cut = stop_at(document, path).find(answer.replace("^", ""))
    assert cut == ((answer.index("^"), OUTSIDE) if "^" in answer else None)


@pytest.mark.parametrize(
    ("path", "document", "answer"),
    [
        (JS, "|\n", "if (a) {\n  b();\n}^\nc();\n"),
        (JS, "|\n", "if (a) {\n  b();\n} else {\n  c();\n}^\n\nd();\n"),
        (JAVA, "    |\n", "try {\n        a();\n    }\n    catch (E e) {\n        b();\n    }^\n    c();\n"),
        (JS, "|\n", "const a = {\n  b: 1,\n};^\nd"),
        (JS, "|\n", "it('a', () => {\n  b('}');\n});^\nd"),
        (JS, "|\n", "a();\nb();\n"),
        (GO, "switch x {|\n", "\ncase 1:\n\treturn\n}^\ny"),
        (GO, "func f() {|\n}\n", "\n\treturn x^\n}\n"),
        (C, "if (a) {|\n", "\n  b();\n}^\nd"),
        (PY, "|\n", "x = {\n    1: 2,\n}\ny"),
    ],
)
def test_between_braces_a_block_ends_with_its_brace(path: str, document: str, answer: str) -> None:
    assert ended(stop_at(document, path, blocks=True), answer) == answer


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ("x = |\n", "compute(\n    1,\n)^\ny = 2\n"),
        ("x = f(1, |\n", "2)^\ny = 2\n"),
        ("def f(|\n", "x):\n    return 1^\ny = 2\n"),
        ("# the |\n", "first one^\nx = 1\n"),
        ("if a:\n    |\n", "b()\n    c()^\n\nd()\n"),
        ("if a:\n    |\n    e()\n", "b()^\nd()\n"),
        ("|\n    e()\n", "for a in b:^\n    c()\n"),
        ("x = |  # one\n", "1^\ny = 2\n"),
        ("if a:\n    |\n    e()\n", "if b:\n        c()\n    else:\n        d()^\n    f()\n"),
        ("if a|\n    e()\n", " > 1:^\n    c()\n"),
        ("x = f(\n    |\n        e)\n", "[^\n        1,\n"),
        ("x = [\n    1,\n    |\n]\n", "2,^\n    3,\n"),
        ("x = [\n    |\n]\n", "f(\n        1,\n    ),^\n    3,\n"),
        ("x = [1, |\n]\n", "2,\n    3,\n"),
        ("x = [\n    |\n", "1,\n    2,\n"),
    ],
)
def test_the_answer_of_a_chat_tuned_model_ends_with_a_statement(document: str, answer: str) -> None:
    assert ended(stop_at(document, closes_holes=False), answer) == answer
    assert "^" not in ended(stop_at(document), answer.replace("^", ""))


PIECES = [
    *"a()[]{}\"'`#,: \n/", "be", "\\", "/*", "*/", "\n    ", "\n\n", "\n}", "else", "longer_line(1)", "```",
    "This is so. ",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), max_size=14)


@given(TEXT, TEXT, TEXT, st.integers(0, 40), st.sampled_from([PY, JS, GO, "a.md", None]), st.booleans(), st.booleans())
def test_pieces_end_where_the_whole_does_and_certain_text_is_never_cut(
    before: list[str], pieces: list[str], after: list[str], again: int, path: str | None, blocks: bool, closes: bool
) -> None:
    document = "".join(before) + "|" + "".join(after)
    pieces = [*pieces, "".join(after)[:again]]
    in_pieces, text, certain = stop_at(document, path, blocks, closes), "", 0
    for piece in pieces:
        text += piece
        found = in_pieces.find(text)
        assert found == stop_at(document, path, blocks, closes).find(text)
        if found is not None:
            assert certain <= found[0] <= len(text)
            return
        assert certain <= in_pieces.certain <= len(text)
        certain = in_pieces.certain


def request(document: str, **more: Any) -> Request:
    return Request(tuple(document.split("|")), "a.py", **more)


def fill_of(decoder: Decoder, asked: Request) -> Fill:
    return answer(decoder, "m", asked, CancelToken(), 0.0).candidates[0].fills[0]


def test_decoding_stops_there_and_streams_no_more_than_the_answer() -> None:
    streamed: list[StreamEvent] = []
    asked = request("def f():\n    |\n    return value_of(x)\n", on_token=streamed.append, document_id="d")
    decoder = scripted_decoder("    y = 1\n    return value_of(x)\n" + "z = 2\n" * 9)
    fill = fill_of(decoder, asked)
    assert (fill.text, fill.reason) == ("y = 1", OUTSIDE)
    assert "".join(event.token.text for event in streamed) == fill.text
    assert decoder.caches.counts.passes < 40
    assert fill_of(decoder, replace(asked, on_token=None)) == replace(fill, tokens=0)


def test_a_blank_line_gets_something_else_than_the_line_below() -> None:
    streamed: list[StreamEvent] = []
    asked = request("def f(x):\n|\nreturn value_of(x)\n", on_token=streamed.append)
    fill = fill_of(scripted_decoder("return value_of(x)\n", otherwise="y = 1"), asked)
    assert (fill.text[1:], fill.reason) == ("y = 1", StopReason.END_OF_HOLE)
    assert "".join(event.token.text for event in streamed) == fill.text


@pytest.mark.parametrize(
    "asked",
    [
        request("print(\n|)\n", stop=Stop(outside=False)),
        request("print(\n"),
        request("print(\n", raw=Raw.YES),
        request("", ids=(1, 2)),
    ],
)
def test_what_has_no_text_behind_it_and_what_asks_for_it_goes_on(asked: Request) -> None:
    decoder = scripted_decoder("a) b) c)")
    fill = fill_of(decoder, asked)
    assert fill.reason is not OUTSIDE
    assert fill_of(scripted_decoder("a) b) c)"), request("print(\n|)\n")).text == "a"


def test_each_of_several_holes_ends_by_the_texts_around_it() -> None:
    result = answer(scripted_decoder("1)]\n"), "m", request("print(\n|)\nx = [\n|]\n"), CancelToken(), 0.0)
    assert [fill.text for fill in result.candidates[0].fills] == ["1", "1)"]


def test_between_braces_indentation_does_not_end_a_block() -> None:
    asked = replace(request("|"), parts=("switch x {\n", "\n"), path="a.go", stop=Stop(dedent_below=1))
    text = "case 1:\n\treturn\n}"
    fill = fill_of(scripted_decoder(text + "\ny := 1\n"), asked)
    assert (fill.text, fill.reason) == (text, DEDENT)
