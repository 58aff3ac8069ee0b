"""What waits for a device's thread. Used by `device_runner`, which holds its lock whenever it looks at it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from labkit.store.calls import Call

log = logging.getLogger("labkit.loop")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One thing to do. call: the one that it answers, None for work of the runner's own."""

    work: Callable[[], None]
    call: Call | None = None

    def done(self, device: str) -> bool:
        """Do it. False: it ended with an error that nobody foresaw, which is logged."""
        try:
            self.work()
            return True
        except BaseException as error:  # the thread is the only one that can make its device safe
            try:
                log.exception("device runner failed device=%s", device)
            except BaseException:  # there are errors that can't even be shown
                log.error("device runner failed device=%s kind=%s", device, type(error).__name__)
            return False


class Jobs:
    """What the thread does next, in order."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, work: Callable[[], None], call: Call | None = None) -> None:
        self._jobs.append(Job(work=work, call=call))

    def next(self) -> Job:
        return self._jobs.popleft()

    def take_calls(self) -> list[Call]:
        """Take out the calls that have not begun."""
        calls = [job.call for job in self._jobs if job.call is not None]
        self._jobs = deque(job for job in self._jobs if job.call is None)
        return calls

    def withdraw(self, call: Call) -> bool:
        """Take one call out. False: it isn't here (any more)."""
        before = len(self._jobs)
        self._jobs = deque(job for job in self._jobs if job.call is not call)
        return len(self._jobs) < before
