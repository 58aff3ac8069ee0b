"""The thread that reads the tty: hands each chunk on at once and says when the port has gone."""

from __future__ import annotations

import os
from collections.abc import Callable

from labkit_plugins.reading import ReaderThread

CHUNK = 4096


class Reader(ReaderThread):
    """Read `fd` until `stop`, or until the port goes."""

    def __init__(self, name: str, fd: int, *, received: Callable[[bytes], None], lost: Callable[[str], None]):
        super().__init__(name, fd, serve=self._read, lost=lost)
        self._received = received

    def _read(self, _events: int) -> str:
        """Read one chunk; a reason where there will be no more."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return ""
        except OSError as error:
            return f"reading failed: {error.strerror}"
        if not data:
            return "it hung up"
        self._received(data)
        return ""
