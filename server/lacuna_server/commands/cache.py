"""`lacuna cache`: removes what is kept on the disk."""

from __future__ import annotations

from lacuna_server.commands.show import stdout
from lacuna_server.kept import KV_CACHES, PACKED_WEIGHTS


def clear() -> None:
    """Removes the files and says how many there were."""
    for kept in (KV_CACHES, PACKED_WEIGHTS):
        count, size = kept.clear()
        stdout.print(f"Removed {count} file(s), {size / 2**20:.0f} MiB, from {kept.folder}")
