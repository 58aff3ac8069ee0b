"""One thing that a device is doing: a command, an opening, a making-safe. Used by `device_runner`.

An operation belongs to a fence and has a limit. What interrupts it (a later fence, its limit, the end of the host)
gives it two seconds; one that still runs then is stuck, and its thread is left alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labkit.plugin import Driver
from labkit.store.calls import Call
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

INTERRUPT_SECONDS = 2.0


@dataclass(kw_only=True, eq=False)
class Operation:
    """What runs on a device's thread now. started and until are seconds of the boot-time clock."""

    what: str
    fence: int
    started: float
    until: float
    call: Call | None = None
    interrupted: str = ""
    """Why it was interrupted; '' while it was not."""
    stuck: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    _touching: threading.Lock = field(default_factory=threading.Lock)

    def finish(self) -> None:
        """Say that it is over. Blocks while its driver is just being interrupted (2 s at most), so that what runs next
        never feels an interrupt that was meant for this one."""
        held = self._touching.acquire(timeout=INTERRUPT_SECONDS)
        self.done.set()
        if held:
            self._touching.release()

    def interrupt(self, driver: Driver[Any]) -> None:
        """Interrupt the driver, unless this is over."""
        with self._touching:
            if not self.done.is_set():
                try:
                    driver.interrupt()
                except Exception:
                    log.exception("driver failed to interrupt device=%s", driver.link.name)

    def mark(self, why: str) -> bool:
        """Note why it is interrupted. False: it was already."""
        if self.interrupted:
            return False  # without the lock, which a bad driver's interrupt() may hold for ever
        with self._touching:
            if self.done.is_set():
                return False
            self.interrupted = why
            return True


def interrupt(
    operation: Operation, driver: Driver[Any] | None, why: str, on_stuck: Callable[[Operation], None]
) -> None:
    """Interrupt an operation from another thread; returns at once. `on_stuck` is called if it does not end in 2 s."""
    if not operation.mark(why):
        return

    def watch(_: threading.Event) -> None:  # a thread of its own: a bad driver's interrupt() may hang as well
        if not operation.done.wait(INTERRUPT_SECONDS):
            on_stuck(operation)

    if driver is not None:
        LabThread(f"interrupt:{operation.what}", lambda _: operation.interrupt(driver)).start()
    LabThread(f"watch:{operation.what}", watch).start()
