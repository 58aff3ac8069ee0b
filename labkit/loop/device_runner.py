"""DeviceRunner: the one thread of one device. It opens the driver, runs calls one after another, makes safe, reopens.

Used by the host. Here is where a fence counts: it is checked last thing before the driver, under the same lock under
which it is raised, so everything under one fence is over before anything under a later one begins.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from labkit.clock import Clock
from labkit.errors import DeviceOfflineError
from labkit.loop.answers import (
    RESERVATION_OVER,
    WENT_AWAY,
    busy,
    given_up,
    lost_in_driver,
    out_of_service,
    refused,
    text_of,
)
from labkit.loop.blame import IGNORED_INTERRUPT, NO_HOST, UNPLUGGED, blame_for
from labkit.loop.command import Command
from labkit.loop.commands import Commands
from labkit.loop.device_link import DevicePort
from labkit.loop.device_state import DeviceState, Opener
from labkit.loop.health import NEVER, HealthSchedule
from labkit.loop.hold import Hold
from labkit.loop.jobs import Job, Jobs
from labkit.loop.operation import Occupation, Operation
from labkit.loop.same_core import Sleeper
from labkit.loop.upkeep import STOPPED, UNFORESEEN, Upkeep
from labkit.plugin import DeviceEvent
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Blame, Condition
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

BUSY_SECONDS = 1.0
FRESH_SECONDS = 2.0
"""How old the last beat may be for a call that the store has not seen; each tells anew whether its session is live."""


class DeviceRunner:
    """The thread of one device and the facts about it that others may read: condition, reason, fence, stuck.

    hold: the device's hold when the bench was claimed; a session that is live goes on under its fence.
    known_fence: the latest that this process knew of the device; a hold of an earlier one is what a store shows that
    went back.
    """

    def __init__(
        self,
        opener: Opener,
        name: str,
        port: DevicePort,
        *,
        hold: tuple[str, int],
        known_fence: int = 0,
        safe_seconds: float,
        health_interval: float = 0.0,
        clock: Clock | None = None,
    ):
        self.name = name
        self.fence = max(hold[1], known_fence)
        self.stuck = False
        self.telling = threading.Lock()
        """Held by who tells the store this device's facts, so that no earlier fact overtakes a later one."""
        self._port = port
        self._hold = Hold(*hold)
        self._clock = clock or Clock()
        self._lock = threading.Condition()
        self._jobs, self._sleeper = Jobs(), Sleeper()
        self._releasing = self._hold.releasing  # the first opening deals with that
        self._given = False  # to a session, which a beat under way does not know yet
        self._ended, self._revoked = False, ""
        self._resting: str | None = None
        self._state = DeviceState(opener, name, lock=self._lock, clock=self._clock, on_lost=self._unplugged)
        self._state.feed_to(hold[1] if hold[0] == "reserved" and hold[1] == self.fence else 0)
        self._occupation = Occupation(self._lock, self._clock, lambda: self._state.in_hand, self._abandon, self._back)
        self._commands = Commands(self._state, self._occupation, port.reply, close_seconds=safe_seconds)
        self._health = HealthSchedule(health_interval, self._clock)
        self._upkeep = Upkeep(
            self._state,
            self._occupation,
            self._commands,
            self._health,
            safe_seconds=safe_seconds,
            report=lambda: port.report(self),
        )
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
    def facts(self) -> tuple[Condition, str, int, Blame]:
        """condition, reason, dealt_with and blame as of one moment."""
        return self._state.facts

    @property
    def changes(self) -> deque[DeviceEvent]:
        """Changes of the condition that were not announced yet; who announces one takes it."""
        return self._state.changes

    # -- called by the host, from its threads; nothing here blocks

    def submit(self, call: Call, *, unseen: bool = False) -> bool:
        """Take a call over; its reply goes to the port, once, whatever happens.

        unseen: the store has not seen it. False: it was not taken, for the store has to be asked.
        """
        with self._lock:
            if unseen and not self._covers(call):
                return False
            refusal = self._refusal_at_once(call)
            if refusal is None:
                self._jobs.add(partial(self._call, call), call)
                self._sleeper.come_here()
                self._lock.notify()
        if refusal is None:
            self._occupation.make_way()
        else:
            self._port.reply(call, refusal)
        return True

    def _covers(self, call: Call) -> bool:
        """Is all known here that the store would look at? What it would refuse, it shall refuse: it knows why."""
        known = self.fence == call.fence and self._hold.covers(call, self._port.now())
        well = self.condition is Condition.OK and not self._revoked and not self._ended
        return known and well and self._port.silent_for() <= FRESH_SECONDS

    def withdraw(self, call: Call) -> bool:
        """Take a call back, so that it surely never runs. False: it has begun, or was answered."""
        with self._lock:
            return self._jobs.withdraw(call)

    def _refusal_at_once(self, call: Call) -> Reply | None:
        if self._ended:
            return refused(call, Condition.OFFLINE, STOPPED, NO_HOST)
        if self.stuck:
            return out_of_service(call, self.reason, self._state.blame)
        long = self._occupation.long(BUSY_SECONDS)
        return busy(self.name, long.what) if call.panel and long is not None else None

    def follow(self, state: str, fence: int, until: float = 0.0) -> bool:
        """Hear what hold the store has for the device, see `Hold`. True: its release was dealt with long ago."""
        self.raise_fence(fence)
        with self._lock:
            given, self._given = self._given, False
            if state == "none" and given:
                return False  # if it is so, the next beat says it again
            if state == "none" and not self.free:
                self._lock.notify()  # from now on it is looked at
            self._hold = Hold(state, fence, until)
            if state != "releasing" or self._releasing >= fence:
                return state == "releasing" and self.dealt_with >= fence
            self._releasing = fence
            if self.stuck:
                self._state.deal_with(fence)
                return True
            self._later(partial(self._upkeep.release, fence))
        return False

    def raise_fence(self, fence: int) -> None:
        """From now on nothing under an earlier fence begins; a command that runs under one is interrupted."""
        with self._lock:
            if fence <= self.fence:
                return
            self.fence = fence
            self._state.feed_to(0)
            self._lock.notify()
        self._occupation.interrupt_call(RESERVATION_OVER, below=fence)

    def enforce(self) -> None:
        """Interrupt what has run past its limit."""
        self._occupation.interrupt_overdue()

    def rest(self, reason: str, unsafe: str = "") -> None:
        """Make the device safe, close it and leave it closed until `resume`. Only for one that no session has."""
        with self._lock:
            if self._resting != reason:
                self._resting = reason
                self._later(partial(self._rest, reason, unsafe))

    def resume(self) -> None:
        """Open the device again that was left closed; for another one nothing is done."""
        with self._lock:
            if self._resting is not None:
                self._resting = None
                self._later(self._wake_up)

    @property
    def free(self) -> bool:
        return self._hold.state == "none"

    def revoke(self, why: str) -> None:
        """Let no call through any more: the host has lost the bench, and what it holds may be another's by now."""
        with self._lock:
            self._revoked = why

    def begin_stop(self, why: str) -> None:
        """Ask the thread to make the device safe, close it and end; a command that runs is interrupted."""
        self.revoke(why)
        self.thread.stop()
        self._occupation.interrupt_call(why)

    # -- the thread

    def _work(self, stopping: threading.Event) -> None:
        if self._resting is None and not stopping.is_set():
            self._guarded(Job(work=self._reopen))
        while not stopping.is_set():
            job = self._next(stopping)
            if job is not None:
                self._guarded(job)
        self._guarded(Job(work=self._shut))

    def _guarded(self, job: Job) -> None:
        """Do a job. One that fails as nobody foresaw leaves nothing open, nothing ok, and nobody waiting."""
        if not job.done(self.name):
            self._upkeep.failed(self.fence, self._hold.releasing)
            if job.call is not None:
                self._port.reply(job.call, lost_in_driver(job.call, UNFORESEEN))

    def _next(self, stopping: threading.Event) -> Job | None:
        with self._lock:
            while not self._jobs and not self._commands and not stopping.is_set():
                work, seconds = self._due()
                if seconds <= 0:
                    return Job(work=work)
                self._sleeper.sleeps()
                self._lock.wait(max(0.01, seconds))
                self._sleeper.awake()
            if self._jobs:
                return self._jobs.next()
            return Job(work=self._resume) if self._commands else None

    def _due(self) -> tuple[Callable[[], None], float]:
        """What the thread does by itself if nothing comes, and in how many seconds."""
        if self._resting is not None:
            return self._reopen, NEVER
        if self.condition is not Condition.OK:
            return self._reopen, self._state.retry_at - self._clock.boottime()
        return self._look, self._health.due_in(self._state.driver) if self.free else NEVER

    def _later(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.add(work)
            self._lock.notify()
        self._occupation.make_way()

    def _wake(self) -> None:
        with self._lock:
            self._lock.notify_all()

    # -- operations: what touches the driver

    def _begin_call(self, call: Call) -> Operation | Reply:
        """Check fence, deadline and age of the last beat last thing before the driver, under one lock."""
        with self._lock:
            condition, reason, _, blame = self.facts
            answer = self._refusal(call, condition, reason, blame)
            if answer is not None:
                return answer
            return self._occupation.begin(call.command, call.fence, call.until - self._port.now(), call=call)

    def _refusal(self, call: Call, condition: Condition, reason: str = "", blame: Blame = Blame.NOBODY) -> Reply | None:
        if self._revoked:
            return refused(call, Condition.OFFLINE, self._revoked, NO_HOST)
        now, silent_for = self._port.now(), self._port.silent_for()
        return refused(call, condition, reason, blame, fence=self.fence, now=now, silent_for=silent_for)

    def _abandon(self, operation: Operation) -> None:
        """Leave the thread alone that does not come back: the device is faulty, and who waits for it is told."""
        reason = f"{operation.what} hangs: {operation.interrupted}, and it did not end within 2 s of its interruption"
        with self._lock:
            if operation.done.is_set():
                return
            operation.stuck = self.stuck = True
            self._state.set(Condition.FAULTY, reason, IGNORED_INTERRUPT, dealt_with=self._hold.releasing)
            waiting = self._jobs.take_calls()
        log.error("device hangs device=%s operation=%s", self.name, operation.what)
        if operation.call is not None:
            self._port.reply(operation.call, lost_in_driver(operation.call, reason))
        for call in waiting:
            self._port.reply(call, out_of_service(call, reason, IGNORED_INTERRUPT))
        self._port.report(self)

    def _back(self) -> None:
        """It came back after all: nothing is known of the device, so it is opened anew."""
        self.stuck = False
        self._state.retry_at = 0.0

    # -- calls

    def _call(self, call: Call) -> None:
        self.raise_fence(call.fence)  # a call is news of its fence, too
        self._commands.end(RESERVATION_OVER, below=self.fence)
        if call.command == READY and not call.panel:
            self._ready(call)
            return
        operation = given_up(call, self._port.task_runs) or self._begin_call(call)
        if isinstance(operation, Reply):
            self._port.reply(call, operation)
        else:
            self._advance(Command(call), operation)

    def _resume(self) -> None:
        command = self._commands.next()
        operation = self._begin_call(command.call)
        if isinstance(operation, Reply):
            self._commands.cut(command, RESERVATION_OVER if command.call.fence < self.fence else WENT_AWAY)
        else:
            self._advance(command, operation)

    def _advance(self, command: Command, operation: Operation) -> None:
        failure = self._commands.advance(command, operation)
        if isinstance(failure, DeviceOfflineError):
            self._upkeep.gone(self.fence, text_of(failure), blame_for(failure))

    # -- upkeep

    def _ready(self, call: Call) -> None:
        """Make the device ready for a new session: open, safe, read back; its feeds are the session's from here on."""
        answer = self._refusal(call, Condition.OK)
        if answer is None:
            with self._lock:  # the store gave the device out; the next beat will say so, too
                self._hold, self._resting, self._given = Hold("reserved", call.fence), None, True
            self._upkeep.secure("making ready", call.fence, max(call.until - self._port.now(), 1.0))
            with self._lock:
                if self.condition is Condition.OK and self.fence == call.fence:
                    self._state.feed_to(call.fence)
            condition, reason, _, blame = self.facts
            answer = refused(call, condition, reason, blame, fence=self.fence) or Reply(value=True)
            self._port.report(self)
        self._port.reply(call, answer)

    def _reopen(self) -> None:
        self._upkeep.reopen(self.fence, self._hold.releasing)

    def _look(self) -> None:
        self._upkeep.look(self.fence, lambda: bool(self._jobs) or self.thread.stopping.is_set())

    def _rest(self, reason: str, unsafe: str) -> None:
        if self._resting == reason:  # else it was taken back meanwhile, or given to a session
            self._upkeep.rest(self.fence, reason, unsafe)

    def _wake_up(self) -> None:
        if self._resting is None and self._state.device is None:
            self._upkeep.wake()
            self._reopen()

    def _unplugged(self, opening: int, reason: str) -> None:
        """A driver says so, on any thread."""
        self._later(lambda: self._upkeep.gone(self.fence, reason, UNPLUGGED) if self._state.is_open(opening) else None)

    def _shut(self) -> None:
        """The end of the host: make safe if open, close; calls that never began are told so."""
        try:
            self._upkeep.shut(self.fence)
        finally:
            with self._lock:
                self._ended = True
                waiting = self._jobs.take_calls()
            for call in waiting:
                self._port.reply(call, refused(call, Condition.OFFLINE, STOPPED, NO_HOST) or Reply())
