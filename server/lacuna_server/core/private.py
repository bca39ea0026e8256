"""Files that only their owner may read: they hold code, or say what somebody works on."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_OWNER_ONLY = 0o600


def opener(path: str, flags: int) -> int:
    """For `open`: a file that it makes is its owner's alone; one that is there keeps its rights."""
    return os.open(path, flags, _OWNER_ONLY)


def write(file: Path, text: str) -> None:
    """Writes `text` into a new file in the place of `file`, at once for those who read it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(temporary, "x", encoding="utf-8", opener=opener) as made:
        made.write(text)
    temporary.replace(file)


class LogFile(logging.FileHandler):
    """A log of the owner's. Halves of characters, which no encoding has, are written as escapes."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> IO[Any]:  # type: ignore[override]
        stream = open(  # noqa: SIM115
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=opener
        )
        with suppress(OSError):  # a file that was there before, perhaps of somebody else
            if os.name == "posix" and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                os.fchmod(stream.fileno(), _OWNER_ONLY)
        return stream
