"""The last bytes that came in, kept for `read_until`. Filled by the reader thread, emptied by commands."""

from __future__ import annotations

import threading

CAPACITY = 64 * 1024


class Inbox:
    """A bounded buffer of bytes: the newest stay, the oldest are dropped. All methods from any thread."""

    def __init__(self, capacity: int = CAPACITY):
        self.capacity = capacity
        self._bytes = bytearray()
        self._changed = threading.Condition()

    def add(self, data: bytes) -> None:
        with self._changed:
            self._bytes += data
            del self._bytes[: -self.capacity]
            self._changed.notify_all()

    def take_until(self, expected: bytes, seconds: float) -> bytes | None:
        """Take everything up to and including `expected`; None where it has not come within `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: expected in self._bytes, seconds):
                return None
            end = self._bytes.index(expected) + len(expected)
            taken = bytes(self._bytes[:end])
            del self._bytes[:end]
            return taken

    def clear(self) -> None:
        with self._changed:
            self._bytes.clear()

    def peek(self) -> bytes:
        """What is waiting, left where it is."""
        with self._changed:
            return bytes(self._bytes)
