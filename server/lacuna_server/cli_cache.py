"""`lacuna cache`: what is kept on the disk of files that the model has read."""

from __future__ import annotations

import typer

from lacuna_server.commands import cache as cache_command

cache_app = typer.Typer(no_args_is_help=True, help="What is kept on the disk of files that the model has read.")


@cache_app.callback()
def _group() -> None:
    """With a callback, a group of one command keeps the command's name."""


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove what is kept on this disk of files that the model has read in an editor (setting kv_cache_disk_mb)."""
    cache_command.clear()
