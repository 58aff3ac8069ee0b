"""The thread that reads the tty: hands each chunk on at once and says when the port has gone."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

CHUNK = 4096


class Reader(threading.Thread):
    """Read `fd` until `stop`, or until the port goes: then `lost(reason)` is called once, and the thread ends.

    Does not own `fd`; who closes it calls `stop` first, so that the number can't come to name another file meanwhile.
    """

    def __init__(self, name: str, fd: int, *, received: Callable[[bytes], None], lost: Callable[[str], None]):
        super().__init__(name=name, daemon=True)
        self._fd = fd
        self._received = received
        self._lost = lost
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._stopped_inside = False

    def run(self) -> None:
        self._read_until_stopped()
        if self._stopped_inside:
            os.close(self._wake)

    def _read_until_stopped(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}  # ends by `stop`: its eventfd stays readable
            if self._wake in ready:
                return
            gone = self._read()
            if gone is not None:
                self._lost(gone)
                return

    def stop(self) -> None:
        """End the thread and wait for it, 2 s at most; call it once. From any thread, its own (in `lost`) too."""
        if self.ident is None:  # it could not be started
            os.close(self._wake)
            return
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is self:
            self._stopped_inside = True
            return
        self.join(2.0)
        if not self.is_alive():
            os.close(self._wake)

    def _read(self) -> str | None:
        """Read one chunk; a reason where there will be no more."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            return f"reading failed: {error.strerror}"
        if not data:
            return "it hung up"
        self._received(data)
        return None
