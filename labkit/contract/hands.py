"""Hands: the one thread that uses a driver while it is tried, as a device's runner does; and everything with a limit.

Whatever a driver under test does, nobody here waits for it without an end: an act that hangs is left behind with its
thread, and the rule that began it says so.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from labkit.clock import Deadline
from labkit.threads import LabThread

ACT_SECONDS = 30.0
"""What a host gives a device for opening; no act of a rule gets more."""
AT_ONCE = 1.0
"""Seconds within which `interrupt()` returns: it only says something."""
INTERRUPT_SECONDS = 2.0
"""Seconds within which a command ends that was interrupted; the host leaves the device alone after that."""
_SETTLED = 0.3
_LOOK = 0.1
_BUSY = 1.2


class RuleBroken(Exception):
    """The driver does not keep the rule; the text says how."""


class NotApplicable(Exception):
    """The rule can't be tried on this driver; the text says why."""


class Act:
    """One use of a driver, on the thread of `Hands`. what: as errors call it."""

    def __init__(self, what: str, work: Callable[[], Any]):
        self.what = what
        self.value: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._thread = 0

    def run(self) -> None:
        self._thread = threading.get_ident()
        self._begun.set()
        try:
            self.value = self._work()
        except BaseException as error:  # a driver's library may even call exit
            self.error = error
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def wait_begun(self) -> None:
        """Wait for its thread's first turn, which a busy machine may keep it waiting for; ACT_SECONDS at most."""
        self._begun.wait(ACT_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return self._ended.wait(seconds)

    def result(self, seconds: float = ACT_SECONDS) -> Any:
        """Its value, or what it raised. Errors: `RuleBroken` where it does not end in time."""
        if not self.wait(seconds):
            raise RuleBroken(f"{self.what} did not end within {seconds:g} s.")
        if self.error is not None:
            raise self.error
        return self.value

    def blocks(self) -> bool:
        """Whether it waits for something: its thread stands still in one place, or goes round for over a second."""
        if self.wait(_SETTLED):
            return False
        deadline, before = Deadline(_BUSY), None
        while not deadline.over and not self.wait(_LOOK):
            here = self._place()
            if here is not None and here == before:
                return not self.ended
            before = here
        return not self.ended

    def _place(self) -> list[tuple[int, int]] | None:
        frame = sys._current_frames().get(self._thread) if self._thread else None
        places = []
        while frame is not None:
            places.append((id(frame.f_code), frame.f_lasti))
            frame = frame.f_back
        return places or None


class Hands:
    """A thread that does one act after another. `end()` leaves it behind where an act hangs."""

    def __init__(self, name: str):
        self._acts: SimpleQueue[Act | None] = SimpleQueue()
        self.thread = LabThread(name, self._work)
        self.thread.start()

    def begin(self, what: str, work: Callable[[], Any]) -> Act:
        """Begin an act, when the ones before it are over; returns at once."""
        act = Act(what, work)
        self._acts.put(act)
        return act

    def do(self, what: str, work: Callable[[], Any], seconds: float = ACT_SECONDS) -> Any:
        """Do it, and return its value. Errors: its own, `RuleBroken` where it does not end in time."""
        return self.begin(what, work).result(seconds)

    def end(self) -> bool:
        """End the thread; False where an act of it hangs."""
        self._acts.put(None)
        self.thread.join(INTERRUPT_SECONDS)
        return not self.thread.is_alive()

    def _work(self, stopping: threading.Event) -> None:
        while (act := self._acts.get()) is not None:
            act.run()


def aside(what: str, work: Callable[[], Any], seconds: float) -> Any:
    """Do something on a thread of its own, as the host interrupts. Errors: its own, `RuleBroken`."""
    act = Act(what, work)
    LabThread(f"aside:{what}", lambda _: act.run()).start()
    act.wait_begun()
    return act.result(seconds)
