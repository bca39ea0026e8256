"""`lacuna cache`: removes the saved KV caches."""

from __future__ import annotations

from lacuna_server import kv_folder
from lacuna_server.commands.show import stdout


def clear() -> None:
    """Removes the files and says how many there were."""
    count, size = kv_folder.clear()
    stdout.print(f"Removed {count} file(s), {size / 2**20:.0f} MiB, from {kv_folder.folder()}")
