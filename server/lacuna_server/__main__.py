"""Entry point. Guards the standard streams before anything else is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line. For `lacuna lsp` over stdio, stdout belongs to the protocol from here on."""
    from lacuna_server import interrupts, stdio

    interrupts.end_at_once()  # importing takes a second, and there is nothing to clean up yet
    missing = stdio.open_missing()
    streams = None
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if arguments[:1] == ["lsp"] and not any(a == "--help" or a.startswith("--tcp") for a in arguments):
        if missing & {0, 1}:
            sys.exit(
                "lacuna: The protocol needs standard input and output, and one is closed. "
                "Start `lacuna lsp` from an editor."
            )
        streams = stdio.guard()
    from lacuna_server.cli import run

    run(streams)


if __name__ == "__main__":
    main()
