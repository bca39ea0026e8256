"""The commands of the laboratory, as `lacuna` mounts them: parsing only, the rest is imported when one runs."""

from lacuna_server.cli_options import command

__all__ = ["command"]
