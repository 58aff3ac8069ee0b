"""The one thread class of labkit. Used by everything that works in the background.

A thread has a name that says what it does, a `stopping` event, and an end: `stop_all` sets all events, joins all,
and complains loudly about one that does not come back. None is killed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from labkit.clock import Deadline

log = logging.getLogger("labkit.threads")

TASKS = Path("/proc/self/task")
"""Where the kernel shows the threads of this process."""


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
        _tell_kernel(self.name)
        try:
            self._work(self.stopping)
        except Exception:
            log.exception("thread died name=%s", self.name)

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self.stopping.set()
        if self._wake is not None:
            self._wake()

    @property
    def unkillable(self) -> bool:
        """Does it wait in the kernel where no signal reaches it, not even that of the process's end? Then an exec would
        wait for it, too, with all other threads gone."""
        return self.is_alive() and self.native_id is not None and state_of(self.native_id) == "D"


def state_of(thread: int, tasks: Path = TASKS) -> str:
    """What a thread of this process does, by its native id: the letter that `ps -L` shows for it, '' where unknown."""
    try:
        stat = (tasks / str(thread) / "stat").read_text(errors="replace")
    except OSError:  # it has ended; or no Linux
        return ""
    return stat.rpartition(")")[2].strip()[:1]  # before that stands its name, which may hold anything


def _tell_kernel(name: str) -> None:
    """Give the thread its name there too, for `top -H` and `ps -L`, which show 15 letters. Python does so from 3.14."""
    with contextlib.suppress(OSError):  # no Linux, or no /proc
        # in bytes: a name may hold what a page called a device, which need not be text that can be encoded
        (TASKS / str(threading.get_native_id()) / "comm").write_bytes(name.encode(errors="replace")[:15])


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
