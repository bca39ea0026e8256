"""The commands of the lab, as `lacuna` mounts them: parsing only, the rest is imported when one runs."""

from lacuna_server.cli_options import command

__all__ = ["command"]
