"""Announcer: tells plugins what has happened (`labkit_session_started` and so on). One for each lab and process.

Whoever announces never waits: events lie in a bounded queue, and one thread, `events`, calls the plugins' hooks in
order. It begins with the first event that any plugin wants to hear, as far as is known: it loads them, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pluggy

from labkit.clock import Deadline
from labkit.plugin import DeviceEvent, SessionEvent
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.events")

Event = SessionEvent | DeviceEvent

AUDIT = "labkit.audit"
"""The logger whose lines go to the file that LABKIT_AUDIT_LOG names."""
LIMIT = 1000
"""Events that wait at most, while a plugin is slow; what comes then is dropped, counted, and said once."""
CLOSE_SECONDS = 2.0
_LONGEST_SLEEP = 3600.0


class Announcer:
    """Calls the life-cycle hooks. find: gives the plugins; it is called on the thread `events`, for loading them takes
    its time. known: gives them at once, None while they are not loaded; where it is left out, `find` is as quick.

    audit_log: the file for what plugins say to the logger `labkit.audit` meanwhile, '' for none.
    """

    def __init__(
        self,
        find: Callable[[], pluggy.PluginManager],
        *,
        known: Callable[[], pluggy.PluginManager | None] | None = None,
        audit_log: str = "",
        limit: int = LIMIT,
    ):
        self._find = find
        self._known = known or find
        self._audit_log = audit_log
        self._limit = limit
        self._tried = 0  # by which process
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[Event] = deque()
        self._thread: LabThread | None = None
        self._calling = False
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<Announcer waiting={len(self._waiting)} dropped={self._dropped}>"

    def announce(self, event: Event) -> None:
        """Have the plugins hear of it, soon. Never blocks, never raises."""
        if self._pid != os.getpid():
            self._begin()  # a forked child has no thread, and what waits is its parent's to tell
        try:
            manager = self._known()
            wanted = manager is None or bool(_caller(manager, event).get_hookimpls())
        except Exception:
            log.exception("plugins could not be asked")
            return
        if not wanted:
            return
        with self._changed:
            if len(self._waiting) >= self._limit:
                if not self._dropped:
                    log.warning("events are dropped: a plugin is slow waiting=%d", len(self._waiting))
                self._dropped += 1
                return
            self._waiting.append(event)
            try:
                self._ensure_thread()
            except RuntimeError as error:  # it waits for the next one
                log.error("event is not told yet: no thread can be had error=%s", error)
            self._changed.notify_all()

    def try_file(self) -> None:
        """Say at once, and not at the first event, where the audit log can't be written. Once for each process."""
        if self._audit_log and self._tried != os.getpid():
            self._tried = os.getpid()
            try:
                _append(self._audit_log, b"")
            except OSError as error:
                _say_unwritable(self._audit_log, error)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Tell what still waits, within so many seconds, and end the thread. Twice is fine; `announce` begins anew."""
        if self._pid != os.getpid():
            return
        deadline = Deadline(seconds)
        with self._changed:
            self._changed.wait_for(self._idle, deadline.left())
            thread, self._thread = self._thread, None
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            log.warning("events were not told: a plugin is slow count=%d", left)
        if thread is not None:
            stop_all([thread], max(deadline.left(), 0.1))

    def _idle(self) -> bool:
        return self._thread is None or (not self._waiting and not self._calling)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            thread = LabThread("events", self._work, wake=self._wake)
            thread.start()
            self._thread = thread

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _work(self, stopping: threading.Event) -> None:
        with written_to(self._audit_log):
            while (event := self._next(stopping)) is not None:
                try:
                    tell(self._find(), event)
                except Exception:
                    log.exception("event was not told event=%r", event)

    def _next(self, stopping: threading.Event) -> Event | None:
        with self._changed:
            self._calling = False
            self._changed.notify_all()  # for `close`
            self._tell_dropped()
            while not self._waiting and not stopping.is_set():
                self._changed.wait(_LONGEST_SLEEP)
            if stopping.is_set():
                return None
            self._calling = True
            return self._waiting.popleft()

    def _tell_dropped(self) -> None:
        if self._dropped and not self._waiting:
            log.warning("events caught up dropped=%d", self._dropped)
            self._dropped = 0


def tell(manager: pluggy.PluginManager, event: Event) -> None:
    """Call the hook of each plugin that hears of such an event; what one raises is logged and stops no other."""
    caller = _caller(manager, event)
    plugins = [implementation.plugin for implementation in caller.get_hookimpls()]
    for plugin in reversed(plugins):  # pluggy has the newest first; here who is loaded first hears first
        others = [other for other in manager.get_plugins() if other is not plugin]
        try:
            manager.subset_hook_caller(caller.name, others)(event=event)
        except BaseException:  # a plugin must not end the thread of all others
            log.exception("plugin failed plugin=%s hook=%s", manager.get_name(plugin), caller.name)


def _caller(manager: pluggy.PluginManager, event: Event) -> pluggy.HookCaller:
    hook = manager.hook
    if isinstance(event, DeviceEvent):
        found = hook.labkit_device_changed
    else:
        found = hook.labkit_session_ended if event.reason else hook.labkit_session_started
    return found


@contextlib.contextmanager
def written_to(path: str) -> Iterator[None]:
    """In this block what this thread says to the audit logger goes to a file, and into no other log."""
    if not path:
        yield
        return
    handler, audit = _Lines(path, threading.get_ident()), logging.getLogger(AUDIT)
    with _handlers_change:
        audit.addHandler(handler)
        audit.setLevel(logging.INFO)
        audit.propagate = False
    try:
        yield
    finally:
        with _handlers_change:  # in a new list: `removeHandler` has who is in the middle of the old one skip another's
            audit.handlers = [other for other in audit.handlers if other is not handler]
            audit.propagate = not audit.handlers


_handlers_change = threading.Lock()


class _Lines(logging.Handler):
    """Appends each message to a file. Where that can't be done it is said once, and how many are missing afterwards."""

    def __init__(self, path: str, thread: int):
        super().__init__()
        self._path = path
        self._thread = thread
        self._missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:  # several labs may live in one process
            return
        try:
            _append(self._path, self.format(record).encode() + b"\n")
        except OSError as error:
            if not self._missing:
                _say_unwritable(self._path, error)
            self._missing += 1
        else:
            if self._missing:
                log.warning("audit log is written again path=%s lines_missing=%d", self._path, self._missing)
            self._missing = 0


def _append(path: str, line: bytes) -> None:
    """Append to a file which only its owner may read: it has users' names in it. Opened each time, so that it may be
    moved away meanwhile; written at once, so that the lines of several processes don't mix. Errors: OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def _say_unwritable(path: str, error: OSError) -> None:
    log.error(
        "audit log can't be written path=%s error=%s: nothing is recorded until this process's user can write it; "
        "LABKIT_AUDIT_LOG names it",
        path,
        error.strerror,
    )
