"""Puts host, task runners and reaper together in one process. Used by the extension and by `service`."""

from __future__ import annotations

import logging
import os
import threading

from labkit.clock import Deadline
from labkit.devices.catalog import Catalog
from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.loop.host import Host, HostStore
from labkit.loop.reaper import Reaper
from labkit.loop.task_runner import TaskRunners
from labkit.store.connection import ANSWER_SECONDS

log = logging.getLogger("labkit.loop")

STOP_SECONDS = 20.0
GOOD_BYE_SECONDS = 1.0
"""Seconds that the store has for each answer meanwhile: one that hangs must not hold up making safe."""
FIRST_LOOK = 2.0
"""Seconds that a reaper waits at most for its process's host to claim its benches."""
LET_GO = 3.5
"""Seconds that tasks and endings have of these: a task that never ends must not hold its process for 5 s."""
RETRY_SECONDS = 1.0


class Workers:
    """The background work of one lab in this process. `start()` and `stop()` may be called twice.

    task_threads: how many task runners, 0 for none.
    """

    def __init__(self, lab: Lab, *, task_threads: int, reaper: bool = True, host: bool = True):
        self._lab = lab
        self._task_threads = task_threads
        self._with_reaper = reaper
        self._with_host = host
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._clock = lab.clock
        self._next_try = 0.0
        self._pid = 0
        self.host: Host | None = None
        self._reaper: Reaper | None = None
        self._runners: TaskRunners | None = None

    @property
    def running(self) -> bool:
        return self._pid == os.getpid()

    def start(self) -> None:
        """Start what is not running; in a forked child all anew. Errors: `StoreUnavailableError`, DeclarationError."""
        with self._lock:
            if self.running:
                return
            lab = self._lab
            catalog = lab.catalog if self._with_host else None
            lab.store.answer_within(ANSWER_SECONDS)
            lab.process.start()
            lab.try_audit_log()
            self._pid, self._runners, self.host, self._reaper = os.getpid(), None, None, None
            try:
                self._start_parts(catalog)
            except BaseException:  # the next start makes them anew, and nobody would know these
                self._end(STOP_SECONDS)
                raise

    def _start_parts(self, catalog: Catalog | None) -> None:
        lab = self._lab
        if self._task_threads:
            self._runners = TaskRunners(lab.tasks, self._task_threads)
            self._runners.start()
        if catalog is not None:
            say_warnings(catalog)
            store = HostStore(reservations=lab.reservations, calls=lab.calls, feeds=lab.feeds)
            self.host = Host(
                store, lab.process, catalog, lab.settings, lab.instance, clock=lab.clock, on_change=lab.announce
            )
            self.host.start()
            lab.caller.host_here = self.host.own_calls
            # an ending that is found now is to find its devices being opened, not as a dead host left them
            self.host.looked.wait(FIRST_LOOK)
        if self._with_reaper:
            self._reaper = Reaper(lab)
            self._reaper.start()

    def start_soon(self) -> None:
        """Start if nothing hinders it; never raises, waits FIRST_LOOK at most. For the first request of a process."""
        if self.running or self._clock.boottime() < self._next_try or not self._trying.acquire(blocking=False):
            return
        try:
            self.start()
        except StoreUnavailableError as error:
            self._next_try = self._clock.boottime() + RETRY_SECONDS
            log.warning("background work waits for the store error=%s", error)
        finally:
            self._trying.release()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End in order: no new work, tasks asked to stop, devices made safe and closed, good-bye to the store.

        Blocks at most about `seconds`. An ending that is not through is another process's to go on with, or the next's.
        """
        with self._lock:
            if self.running:
                self._end(seconds)

    def _end(self, seconds: float) -> None:
        self._pid = 0
        self._lab.caller.host_here = None
        self._lab.store.answer_within(GOOD_BYE_SECONDS)
        deadline, patience = Deadline(seconds), Deadline(min(LET_GO, seconds / 2))
        if self._runners is not None:
            self._runners.ask_to_stop()
        if self._reaper is not None:
            self._reaper.stop(patience.left())
        if self._runners is not None:
            self._runners.stop(patience.left())
        if self.host is not None:
            self.host.stop(deadline.left())
        self._lab.process.stop()


def say_warnings(catalog: Catalog) -> None:
    """Log what is likely to go wrong with the declarations that are used from now on."""
    for warning in catalog.warnings:
        log.warning("declaration is doubtful: %s", warning)
