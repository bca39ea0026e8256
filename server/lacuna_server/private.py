"""Files that only their owner may read, because they hold code or reveal what the user works on."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_OWNER_ONLY = 0o600


def opener(path: str, flags: int) -> int:
    """An opener for `open`: a new file is readable by its owner only, an existing one keeps its permissions."""
    return os.open(path, flags, _OWNER_ONLY)


def write(file: Path, text: str) -> None:
    """Replaces `file` atomically with a new file that holds `text`."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(temporary, "x", encoding="utf-8", opener=opener) as stream:
        stream.write(text)
    temporary.replace(file)


class LogFile(logging.FileHandler):
    """A log file for its owner only. Lone surrogates, which UTF-8 cannot encode, are written as escapes."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> IO[Any]:  # type: ignore[override]
        stream = open(  # noqa: SIM115
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=opener
        )
        with suppress(OSError):  # an existing file may belong to another user
            if os.name == "posix" and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                os.fchmod(stream.fileno(), _OWNER_ONLY)
        return stream
