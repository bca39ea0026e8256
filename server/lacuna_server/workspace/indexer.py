"""Keeps an index up to date in a thread of its own, which gives way to all others.

The interpreter runs one thread at a time. So that an answer is never held up for long, the thread rests after each
file for a share of the time that the file took, and long files are parsed in parts (`grammars.parsed`). What an editor
reports comes before what is still to be read of the disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict, deque

from lacuna_server.core.paths import normal
from lacuna_server.workspace.index import WorkspaceIndex

_log = logging.getLogger(__name__)
_REST = 0.25
"""Seconds of rest for each second of work."""
_NICENESS = 10
"""Behind the engine's thread."""


class Indexer:
    """Fills `index` in the background. All methods return at once, but for `wait`."""

    def __init__(self, index: WorkspaceIndex) -> None:
        self.index = index
        self._wake = threading.Condition()
        self._changes: OrderedDict[str, str | None] = OrderedDict()
        """By path, the text that an editor has, or None for the one on the disk. The last change of a file counts."""
        self._open: set[str] = set()
        """Files whose text is an editor's."""
        self._unread: deque[str] = deque()
        self._listed = self._closed = False
        self._busy = True
        self._thread = threading.Thread(target=self._run, name="lacuna-index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def changed(self, path: str, text: str | None = None) -> None:
        """Reads `text`, which an editor has; without one, the file, which changed on the disk or was closed."""
        path = normal(path)
        with self._wake:
            self._open.discard(path) if text is None else self._open.add(path)
            self._changes[path] = text
            self._changes.move_to_end(path)
            self._busy = True
            self._wake.notify_all()

    def removed(self, path: str) -> None:
        """Forgets a file that was deleted, or a folder."""
        self.index.remove(path)
        self.changed(path)  # in case it is being read right now

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until everything known is indexed. Returns whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._busy or self._closed, timeout) and not self._closed

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread, and waits for that for at most `timeout` seconds."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        _lower_priority()
        try:
            while self._step():
                pass
        except Exception:
            _log.exception("the index of the workspace is no longer kept")
            with self._wake:  # nobody waits for what will not come
                self._closed = True
                self._wake.notify_all()

    def _step(self) -> bool:
        """Indexes one file, or waits for one. Returns whether to go on."""
        if not self._listed:
            self._listed = True
            for root in self.index.roots:
                self._unread.extend(self.index.files_below(root))
        with self._wake:
            if not (self._changes or self._unread):
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._changes or self._closed)
            if self._closed:
                return False
            if self._changes:
                path, text = self._changes.popitem(last=False)
            else:
                path, text = self._unread.popleft(), None
                if path in self._open:
                    return True
        start = time.perf_counter()
        self.index.update(path, text)
        time.sleep(_REST * (time.perf_counter() - start))
        return True


def _lower_priority() -> None:
    """Gives other threads precedence over this one. Only Linux has a nice value for each thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
