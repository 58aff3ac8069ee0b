"""One thing that a device is doing: a command, an opening, a making-safe. Used by `device_runner`.

An operation belongs to a fence and has a limit. What interrupts it (a later fence, its limit, the end of the host)
gives it two seconds; one that still runs then is stuck, and its thread is left alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from labkit.clock import Clock
from labkit.loop.answers import OVERDUE
from labkit.plugin import Driver
from labkit.store.calls import Call
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

INTERRUPT_SECONDS = 2.0
REPEAT_SECONDS = 0.25
_LOOKS = 8
"""In so many parts is that time waited for: a machine that stands still takes one of them, however long it does."""
WANTED = "a session wants its device"
"""Why an operation is interrupted that gives way."""


@dataclass(kw_only=True, eq=False)
class Operation:
    """What runs on a device's thread now. started and until are seconds of the boot-time clock."""

    what: str
    fence: int
    started: float
    until: float
    call: Call | None = None
    gives_way: bool = False
    """Whether it ends for whatever else wants the device, and is no loss: a look at its health."""
    interrupted: str = ""
    """Why it was interrupted; '' while it was not."""
    stuck: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    attended: threading.Lock = field(default_factory=threading.Lock)
    """Held for good from the moment at which threads are at its interruption."""
    _touching: threading.Lock = field(default_factory=threading.Lock)

    @property
    def gave_way(self) -> bool:
        """Was it ended because the device was wanted, and not because its time was over?"""
        return self.gives_way and self.interrupted not in ("", OVERDUE)

    def finish(self) -> None:
        """Say that it is over. Blocks while its driver is just being interrupted (2 s at most), so that what runs next
        never feels an interrupt that was meant for this one."""
        held = self._touching.acquire(timeout=INTERRUPT_SECONDS)
        self.done.set()
        if held:
            self._touching.release()

    def interrupt(self, in_hand: Callable[[], Driver[Any] | None]) -> None:
        """Interrupt the driver that it has in hand until this is over: once at least, for INTERRUPT_SECONDS at most.

        Again and again, because a driver that is only on its way to where it blocks does not feel the first one.
        """
        for _ in range(max(1, round(INTERRUPT_SECONDS / REPEAT_SECONDS))):  # a machine that stands still takes one
            if self.done.is_set() or self.stuck:
                return
            with self._touching:
                driver = in_hand()
                if driver is not None and not self.done.is_set():
                    try:
                        driver.interrupt()
                    except BaseException:
                        log.exception("driver failed to interrupt device=%s", driver.link.name)
            self.done.wait(min(REPEAT_SECONDS, INTERRUPT_SECONDS))

    def mark(self, why: str) -> None:
        """Note why it is interrupted: the first reason stays, and what is over is not interrupted any more."""
        with self._touching:
            if not self.interrupted and not self.done.is_set():
                self.interrupted = why


class Occupation:
    """What a device is doing now, one operation at a time. lock: its runner's; in_hand: the driver that may block now.

    on_stuck: an interrupted operation did not end. on_back: it did after all; called under the lock.
    """

    def __init__(
        self,
        lock: threading.Condition,
        clock: Clock,
        in_hand: Callable[[], Driver[Any] | None],
        on_stuck: Callable[[Operation], None],
        on_back: Callable[[], None],
    ):
        self.now: Operation | None = None
        self._lock = lock
        self._clock = clock
        self._in_hand = in_hand
        self._on_stuck = on_stuck
        self._on_back = on_back

    def begin(
        self, what: str, fence: int, seconds: float, *, call: Call | None = None, gives_way: bool = False
    ) -> Operation:
        """Say what the device's own thread does from now on; it says `end` when that is over."""
        with self._lock:
            started = self._clock.boottime()
            self.now = Operation(
                what=what, fence=fence, started=started, until=started + seconds, call=call, gives_way=gives_way
            )
            return self.now

    def begin_unless(self, wanted: Callable[[], bool], what: str, fence: int, seconds: float) -> Operation | None:
        """Begin what gives way, unless the device is wanted already; who wants it later finds it and interrupts it."""
        with self._lock:
            return None if wanted() else self.begin(what, fence, seconds, gives_way=True)

    def end(self, operation: Operation) -> None:
        """The driver has come back."""
        operation.finish()
        with self._lock:
            self.now = None
            if operation.stuck:
                self._on_back()

    @contextmanager
    def during(self, what: str, fence: int, seconds: float) -> Iterator[Operation]:
        """An operation that lasts as long as the block."""
        operation = self.begin(what, fence, seconds)
        try:
            yield operation
        finally:
            self.end(operation)

    def long(self, seconds: float) -> Operation | None:
        """What has been going on for more than so many seconds, and gives way to nobody."""
        operation = self.now
        if operation is None or operation.gives_way or self._clock.boottime() - operation.started <= seconds:
            return None
        return operation

    def interrupt_overdue(self) -> None:
        """Interrupt what has run past its limit, or was to be interrupted when no thread could be had for that."""
        operation = self.now
        if operation is not None and (operation.interrupted or self._clock.boottime() > operation.until):
            self._interrupt(operation, OVERDUE)

    def interrupt_call(self, why: str, *, below: int | None = None) -> None:
        """Interrupt the command of a call, of one under an earlier fence than `below`, or any; and what gives way."""
        operation = self.now
        if operation is not None and operation.call is not None and (below is None or operation.fence < below):
            self._interrupt(operation, why)
        self.make_way()

    def make_way(self) -> None:
        """Interrupt what gives way, for somebody wants the device."""
        operation = self.now
        if operation is not None and operation.gives_way:
            self._interrupt(operation, WANTED)

    def _interrupt(self, operation: Operation, why: str) -> None:
        interrupt(operation, self._in_hand, why, self._on_stuck)


def interrupt(
    operation: Operation,
    in_hand: Callable[[], Driver[Any] | None],
    why: str,
    on_stuck: Callable[[Operation], None],
) -> None:
    """Interrupt an operation from another thread; returns at once. `on_stuck` is called if it does not end in 2 s.

    The two seconds count from the first interrupt, and only while this machine runs: one that stands still for a
    moment makes no device stuck. Where no thread can be had that is logged, and the next call tries again.
    """
    if not operation.interrupted:  # else a bad driver's interrupt() may hold its lock for ever
        operation.mark(why)
    if not operation.interrupted or not operation.attended.acquire(blocking=False):
        return

    begun = threading.Event()

    def press(_: threading.Event) -> None:
        begun.set()
        operation.interrupt(in_hand)

    def watch(_: threading.Event) -> None:  # a thread of its own: a bad driver's interrupt() may hang as well
        begun.wait()
        if not any(operation.done.wait(INTERRUPT_SECONDS / _LOOKS) for _ in range(_LOOKS)):
            on_stuck(operation)

    try:
        LabThread(f"interrupt:{operation.what}", press).start()
        LabThread(f"watch:{operation.what}", watch).start()
    except RuntimeError as error:
        operation.attended.release()
        log.error("operation is not interrupted yet: no thread can be had what=%s error=%s", operation.what, error)
