"""Calls from the process that has the device: straight to its runner, without the store. Used by the host.

Only what is sure to be let through goes this way (`DeviceRunner.submit`, unseen): its fence is the device's, its
session is live as of the last beat, its task runs here. All else goes through the store, which knows why not. Values
come out as on the other way: lab code sees the same, and shares no object with a driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from labkit import wire
from labkit.clock import Deadline
from labkit.devices.caller import lost, unpack
from labkit.errors import CallExpiredError
from labkit.loop import same_core
from labkit.loop.device_runner import DeviceRunner
from labkit.process import LabProcess
from labkit.store.calls import READY, Call, Reply

_PLAIN = (str, bytes, int, bool, type(None))
"""What comes out of JSON just as it went in."""


class OwnCall:
    """A call under way; `result()` waits for its end, as `PendingCall` does."""

    def __init__(self, call: Call, runner: DeviceRunner, deadline: Deadline, forget: Callable[[str], object]):
        self.call = call
        self._runner = runner
        self._deadline = deadline
        self._forget = forget
        self._reply = Reply()
        self._answered = threading.Lock()  # an Event would take longer than all the rest
        self._answered.acquire()

    def answer(self, reply: Reply) -> None:
        """Take the reply, once."""
        self._reply = reply
        self._answered.release()

    def result(self) -> Any:
        """Block until the call ends, at most until its deadline and a little more. Errors: see `devices.caller`."""
        if not self._wait():
            if self._runner.withdraw(self.call):
                self._forget(self.call.id)
                what = f"The call {self.call.command} of device '{self.call.device}'"
                text = f"{what} was not done: it came to its deadline before it began."
                raise CallExpiredError(text, device=self.call.device)
            if not self._answered.acquire(blocking=False):
                raise lost(self.call, "it did not answer before its deadline")
        self._answered.release()
        return unpack(self._reply, self.call)

    def _wait(self) -> bool:
        """Wait for the answer on the core to which the device's thread was called. False: the deadline came first."""
        cores = same_core.bind()
        try:
            while not self._answered.acquire(timeout=self._deadline.left()):
                if self._deadline.over:
                    return False
            return True
        finally:
            same_core.free(cores)


class OwnCalls:
    """Those that are under way. runner_for: the runner of a device, None where it isn't here."""

    def __init__(self, process: LabProcess, runner_for: Callable[[Call], DeviceRunner | None]):
        self._process = process
        self._runner_for = runner_for
        self._waiting: dict[str, OwnCall] = {}

    def submit(self, call: Call, deadline: Deadline) -> OwnCall | None:
        """Hand a call to its device. None: it has to go through the store. Errors: `NotStorableError`."""
        runner = self._runner_for(call)
        if runner is None or call.command == READY or not self._runs_here(call):
            return None
        own = OwnCall(_crossed_call(call), runner, deadline, self._waiting.pop)
        self._waiting[call.id] = own  # before anybody can answer it
        if runner.submit(own.call, unseen=True):
            return own
        del self._waiting[call.id]
        return None

    def _runs_here(self, call: Call) -> bool:
        """Is it no task that calls, or one that runs in this process now?"""
        return not call.task or (call.process == self._process.id and call.task in self._process.tasks)

    def answer(self, call: Call, reply: Reply) -> bool:
        """Answer a call. False: it came through the store. Errors: `NotStorableError`; then nobody was answered."""
        own = self._waiting.get(call.id)
        if own is None:
            return False
        if type(reply.value) not in _PLAIN:
            reply = replace(reply, value=_crossed(reply.value))
        del self._waiting[call.id]
        own.answer(reply)
        return True


def _crossed_call(call: Call) -> Call:
    args = [_crossed(value) for value in call.args]
    kwargs = {name: _crossed(value) for name, value in call.kwargs.items()}
    return replace(call, args=args, kwargs=kwargs)


def _crossed(value: Any) -> Any:
    """A value as it comes out on the other side of the store. Errors: `NotStorableError`."""
    return value if type(value) in _PLAIN else wire.loads(wire.dumps(value))
