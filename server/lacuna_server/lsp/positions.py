"""Converts between columns in a client's units and characters of a line; handles surrogates. Pure.

Everything that depends on a text's length runs in the codecs: a line may have hundreds of thousands of characters.
"""

from __future__ import annotations

import re

from lsprotocol import types

UTF8, UTF16, UTF32 = types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16, types.PositionEncodingKind.Utf32
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_SURROGATEPASS = "surrogatepass"


def characters(line: str, units: int, encoding: types.PositionEncodingKind) -> int:
    """Number of characters in the first `units` units of `line`; a column inside a character is moved before it."""
    return split_position(line, units, encoding)[0]


def split_position(line: str, units: int, encoding: types.PositionEncodingKind) -> tuple[int, bool]:
    """Number of whole characters in the first `units` units of `line`, and whether these end inside the next one."""
    if encoding == UTF32 or line.isascii():
        return min(units, len(line)), False
    line = line[:units]  # a character takes at least one unit
    if encoding == UTF8:
        encoded = line.encode("utf-8", _SURROGATEPASS)
        started = len(encoded[:units].translate(None, _CONTINUATION_BYTES))
        inside = bool(encoded[units : units + 1]) and not encoded[units : units + 1].translate(
            None, _CONTINUATION_BYTES
        )
        return started - inside, inside
    encoded = line.encode("utf-16-le", _SURROGATEPASS)
    if len(encoded) == 2 * len(line):
        return len(line), False
    whole = encoded[: 2 * units].decode("utf-16-le", _SURROGATEPASS)
    inside = whole[-1:] != line[len(whole) - 1 : len(whole)]
    return len(whole) - inside, inside


def units(text: str, encoding: types.PositionEncodingKind) -> int:
    """Length of `text` in units of `encoding`."""
    if encoding == UTF32 or text.isascii():
        return len(text)
    if encoding == UTF8:
        return len(text.encode("utf-8", _SURROGATEPASS))
    return len(text.encode("utf-16-le", _SURROGATEPASS)) // 2


def surrogate_pair(character: str) -> tuple[str, str]:
    """The two UTF-16 units of a character outside the basic plane, each as a lone surrogate."""
    high, low = divmod(ord(character) - 0x10000, 0x400)
    return chr(0xD800 + high), chr(0xDC00 + low)


def is_high_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def is_low_surrogate(character: str) -> bool:
    return "\udc00" <= character <= "\udfff"


def join_surrogates(text: str) -> str:
    """`text` with adjacent surrogates joined into the character that they encode."""
    if not has_surrogates(text):
        return text
    return text.encode("utf-16-le", _SURROGATEPASS).decode("utf-16-le", _SURROGATEPASS)


def replace_surrogates(text: str) -> str:
    """`text` with U+FFFD for every lone surrogate, which tokenizers reject. The length does not change."""
    return _SURROGATE.sub("\ufffd", text) if has_surrogates(text) else text


def has_surrogates(text: str) -> bool:
    try:
        text.encode()  # faster than a search
    except UnicodeEncodeError:
        return True
    return False
