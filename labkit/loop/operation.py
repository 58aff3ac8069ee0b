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


def interrupt(
    operation: Operation, driver: Driver[Any] | None, why: str, on_stuck: Callable[[Operation], None]
) -> None:
    """Interrupt an operation from another thread; returns at once. `on_stuck` is called if it does not end in 2 s."""
    if operation.interrupted:
        return
    operation.interrupted = why

    def work(_: threading.Event) -> None:
        if driver is not None:
            try:
                driver.interrupt()
            except Exception:
                log.exception("driver failed to interrupt device=%s", driver.link.name)
        if not operation.done.wait(INTERRUPT_SECONDS):
            on_stuck(operation)

    LabThread(f"interrupt:{operation.what}", work).start()
