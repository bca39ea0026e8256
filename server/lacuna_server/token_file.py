"""Token files: the token that clients of `lacuna serve` must send, or that is sent to a remote engine."""

from __future__ import annotations

import codecs
from pathlib import Path

from lacuna_inference.errors import BadRequest

MIN_TOKEN_CHARACTERS = 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""The byte order marks that Windows PowerShell's `>` writes."""


def read_token(file: Path) -> str:
    """The token in `file`. Raises BadRequest for an unsuitable one. The message never contains the token."""
    try:
        data = file.expanduser().read_bytes()
        token = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}.", "Check the path of the token file.") from None
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise BadRequest(
            f"{file} has no token of at least {MIN_TOKEN_CHARACTERS} printable ASCII characters.",
            "Create one: python -c 'import secrets; print(secrets.token_urlsafe())'.",
        )
    return token
