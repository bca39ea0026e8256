"""Entry point: guards stdout before anything else is imported when the protocol will need it."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line. For `lacuna lsp` over stdio, stdout belongs to the protocol from here on."""
    streams = None
    words = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if words[:1] == ["lsp"] and not any(word == "--help" or word.startswith("--tcp") for word in words):
        from lacuna_server.stdio import guard

        streams = guard()
    from lacuna_server.cli import run

    run(streams)


if __name__ == "__main__":
    main()
