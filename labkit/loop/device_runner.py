"""DeviceRunner: the one thread of one device. It opens the driver, runs calls one after another, makes safe, reopens.

Used by the host. Here is where a fence counts: it is checked last thing before the driver, under the same lock under
which it is raised, so everything under one fence is over before anything under a later one begins.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from labkit.clock import Clock
from labkit.errors import DeviceOfflineError
from labkit.loop.answers import RESERVATION_OVER, busy, cut_short, given_up, out_of_service, refused, reply_for
from labkit.loop.command import Command
from labkit.loop.device_link import DevicePort
from labkit.loop.device_state import DeviceState, Opener
from labkit.loop.operation import Operation, interrupt
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Condition
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

BUSY_SECONDS = 1.0
OPEN_SECONDS = 30.0
STOPPED = "its host was stopped"


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What waits for the thread. call: the one that it answers, None for work of the runner's own."""

    work: Callable[[], None]
    call: Call | None = None


class DeviceRunner:
    """The thread of one device and the facts about it that others may read: condition, reason, fence, stuck.

    hold: the device's hold when the bench was claimed; a session that is live goes on under its fence.
    """

    def __init__(
        self,
        opener: Opener,
        name: str,
        port: DevicePort,
        *,
        hold: tuple[str, int],
        safe_seconds: float,
        clock: Clock | None = None,
    ):
        self.name = name
        self.fence = hold[1]
        self.stuck = False
        self.telling = threading.Lock()
        """Held by who tells the store this device's facts, so that no earlier fact overtakes a later one."""
        self._port = port
        self._hold = hold
        self._safe_seconds = safe_seconds
        self._clock = clock or Clock()
        self._lock = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._suspended: deque[Command] = deque()
        self._running: Operation | None = None
        self._releasing = 0
        self._ended = False
        self._revoked = ""
        self._state = DeviceState(opener, name, lock=self._lock, clock=self._clock, on_lost=self._unplugged)
        self._state.feed_to(hold[1] if hold[0] == "reserved" else 0)
        self.thread = LabThread(f"device:{name}", self._work, wake=self._wake)

    def __repr__(self) -> str:
        return f"<DeviceRunner {self.name} {self.condition} fence={self.fence}>"

    @property
    def condition(self) -> Condition:
        return self._state.condition

    @property
    def reason(self) -> str:
        return self._state.reason

    @property
    def dealt_with(self) -> int:
        """The fence up to which releases were dealt with."""
        return self._state.dealt_with

    @property
    def facts(self) -> tuple[Condition, str, int]:
        """condition, reason and dealt_with as of one moment."""
        return self._state.facts

    # -- called by the host, from its threads; nothing here blocks

    def submit(self, call: Call) -> None:
        """Take a call over; its reply goes to the port, once, whatever happens."""
        with self._lock:
            refusal = self._refusal_at_once(call)
            if refusal is None:
                self._jobs.append(Job(work=partial(self._call, call), call=call))
                self._lock.notify()
        if refusal is not None:
            self._port.reply(call, refusal)

    def _refusal_at_once(self, call: Call) -> Reply | None:
        running = self._running
        if self._ended:
            return refused(call, Condition.OFFLINE, STOPPED)
        if self.stuck:
            return out_of_service(call, self.reason)
        if call.panel and running is not None and self._clock.boottime() - running.started > BUSY_SECONDS:
            return busy(self.name, running.what)
        return None

    def follow(self, state: str, fence: int) -> bool:
        """Hear what hold the store has for the device. True: the release that it waits for was dealt with long ago."""
        self.raise_fence(fence)
        with self._lock:
            self._hold = (state, fence)
            if state != "releasing" or self._releasing >= fence:
                return state == "releasing" and self.dealt_with >= fence
            self._releasing = fence
            if self.stuck:
                self._state.deal_with(fence)
                return True
            self._later(partial(self._release, fence))
        return False

    def raise_fence(self, fence: int) -> None:
        """From now on nothing under an earlier fence begins; a command that runs under one is interrupted."""
        with self._lock:
            if fence <= self.fence:
                return
            self.fence = fence
            self._state.feed_to(0)
            running = self._running
            self._lock.notify()
        if running is not None and running.call is not None and running.fence < fence:
            self._interrupt(running, RESERVATION_OVER)

    def enforce(self) -> None:
        """Interrupt what has run past its limit."""
        running = self._running
        if running is not None and self._clock.boottime() > running.until:
            self._interrupt(running, "its time is over")

    @property
    def free(self) -> bool:
        return self._hold[0] == "none"

    def revoke(self, why: str) -> None:
        """Let no call through any more: the host has lost the bench, and what it holds may be another's by now."""
        with self._lock:
            self._revoked = why

    def begin_stop(self, why: str) -> None:
        """Ask the thread to make the device safe, close it and end; a command that runs is interrupted."""
        self.revoke(why)
        self.thread.stop()
        running = self._running
        if running is not None and running.call is not None:
            self._interrupt(running, why)

    # -- the thread

    def _work(self, stopping: threading.Event) -> None:
        with self._lock:
            state, fence = self._hold
            self._releasing = fence if state == "releasing" else 0
        self._guarded(self._reopen)
        while not stopping.is_set():
            work = self._next(stopping)
            if work is not None:
                self._guarded(work)
        self._guarded(self._shut)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("device runner failed device=%s", self.name)

    def _next(self, stopping: threading.Event) -> Callable[[], None] | None:
        with self._lock:
            while not self._jobs and not self._suspended and not stopping.is_set():
                if self.condition is Condition.OK:
                    self._lock.wait(3600)
                elif self._clock.boottime() >= self._state.retry_at:
                    return self._reopen
                else:
                    self._lock.wait(max(0.01, self._state.retry_at - self._clock.boottime()))
            if self._jobs:
                return self._jobs.popleft().work
            return self._resume if self._suspended else None

    def _later(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(Job(work=work))
            self._lock.notify()

    def _wake(self) -> None:
        with self._lock:
            self._lock.notify_all()

    # -- operations: what touches the driver

    def _begin(self, what: str, fence: int, seconds: float) -> Operation:
        with self._lock:
            started = self._clock.boottime()
            self._running = Operation(what=what, fence=fence, started=started, until=started + seconds)
            return self._running

    def _begin_call(self, call: Call) -> Operation | Reply:
        """Check fence, deadline and age of the last beat last thing before the driver, under one lock."""
        with self._lock:
            answer = self._refusal(call, self.condition, self.reason)
            if answer is not None:
                return answer
            operation = self._begin(call.command, call.fence, call.until - self._port.now())
            operation.call = call
            return operation

    def _refusal(self, call: Call, condition: Condition, reason: str) -> Reply | None:
        if self._revoked:
            return refused(call, Condition.OFFLINE, self._revoked)
        now, silent_for = self._port.now(), self._port.silent_for()
        return refused(call, condition, reason, fence=self.fence, now=now, silent_for=silent_for)

    def _end(self, operation: Operation) -> None:
        operation.finish()
        with self._lock:
            self._running = None
            if operation.stuck:
                self.stuck = False  # it came back after all: nothing is known of the device, so it is opened anew
                self._state.retry_at = 0.0

    def _interrupt(self, operation: Operation, why: str) -> None:
        device = self._state.device
        interrupt(operation, device.driver if device else None, why, self._abandon)

    def _abandon(self, operation: Operation) -> None:
        """Leave the thread alone that does not come back: the device is faulty, and who waits for it is told."""
        reason = f"{operation.what} hangs: {operation.interrupted}, and it did not end within 2 s of its interruption"
        with self._lock:
            if operation.done.is_set():
                return
            operation.stuck = self.stuck = True
            self._state.set(Condition.FAULTY, reason, dealt_with=self._hold[1] if self._hold[0] == "releasing" else 0)
            waiting = self._take_calls()
        log.error("device hangs device=%s operation=%s", self.name, operation.what)
        if operation.call is not None:
            self._port.reply(operation.call, Reply(error="CallLostError", message=f"Device '{self.name}': {reason}."))
        for call in waiting:
            self._port.reply(call, out_of_service(call, reason))
        self._port.report(self)

    def _take_calls(self) -> list[Call]:
        """Take the calls that have not begun out of the queue."""
        calls = [job.call for job in self._jobs if job.call is not None]
        self._jobs = deque(job for job in self._jobs if job.call is None)
        return calls

    # -- calls

    def _call(self, call: Call) -> None:
        self.raise_fence(call.fence)  # a call is news of its fence, too
        self._end_suspended(RESERVATION_OVER, below=self.fence)
        if call.command == READY and not call.panel:
            self._ready(call)
            return
        operation = given_up(call, self._port.task_runs) or self._begin_call(call)
        if isinstance(operation, Reply):
            self._port.reply(call, operation)
        else:
            self._advance(Command(call), operation)

    def _resume(self) -> None:
        command = self._suspended.popleft()
        operation = self._begin_call(command.call)
        if isinstance(operation, Reply):
            over = command.call.fence < self.fence
            self._cut(command, RESERVATION_OVER if over else "its time is over, or its device or host went away")
        else:
            self._advance(command, operation)

    def _advance(self, command: Command, operation: Operation) -> None:
        """Run a command, or one step of it; where that was the last one, its answer goes out."""
        answer, failure = None, None
        try:
            answer = command.advance(self._state.device)
        except BaseException as error:  # a driver's library may even call exit
            answer, failure = reply_for(error, command.call, operation), error
        self._end(operation)
        if operation.stuck:
            self._close(command)
        elif answer is None:
            self._suspended.append(command)
        else:
            self._port.reply(command.call, answer)
            if isinstance(failure, DeviceOfflineError):
                self._gone(str(failure))

    def _end_suspended(self, why: str, *, below: int | None = None) -> None:
        """End commands that gave the thread back: those under an earlier fence than `below`, or all."""
        ending = [command for command in self._suspended if below is None or command.call.fence < below]
        self._suspended = deque(command for command in self._suspended if command not in ending)
        for command in ending:
            self._cut(command, why)

    def _cut(self, command: Command, why: str) -> None:
        self._close(command)
        self._port.reply(command.call, cut_short(command.call, why))

    def _close(self, command: Command) -> None:
        operation = self._begin(f"the end of {command.call.command}", command.call.fence, self._safe_seconds)
        try:
            command.close()
        except Exception as error:
            log.warning("command did not end cleanly device=%s error=%s", self.name, error)
        finally:
            self._end(operation)

    # -- opening and making safe; none of this is interrupted by a fence: it is what a new fence waits for

    def _ready(self, call: Call) -> None:
        """Make the device ready for a new session: open, safe, read back; its feeds are the session's from here on."""
        answer = self._refusal(call, Condition.OK, "")
        if answer is None:
            self._secure("making ready", call.fence, max(call.until - self._port.now(), 1.0))
            with self._lock:
                if self.condition is Condition.OK and self.fence == call.fence:
                    self._state.feed_to(call.fence)
            answer = refused(call, self.condition, self.reason, fence=self.fence) or Reply(value=True)
            self._port.report(self)
        self._port.reply(call, answer)

    def _reopen(self) -> None:
        self._end_suspended("its device was opened anew")
        self._state.shut()
        self._secure("opening", self.fence, OPEN_SECONDS)
        with self._lock:
            if self._hold[0] == "releasing":
                self._state.deal_with(self._hold[1])
        self._port.report(self)

    def _release(self, fence: int) -> None:
        """Force the device free; its session's calls are over. Make safe, read back; else reopen; else faulty."""
        self._secure("making safe", fence, self._safe_seconds)
        self._state.deal_with(fence)
        self._port.report(self)

    def _secure(self, what: str, fence: int, seconds: float) -> None:
        self._end_suspended(RESERVATION_OVER)
        operation = self._begin(what, fence, seconds)
        try:
            self._state.secure(operation)
        finally:
            self._end(operation)

    def _unplugged(self, opening: int, reason: str) -> None:
        """A driver says so, on any thread."""
        self._later(lambda: self._gone(reason) if self._state.is_open(opening) else None)

    def _gone(self, reason: str) -> None:
        self._end_suspended(f"its device went offline: {reason}")
        self._state.shut()
        self._state.set(Condition.OFFLINE, reason)
        self._port.report(self)

    def _shut(self) -> None:
        """The end of the host: make safe if open, close; calls that never began are told so."""
        self._end_suspended("its host stops")
        device = self._state.device
        if device is not None:
            operation = self._begin("making safe", self.fence, self._safe_seconds)
            try:
                device.driver.make_safe()
            except Exception as error:
                log.warning("device could not be made safe at the end device=%s error=%s", self.name, error)
            finally:
                self._end(operation)
            self._state.shut()
        self._state.set(Condition.OFFLINE, STOPPED)
        with self._lock:
            self._ended = True
            waiting = self._take_calls()
        for call in waiting:
            self._port.reply(call, refused(call, Condition.OFFLINE, STOPPED) or Reply())
