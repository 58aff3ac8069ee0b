"""One process of a lab: its name, its one beat, and the news that the beat brings. Used by the lab, loops and sessions.

What a process owns (benches, a start, an ending, tasks) names it and falls with it. A process that was silent for too
long counts as gone; when it wakes up it takes a new name, and nothing that it owned under the old one is its own.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable

from labkit.clock import Clock
from labkit.errors import StoreUnavailableError
from labkit.store.processes import BeatNews, Processes
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.process")

BEAT_SECONDS = 1.0
CHANGES_WAIT = 600.0

REMEMBERED = 20_000
"""More than begins in the seconds that a store may forget."""

NewsListener = Callable[[BeatNews], None]


class Begun:
    """The newest of what has begun in this process. A store that went back a moment may give it out once more."""

    def __init__(self, most: int = REMEMBERED):
        self._most = most
        self._known: dict[str, None] = {}
        self._lock = threading.Lock()

    def first(self, identifier: str) -> bool:
        """Remember that this begins. False: it has begun before."""
        with self._lock:
            if identifier in self._known:
                return False
            self._known[identifier] = None
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
            return True


class LabProcess:
    """The beat of this process. `start()` and `stop()` may be called twice; after a fork the child starts anew.

    Listeners are called on the beat's thread with each `BeatNews`; they must be quick. `on_gone` listeners are called
    when the process has to take a new name.
    """

    def __init__(self, processes: Processes, machine: str, *, clock: Clock | None = None):
        self._processes = processes
        self._machine = machine
        self._clock = clock or Clock()
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._threads: list[LabThread] = []
        self._pid = 0
        self._hosted: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        self._roles: set[str] = set()
        self._news: list[NewsListener] = []
        self._gone: list[Callable[[], None]] = []
        self._inherited: list[object] = []
        self._beaten = threading.Event()
        self._last_beat = 0.0
        self._offset = 0.0
        self.highest_fence = 0
        self.tasks: set[str] = set()
        """Tasks that run in this process now, and were not given up."""
        self.begun = Begun()
        """Tasks that have begun in this process."""
        self.id = self._new_id()

    def __repr__(self) -> str:
        return f"<LabProcess {self.id} {'beating' if self.running else 'stopped'}>"

    def _new_id(self) -> str:
        return f"{self._machine.replace(' ', '-')}:{os.getpid()}:{secrets.token_hex(4)}"

    @property
    def running(self) -> bool:
        return bool(self._threads) and self._pid == os.getpid()

    @property
    def silent_for(self) -> float:
        """Seconds since the last beat that the store answered, also while the machine or the process slept."""
        return self._clock.boottime() - self._last_beat

    def store_now(self) -> float:
        """The store's time, UTC seconds, as of the last beat plus what has passed since."""
        return self._offset + self._clock.boottime()

    def on_news(self, listener: NewsListener, *, inherited: bool = False) -> None:
        """Hear each beat's news. inherited: a forked child goes on with this listener; else it was the parent's."""
        self._news.append(listener)
        self._inherited += [listener] if inherited else []

    def on_gone(self, listener: Callable[[], None], *, inherited: bool = False) -> None:
        """Hear that the process takes a new name, before it does."""
        self._gone.append(listener)
        self._inherited += [listener] if inherited else []

    def forget(self, *listeners: object) -> None:
        """Take listeners off again. One that is not on is no error."""
        for kind in (self._news, self._gone):
            for listener in listeners:
                if listener in kind:
                    kind.remove(listener)  # type: ignore[arg-type]

    def add_role(self, role: str) -> None:
        """Say what this process does (`host`, `tasks`, `endings`); told with the next beat, which comes at once."""
        self._roles.add(role)
        self.nudge()

    def drop_role(self, role: str) -> None:
        self._roles.discard(role)

    def has_role(self, role: str) -> bool:
        return role in self._roles

    def hosts(self, bench: str, fence: int) -> None:
        """Say with each beat that this process hosts a bench under the fence of its claim."""
        with self._lock:
            self._hosted[bench] = fence
            self.saw_fence(fence)

    def keeps(self, bench: str, fence: int) -> None:
        """Say with each beat that a bench is still open here, so that no other machine opens it: this process has
        claimed it under this fence, hosts it no more, and closes it or can't. That holds under each name it takes."""
        with self._lock:
            self._hosted.pop(bench, None)
            self._kept[bench] = fence

    def hosts_no_more(self, bench: str) -> None:
        """Say nothing of a bench any more: its devices are closed, or another one's."""
        with self._lock:
            self._hosted.pop(bench, None)
            self._kept.pop(bench, None)

    def saw_fence(self, fence: int) -> None:
        """Remember the highest fence: a store that knows less has gone back."""
        self.highest_fence = max(self.highest_fence, fence)

    def start(self) -> None:
        """Begin to beat; blocks for the first beat, 5 s at most. Errors: `StoreUnavailableError`."""
        with self._lock:
            if self.running:
                return
            if self._pid not in (0, os.getpid()):
                self.id, self._hosted, self._kept = self._new_id(), {}, {}
                self._news = [one for one in self._news if one in self._inherited]
                self._gone = [one for one in self._gone if one in self._inherited]
                self._roles = set()
            self._pid, self._threads = os.getpid(), []  # those of a parent don't run here
            self._beat(first=True)
            beat = LabThread("beat", self._beat_on, wake=self._wake.set)
            beat.start()  # before it counts as running: where no thread can be had, the next start tries again
            self._threads = [beat]
            if self._roles:
                self.listen()

    def listen(self) -> None:
        """Also hear of changes between beats (hosts and reapers do)."""
        with self._lock:
            if not any(thread.name == "changes" for thread in self._threads):
                changes = LabThread("changes", self._hear)
                changes.start()
                self._threads.append(changes)

    def stop(self, seconds: float = 2.0) -> None:
        """End the beat and leave the lab. What this process still owns is anybody's at once."""
        with self._lock:
            if not self.running:
                return
            threads, self._threads = self._threads, []
        quick = [thread for thread in threads if thread.name == "beat"]
        for thread in threads:
            thread.stop()
        stop_all(quick, seconds)
        try:
            self._processes.leave(self.id)  # the change that this makes also brings the thread `changes` back
        except StoreUnavailableError:
            log.warning("process could not say good-bye process=%s", self.id)
        stop_all(threads, seconds)
        self.id = self._new_id()

    def nudge(self) -> None:
        """Beat now."""
        self._wake.set()

    def _beat_on(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()
            if not stopping.is_set():
                try:
                    beaten = self._beat(first=False, stopping=stopping)
                    if stopping.is_set():  # it may have come to the store after the good-bye
                        self._processes.leave(beaten)
                except StoreUnavailableError as error:
                    if self.silent_for < 3:
                        log.warning("beat failed process=%s error=%s", self.id, error)
                    stopping.wait(0.2)
                except Exception:
                    log.exception("beat failed process=%s", self.id)
                    stopping.wait(0.2)

    def _beat(self, *, first: bool, stopping: threading.Event | None = None) -> str:
        """Beat once; returns under which name. stopping: set where this process may have said good-bye meanwhile."""
        with self._lock:
            process, hosted, kept = self.id, dict(self._hosted), dict(self._kept)
        before = self._clock.boottime()
        news = self._processes.beat(
            process,
            first=first,
            roles=" ".join(sorted(self._roles)),
            highest_fence=self.highest_fence,
            benches=hosted,
            kept=kept,
        )
        if news is None:
            said_good_bye = stopping is not None and stopping.is_set()
            return process if said_good_bye else self._rename()
        self._last_beat = before  # not after: what counts is when the store can have seen it at the earliest
        self._offset = news.now - before
        for listener in list(self._news):
            _told(listener, news)
        return process

    def _rename(self) -> str:
        log.warning("process was taken for gone process=%s silent=%.1f", self.id, self.silent_for)
        with self._lock:
            self._kept |= self._hosted  # they are open still, until each is given up
            self.id, self._hosted = self._new_id(), {}
        for listener in list(self._gone):
            _told(listener)
        return self._beat(first=True)

    def _hear(self, stopping: threading.Event) -> None:
        position = ""
        while not stopping.is_set():
            try:
                position = position or self._processes.changes_position()
                moved = self._processes.wait_for_changes(position, CHANGES_WAIT)
                if moved != position and not stopping.is_set():
                    position = moved
                    self.nudge()
            except StoreUnavailableError:
                stopping.wait(0.5)
            except Exception:
                log.exception("changes are not heard for a moment")
                stopping.wait(0.5)


def _told(listener: Callable[..., None], *news: BeatNews) -> None:
    """Tell one listener; what it raises must not stop the beat."""
    try:
        listener(*news)
    except Exception:
        log.exception("a listener of the beat failed")
