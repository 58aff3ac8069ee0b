"""The thread that waits for edges: hands them on at once, and says when the chip has gone. Used by the driver."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence

from labkit_plugins.gpio.lines import Edge, Lines


class EdgeReader(threading.Thread):
    """Wait for edges until `stop`, or until the chip goes: then `lost(reason)` is called once, and the thread ends.

    Does not own the lines; who closes them calls `stop` first.
    """

    def __init__(
        self, name: str, lines: Lines, *, heard: Callable[[Sequence[Edge]], None], lost: Callable[[str], None]
    ):
        super().__init__(name=name, daemon=True)
        self._lines = lines
        self._heard = heard
        self._lost = lost
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
        patience = self._lines.patience
        poll = select.poll()
        poll.register(self._lines.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = dict(poll.poll(None if patience is None else patience * 1000))
            if self._wake in ready:
                return
            gone = self._serve(ready.get(self._lines.fileno(), 0))
            if gone:
                self._lost(gone)
                return

    def _serve(self, events: int) -> str:
        """Take what `poll` found; a reason where there will be no more."""
        if events & select.POLLIN:
            try:
                self._heard(self._lines.edges())
            except OSError as error:
                return error.strerror or str(error)
            return ""
        return "it hung up" if events else ""
