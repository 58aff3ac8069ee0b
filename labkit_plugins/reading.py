"""The thread that waits for what a device gives: serves its descriptor, and says when the device has gone.

Used by the serial and the GPIO driver.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


class ReaderThread(threading.Thread):
    """Serve `fd` until `stop`, or until the device goes: then `lost(reason)` is called once, and the thread ends.

    serve(events): takes what `poll` found at `fd`, 0 where `patience` seconds (None: any time) brought nothing; returns
    a reason where there will be no more. Does not own `fd`; who closes it calls `stop` first, so that the number can't
    come to name another file meanwhile.
    """

    def __init__(
        self,
        name: str,
        fd: int,
        *,
        serve: Callable[[int], str],
        lost: Callable[[str], None],
        patience: float | None = None,
    ):
        super().__init__(name=name, daemon=True)
        self._fd = fd
        self._serve = serve
        self._lost = lost
        self._patience = patience
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._stopped_inside = False

    def run(self) -> None:
        self._read_until_stopped()
        if self._stopped_inside:
            os.close(self._wake)

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

    def _read_until_stopped(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = dict(poll.poll(None if self._patience is None else self._patience * 1000))
            if self._wake in ready:  # it stays readable
                return
            gone = self._serve(ready.get(self._fd, 0))
            if gone:
                self._lost(gone)
                return
