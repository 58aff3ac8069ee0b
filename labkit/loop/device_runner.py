"""DeviceRunner: the one thread of one device. It opens the driver, runs calls one after another, makes safe, reopens.

Used by the host. Here is where a fence counts: it is checked last thing before the driver, under the same lock under
which it is raised, so everything under one fence is over before anything under a later one begins.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

from labkit.clock import Clock
from labkit.errors import CommandError, DeviceOfflineError
from labkit.loop.answers import busy, out_of_service, refused, reply_for
from labkit.loop.device_link import DevicePort, OpenDevice
from labkit.loop.operation import Operation, interrupt
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Condition
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

BUSY_SECONDS = 1.0
OPEN_SECONDS = 30.0
RETRY_OFFLINE = 1.0
RETRY_FAULTY = 10.0


@dataclass(kw_only=True, eq=False)
class Suspended:
    """A command that gave the thread back and goes on between others."""

    call: Call
    steps: Generator[Any, None, Any]


class DeviceRunner:
    """The thread of one device and the facts about it that others may read: condition, reason, fence, stuck.

    hold: the device's hold when the bench was claimed; a session that is live goes on under its fence.
    """

    def __init__(
        self,
        opener: Callable[[Callable[[str], None]], OpenDevice],
        name: str,
        port: DevicePort,
        *,
        hold: tuple[str, int],
        safe_seconds: float,
        clock: Clock | None = None,
    ):
        self.name = name
        self.condition, self.reason = Condition.OFFLINE, "being opened"
        self.fence = hold[1]
        self.dealt_with = 0
        self.stuck = False
        self._opener = opener
        self._port = port
        self._hold = hold
        self._safe_seconds = safe_seconds
        self._clock = clock or Clock()
        self._state = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._suspended: deque[Suspended] = deque()
        self._running: Operation | None = None
        self._feed_fence = hold[1] if hold[0] == "reserved" else 0
        self._releasing = 0
        self._device: OpenDevice | None = None
        self._retry_at = 0.0
        self.thread = LabThread(f"device:{name}", self._work, wake=self._wake)

    def __repr__(self) -> str:
        return f"<DeviceRunner {self.name} {self.condition} fence={self.fence}>"

    # -- called by the host, from its threads; nothing here blocks

    def submit(self, call: Call) -> None:
        """Take a call over; its reply goes to the port, once, whatever happens."""
        with self._state:
            running = self._running
            if call.panel and running is not None and self._clock.boottime() - running.started > BUSY_SECONDS:
                self._port.reply(call, busy(self.name, running.what))
                return
            if self.stuck:
                self._port.reply(call, out_of_service(call, self.reason))
                return
            self._jobs.append(lambda: self._call(call))
            self._state.notify()

    def follow(self, state: str, fence: int) -> bool:
        """Hear what hold the store has for the device. True: the release that it waits for was dealt with long ago."""
        self.raise_fence(fence)
        with self._state:
            self._hold = (state, fence)
            if state != "releasing" or self._releasing >= fence:
                return state == "releasing" and self.dealt_with >= fence
            self._releasing = fence
            if self.stuck:
                self.dealt_with = fence
                return True
            self._jobs.append(lambda: self._release(fence))
            self._state.notify()
        return False

    def raise_fence(self, fence: int) -> None:
        """From now on nothing under an earlier fence begins; what runs under one is interrupted."""
        with self._state:
            if fence <= self.fence:
                return
            self.fence = fence
            self._feed_to(0)
            running = self._running
            self._state.notify()
        if running is not None and running.fence < fence:
            self._interrupt(running, "its reservation is over")

    def enforce(self) -> None:
        """Interrupt what has run past its limit."""
        running = self._running
        if running is not None and self._clock.boottime() > running.until:
            self._interrupt(running, "its time is over")

    @property
    def free(self) -> bool:
        return self._hold[0] == "none"

    def begin_stop(self, why: str) -> None:
        """Ask the thread to make the device safe, close it and end; what runs is interrupted."""
        self.thread.stop()
        running = self._running
        if running is not None:
            self._interrupt(running, why)

    # -- the thread

    def _work(self, stopping: threading.Event) -> None:
        self._guarded(self._first_opening)
        while not stopping.is_set():
            job = self._next(stopping)
            if job is not None:
                self._guarded(job)
            elif self._suspended:
                self._guarded(self._resume)
        self._guarded(self._shut)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            log.exception("device runner failed device=%s", self.name)

    def _next(self, stopping: threading.Event) -> Callable[[], None] | None:
        with self._state:
            while not self._jobs and not self._suspended and not stopping.is_set():
                if self.condition is not Condition.OK:
                    if self._clock.boottime() >= self._retry_at:
                        return self._reopen
                    self._state.wait(max(0.01, self._retry_at - self._clock.boottime()))
                else:
                    self._state.wait(3600)
            return self._jobs.popleft() if self._jobs else None

    def _wake(self) -> None:
        with self._state:
            self._state.notify_all()

    def _begin(self, what: str, fence: int, seconds: float, call: Call | None = None) -> Operation | Reply:
        """Check fence, deadline and age of the last beat last thing before the driver, under one lock."""
        with self._state:
            if call is not None:
                answer = refused(
                    call,
                    self.condition,
                    self.reason,
                    fence=self.fence,
                    now=self._port.now(),
                    silent_for=self._port.silent_for(),
                )
                if answer is not None:
                    return answer
                if call.fence > self.fence:
                    self.fence = call.fence
            started = self._clock.boottime()
            self._running = Operation(what=what, fence=fence, started=started, until=started + seconds, call=call)
            return self._running

    def _end(self, operation: Operation) -> None:
        with self._state:
            self._running = None
            operation.done.set()
            if not operation.stuck:
                return
            self.stuck = False  # it came back after all: nothing is known of the device, so it is opened anew
            self._retry_at = 0.0

    def _interrupt(self, operation: Operation, why: str) -> None:
        interrupt(operation, self._device.driver if self._device else None, why, self._abandon)

    def _abandon(self, operation: Operation) -> None:
        with self._state:
            if operation.done.is_set():
                return
            operation.stuck = self.stuck = True
            reason = (
                f"{operation.what} hangs: {operation.interrupted}, and it did not end within 2 s of its interruption"
            )
            self._set(Condition.FAULTY, reason, dealt_with=self._hold[1] if self._hold[0] == "releasing" else 0)
        log.error("device hangs device=%s operation=%s", self.name, operation.what)
        if operation.call is not None:
            self._port.reply(operation.call, Reply(error="CallLostError", message=f"Device '{self.name}': {reason}."))
        self._port.report(self)

    # -- calls

    def _call(self, call: Call) -> None:
        if call.command == READY:
            self._ready(call)
            return
        device = self._device
        spec = device.commands.get(call.command) if device is not None else None
        seconds = call.until - self._port.now()
        operation = self._begin(call.command, call.fence, seconds, call)
        if isinstance(operation, Reply):
            self._port.reply(call, operation)
            return
        try:
            if device is None or spec is None or (call.panel and not spec.panel):
                raise CommandError(
                    f"Device '{self.name}' has no command '{call.command}'{' for its panel' if spec else ''}."
                )
            result = spec.function(device.driver, **spec.bind(list(call.args), dict(call.kwargs)))
            if inspect.isgenerator(result):
                self._suspended.append(Suspended(call=call, steps=cast(Generator[Any, None, Any], result)))
                return
            answer = Reply(value=result)
        except Exception as error:
            answer = self._failed(error, operation)
        finally:
            self._end(operation)
        if not operation.stuck:
            self._port.reply(call, answer)

    def _resume(self) -> None:
        command = self._suspended.popleft()
        operation = self._begin(
            command.call.command, command.call.fence, command.call.until - self._port.now(), command.call
        )
        if isinstance(operation, Reply):
            command.steps.close()
            self._port.reply(command.call, operation)
            return
        try:
            next(command.steps)
            self._suspended.append(command)
            return
        except StopIteration as end:
            answer = Reply(value=end.value)
        except Exception as error:
            answer = self._failed(error, operation)
        finally:
            self._end(operation)
        if not operation.stuck:
            self._port.reply(command.call, answer)

    def _failed(self, error: Exception, operation: Operation) -> Reply:
        if isinstance(error, DeviceOfflineError):
            self._lost(self._device, str(error))
        return reply_for(error, self.name, operation)

    def _ready(self, call: Call) -> None:
        """Make the device ready for a new session: open, safe, read back; its feeds are the session's from here on."""
        operation = self._begin("making ready", call.fence, max(call.until - self._port.now(), 1.0), None)
        if isinstance(operation, Reply):
            return
        try:
            answer = refused(
                call, Condition.OK, "", fence=self.fence, now=self._port.now(), silent_for=self._port.silent_for()
            )
            if answer is None:
                with self._state:
                    self.fence = max(self.fence, call.fence)
                self._secure(operation)
                with self._state:
                    if self.condition is Condition.OK and self.fence == call.fence:
                        self._feed_to(call.fence)
        finally:
            self._end(operation)
        self._port.report(self)
        self._port.reply(call, answer or refused(call, self.condition, self.reason) or Reply(value=True))

    # -- opening and making safe

    def _first_opening(self) -> None:
        with self._state:
            state, fence = self._hold
            self._releasing = fence if state == "releasing" else 0
        self._reopen()

    def _reopen(self) -> None:
        self._shut_device()
        operation = self._begin("opening", self.fence, OPEN_SECONDS)
        if isinstance(operation, Operation):
            try:
                self._secure(operation)
            finally:
                self._end(operation)
        with self._state:
            if self._hold[0] == "releasing":
                self.dealt_with = max(self.dealt_with, self._hold[1])
        self._port.report(self)

    def _release(self, fence: int) -> None:
        """Force the device free; its session's calls are over by now. Make safe, read back; else reopen; else faulty."""
        while self._suspended:
            command = self._suspended.popleft()
            command.steps.close()
            self._port.reply(command.call, refused(command.call, self.condition, self.reason, fence=fence) or Reply())
        operation = self._begin("making safe", fence, self._safe_seconds)
        if isinstance(operation, Operation):
            try:
                self._secure(operation)
            finally:
                self._end(operation)
        self.dealt_with = max(self.dealt_with, fence)
        self._port.report(self)

    def _secure(self, operation: Operation) -> None:
        """Open where it is not, make safe, read back; where that fails reopen once; sets the condition."""
        for last in (False, True):
            try:
                if self._device is None:
                    self._device = self._opener(self._unplugged)
                    with self._state:
                        self._feed_to(self._feed_fence)
                self._device.driver.make_safe()
                self._set(Condition.OK, "")
                return
            except DeviceOfflineError as error:
                self._set(Condition.OFFLINE, str(error))
                last = True
            except Exception as error:
                log.warning("device could not be made safe device=%s error=%s", self.name, error)
                self._set(Condition.FAULTY, f"{type(error).__name__}: {error}")
            self._shut_device()
            if last or operation.interrupted:
                break

    def _set(self, condition: Condition, reason: str, *, dealt_with: int = 0) -> None:
        with self._state:
            if condition is not self.condition or reason != self.reason:
                log.info("device changed device=%s condition=%s reason=%s", self.name, condition, reason or "-")
            self.condition, self.reason = condition, " ".join(reason.split())
            self.dealt_with = max(self.dealt_with, dealt_with)
            pause = RETRY_OFFLINE if condition is Condition.OFFLINE else RETRY_FAULTY
            self._retry_at = self._clock.boottime() + pause

    def _feed_to(self, fence: int) -> None:
        self._feed_fence = fence
        if self._device is not None:
            self._device.outlet.fence = fence

    def _unplugged(self, reason: str) -> None:
        device = self._device
        with self._state:
            self._jobs.append(lambda: self._lost(device, reason))
            self._state.notify()

    def _lost(self, device: OpenDevice | None, reason: str) -> None:
        if device is not None and device is self._device:
            self._shut_device()
            self._set(Condition.OFFLINE, reason)
            self._port.report(self)

    def _shut_device(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _shut(self) -> None:
        """The end of the host: make safe if open, close; calls that never began are told so."""
        if self._device is not None:
            operation = self._begin("making safe", self.fence, self._safe_seconds)
            try:
                self._device.driver.make_safe()
            except Exception as error:
                log.warning("device could not be made safe at the end device=%s error=%s", self.name, error)
            finally:
                if isinstance(operation, Operation):
                    self._end(operation)
            self._shut_device()
        self._set(Condition.OFFLINE, "its host was stopped")
        with self._state:
            jobs, self._jobs = list(self._jobs), deque()
        for job in jobs:
            self._guarded(job)
