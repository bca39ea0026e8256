"""`lacuna cache`: what is kept on the disk to save time."""

from __future__ import annotations

import typer

from lacuna_server.commands import cache as cache_command

cache_app = typer.Typer(no_args_is_help=True, help="What is kept on the disk to save time.")


@cache_app.callback()
def _group() -> None:
    """With a callback, a group of one command keeps the command's name."""


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove KV caches of files (setting kv_cache_disk_mb) and packed weights (packed_weights_disk_mb)."""
    cache_command.clear()
