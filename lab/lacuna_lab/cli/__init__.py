"""The lab's commands, which `lacuna` mounts: they parse options only, and import the rest when they run."""

from lacuna_server.cli_options import command

__all__ = ["command"]
