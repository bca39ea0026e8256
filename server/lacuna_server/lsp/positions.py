"""Columns in a client's units and characters of a line; halves of a character. Pure.

Everything that looks at a text's length runs in the codecs: a line may have hundreds of thousands of characters.
"""

from __future__ import annotations

import re

from lsprotocol import types

UTF8, UTF16, UTF32 = types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16, types.PositionEncodingKind.Utf32
_HALF = re.compile("[\ud800-\udfff]")
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_KEEPING_HALVES = "surrogatepass"


def characters(line: str, units: int, encoding: types.PositionEncodingKind) -> int:
    """How many characters of `line` the first `units` units are; a unit inside a character counts as before it."""
    return located(line, units, encoding)[0]


def located(line: str, units: int, encoding: types.PositionEncodingKind) -> tuple[int, bool]:
    """How many whole characters the first `units` units of `line` are, and whether they end inside the next one."""
    if encoding == UTF32 or line.isascii():
        return min(units, len(line)), False
    line = line[:units]  # a character takes at least one unit
    if encoding == UTF8:
        encoded = line.encode("utf-8", _KEEPING_HALVES)
        begun = len(encoded[:units].translate(None, _CONTINUATION_BYTES))
        inside = bool(encoded[units : units + 1]) and not encoded[units : units + 1].translate(
            None, _CONTINUATION_BYTES
        )
        return begun - inside, inside
    encoded = line.encode("utf-16-le", _KEEPING_HALVES)
    if len(encoded) == 2 * len(line):
        return len(line), False
    whole = encoded[: 2 * units].decode("utf-16-le", _KEEPING_HALVES)
    inside = whole[-1:] != line[len(whole) - 1 : len(whole)]
    return len(whole) - inside, inside


def units(text: str, encoding: types.PositionEncodingKind) -> int:
    """How many units `text` takes."""
    if encoding == UTF32 or text.isascii():
        return len(text)
    if encoding == UTF8:
        return len(text.encode("utf-8", _KEEPING_HALVES))
    return len(text.encode("utf-16-le", _KEEPING_HALVES)) // 2


def halves(character: str) -> tuple[str, str]:
    """The two UTF-16 units of a character that takes two, each as a lone surrogate."""
    first, second = divmod(ord(character) - 0x10000, 0x400)
    return chr(0xD800 + first), chr(0xDC00 + second)


def is_first_half(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def is_second_half(character: str) -> bool:
    return "\udc00" <= character <= "\udfff"


def joined(text: str) -> str:
    """`text` with halves of a character that stand next to each other as that character."""
    if not has_halves(text):
        return text
    return text.encode("utf-16-le", _KEEPING_HALVES).decode("utf-16-le", _KEEPING_HALVES)


def without_halves(text: str) -> str:
    """`text` with U+FFFD for every half of a character: tokenizers take none. Its length stays."""
    return _HALF.sub("\ufffd", text) if has_halves(text) else text


def has_halves(text: str) -> bool:
    try:
        text.encode()  # faster than a search
    except UnicodeEncodeError:
        return True
    return False
