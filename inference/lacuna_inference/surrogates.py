"""Text that can be encoded: what editors send may hold half of a character. Pure."""

from __future__ import annotations


def without_surrogates(text: str) -> str:
    """`text` with a lone half of a surrogate pair read as U+FFFD, and two halves as the character that they make.

    Editors that count in UTF-16 may send half of a character, which no UTF-8 can say.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
