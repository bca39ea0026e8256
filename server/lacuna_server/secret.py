"""The token of a file: what callers of `lacuna serve` must send, and what a remote engine sends."""

from __future__ import annotations

from pathlib import Path

from lacuna_inference.errors import BadRequest

SHORTEST = 16


def read_token(file: Path) -> str:
    """The token. Raises BadRequest, which never holds it, when there is none that can be sent."""
    try:
        token = file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}.", "Check the path of the token file.") from None
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise BadRequest(
            f"{file} holds no token of at least {SHORTEST} signs.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'.",
        )
    return token
