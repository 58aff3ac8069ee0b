"""The one thread class of labkit. Used by everything that works in the background.

A thread has a name that says what it does, a `stopping` event, and an end: `stop_all` sets all events, joins all,
and complains loudly about one that does not come back. None is killed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from labkit.clock import Deadline

log = logging.getLogger("labkit.threads")


class LabThread(threading.Thread):
    """Run `work(stopping)` in the background until it returns; what it raises is logged, never swallowed.

    `wake` is called by `stop()` so that a thread that waits on something of its own comes back at once.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None], *, wake: Callable[[], None] | None = None):
        super().__init__(name=name, daemon=True)
        self.stopping = threading.Event()
        self._work = work
        self._wake = wake

    def run(self) -> None:
        try:
            self._work(self.stopping)
        except Exception:
            log.exception("thread died name=%s", self.name)

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self.stopping.set()
        if self._wake is not None:
            self._wake()


def stop_all(threads: Iterable[LabThread], seconds: float) -> list[LabThread]:
    """Stop and join threads within `seconds` altogether. Returns those that did not end (each is logged)."""
    started = [thread for thread in threads if thread.ident is not None]
    for thread in started:
        thread.stop()
    deadline = Deadline(seconds)
    for thread in started:
        if thread is not threading.current_thread():
            thread.join(deadline.left())
    left = [thread for thread in started if thread.is_alive() and thread is not threading.current_thread()]
    for thread in left:
        log.error("thread did not end name=%s seconds=%.1f", thread.name, seconds)
    return left
