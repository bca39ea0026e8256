"""`lacuna complete` changes nothing but the holes of a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference.errors import BadRequest
from lacuna_server.commands import source
from lacuna_server.commands.source import HOLE, SourceText

BOM = b"\xef\xbb\xbf"
LINES = st.lists(st.tuples(st.text("ab ü漢📦\t\x0c\u2028", max_size=4), st.sampled_from(["\n", "\r\n", "\r", ""])))


@given(LINES, st.booleans(), st.data())
def test_every_byte_outside_the_hole_is_kept(lines: list[tuple[str, str]], has_bom: bool, data: st.DataObject) -> None:
    text = "".join(part for line in lines for part in line)
    offset = data.draw(st.integers(0, len(text)))
    taken = SourceText((text[:offset], text[offset:]), None, has_bom)
    original = (BOM if has_bom else b"") + text.encode()
    assert taken.filled_bytes(()) == taken.filled_bytes([""]) == original
    before = (BOM if has_bom else b"") + text[:offset].encode()
    written = taken.filled_bytes(["FILL"])
    assert written == before + b"FILL" + original[len(before) :]


@pytest.mark.parametrize(
    ("text", "line_end"),
    [
        ("a\r\n|\r\n", "\r\n"),
        ("a\r|\rb\r", "\r"),
        ("a\n|", "\n"),
        ("|", "\n"),
        ("a\r\nb\n|c\n", "\n"),
        ("a\r\n|\n", "\r\n"),
    ],
)
def test_inserted_line_ends_are_those_of_the_file(text: str, line_end: str) -> None:
    before, after = text.split("|")
    assert SourceText((before, after)).filled(["x\ny"]) == f"{before}x{line_end}y{after}"


@given(LINES)
def test_every_position_of_every_line_is_accepted(lines: list[tuple[str, str]]) -> None:
    text = "".join(part for line in lines for part in line)
    number = column = 1
    for offset, character in enumerate(text):
        if text[offset - 1 : offset + 1] != "\r\n" or offset == 0:  # between CR and LF there is no position
            assert source.offset_at(text, f"{number}:{column}") == offset
        column += 1
        if character == "\n" or (character == "\r" and text[offset + 1 : offset + 2] != "\n"):
            number, column = number + 1, 1
    assert source.offset_at(text, f"{number}:{column}") == len(text)


@pytest.mark.parametrize("at", ["²:1", "1:²", "٣:1", "1", "", "1:1:1", "-1:1", "0:1", "1:0", " 1:1", "9" * 5000 + ":1"])
def test_an_invalid_position_is_rejected(at: str) -> None:
    with pytest.raises(BadRequest):
        source.offset_at("text", at)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_name_that_is_not_utf_8_can_be_part_of_a_prompt(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/a\xff.py")
    Path(name).write_text(HOLE)
    taken = source.read(name)
    assert taken.path == f"{tmp_path}/a\ufffd.py" == taken.snapshot.uri_path


def test_a_byte_order_mark_is_not_a_column(tmp_path: Path) -> None:
    file = tmp_path / "marked.py"
    file.write_bytes(BOM + b"x = \r\n")
    taken = source.read(str(file), "1:5")
    assert (taken.parts, taken.has_bom) == (("x = ", "\r\n"), True)
    file.write_bytes(BOM + f"x = {HOLE}\r\n".encode())
    assert source.read(str(file)) == taken
    assert taken.snapshot.text == "x = \r\n"


@pytest.mark.parametrize("name", ["missing.py", ".", "a\0b", "x" * 5000])
def test_an_unreadable_file_is_a_one_line_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        source.read(str(tmp_path / name), "1:1")
