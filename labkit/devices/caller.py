"""DeviceCaller: one device call from submission to its end, from any process. Used by proxies and reservations.

A call ends in one of: done, its driver's error, `ReservationLostError`, `CallExpiredError` (surely did not run),
`CallLostError` (may have run). It is never repeated.

It goes through the store, or, in the process that has the device open, straight to it (`HostHere`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labkit import errors
from labkit.clock import Clock, Deadline, moment_text
from labkit.errors import CallExpiredError, CallLostError, DeviceError, DriverError, StoreUnavailableError
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Call, Calls, Reply, Submitted
from labkit.store.reservations import Reservations

WATCH_SECONDS = 0.5
"""How often a caller that waits looks whether the host is still there; a dead one shows within GONE_AFTER."""
GRACE_SECONDS = 0.5
"""How much longer than the call itself its caller waits for the answer."""
INFO_SECONDS = 10.0


@dataclass(kw_only=True)
class PendingCall:
    """A call that was submitted; `result()` waits for its end."""

    calls: Calls
    call: Call
    submitted: Submitted
    deadline: Deadline

    def result(self) -> Any:
        """Block until the call ends, at most until its deadline and a little more. Errors: see the module."""
        try:
            reply = self.calls.first_reply(self.submitted)
            while reply is None:
                reply = self._wait_a_while()
        except StoreUnavailableError as error:
            raise self._lost(f"the store went away meanwhile ({error})") from error
        return unpack(reply, self.call)

    def _wait_a_while(self) -> Reply | None:
        left = self.deadline.left()
        beating, withdrawn = self.calls.watch(self.call, self.submitted, withdraw=not left)
        if withdrawn:
            why = "it came to its deadline" if beating else "its host went away"
            text = f"The call {self.call.command} of device '{self.call.device}' was not done: {why} before it began."
            raise CallExpiredError(text, device=self.call.device)
        if beating and left:
            return self.calls.wait(self.call, min(WATCH_SECONDS, left))
        reply = self.calls.wait(self.call, 0.0)  # it may have come in this very moment
        if reply is None:
            raise self._lost("it did not answer before its deadline" if beating else "its host went away")
        return reply

    def _lost(self, why: str) -> CallLostError:
        return lost(self.call, why)


class Pending(Protocol):
    """A call under way."""

    def result(self) -> Any:
        """Block until it ends."""


class HostHere(Protocol):
    """The host of this process, where there is one."""

    def submit(self, call: Call, deadline: Deadline) -> Pending | None:
        """Hand a call to its device. None: it isn't here, or the store has to be asked whether the call may run."""


class DeviceCaller:
    """Calls devices from any process. Safe for many threads."""

    def __init__(
        self,
        calls: Calls,
        reservations: Reservations,
        process: LabProcess,
        settings: Settings,
        *,
        clock: Clock | None = None,
    ):
        self._calls = calls
        self._reservations = reservations
        self._process = process
        self._settings = settings
        self._clock = clock or Clock()
        self.host_here: HostHere | None = None
        self._lock = threading.Lock()
        self._infos: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def info(self, bench: str) -> Mapping[str, Any]:
        """What the bench's host published, at most 10 s old. Empty where no host ever did."""
        with self._lock:
            at, info = self._infos.get(bench, (0.0, {}))
        if not info or self._clock.boottime() - at > INFO_SECONDS:
            info = self._reservations.bench_info(bench) or {}
            with self._lock:
                self._infos[bench] = (self._clock.boottime(), info)
        return info

    def devices_of(self, bench: str) -> Mapping[str, Mapping[str, Any]]:
        """The bench's devices by name, each with kind, title, commands, feeds."""
        devices: Mapping[str, Mapping[str, Any]] = self.info(bench).get("devices", {})
        return devices

    def seconds_for(self, device: str, command: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
        """How long a call may take where the caller says nothing: by its `timeout` argument, its command, the lab."""
        bench, _, name = device.partition("/")
        spec = self.devices_of(bench).get(name, {}).get("commands", {}).get(command, {})
        named = spec.get("schema", {}).get("properties", {})  # in the order of the command's arguments
        given = {**dict(zip(named, args, strict=False)), **kwargs}
        asked = given.get("timeout", named.get("timeout", {}).get("default"))
        if isinstance(asked, (int, float)):
            return float(asked) + self._settings.call_timeout
        return float(spec.get("timeout") or self._settings.call_timeout)

    def submit(
        self,
        device: str,
        command: str,
        *,
        fence: int,
        seconds: float,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        panel: bool = False,
        task: str = "",
        process: str = "",
    ) -> Pending:
        """Hand a call to the device's host. Errors: `ReservationLostError`, `DeviceOfflineError`, `DeviceFaultyError`,
        `NotStorableError`; nothing was done then."""
        self._process.start()
        deadline = Deadline(seconds + GRACE_SECONDS, self._clock)
        call = Call(
            device=device,
            command=command,
            fence=fence,
            until=self._process.store_now() + seconds,
            args=args,
            kwargs=kwargs or {},
            panel=panel,
            task=task,
            process=process,
        )
        host = self.host_here
        if host is not None and (pending := host.submit(call, deadline)) is not None:
            return pending
        return self._submit_by_store(call, deadline)

    def _submit_by_store(self, call: Call, deadline: Deadline) -> Pending:
        try:
            answer = self._calls.submit(call, min(WATCH_SECONDS, deadline.left()))
        except StoreUnavailableError as error:
            if not error.sent:
                raise
            text = (
                f"The call {call.command} of device '{call.device}' was lost with the store ({error}) It may have run."
            )
            raise CallLostError(text, device=call.device) from error
        if isinstance(answer, Submitted):
            return PendingCall(calls=self._calls, call=call, submitted=answer, deadline=deadline)
        raise _refusal(call, answer)


def unpack(reply: Reply, call: Call) -> Any:
    """The value of a reply, or its error raised."""
    if not reply.error:
        return reply.value
    kind = getattr(errors, reply.error, DriverError)
    if kind is DriverError or not (isinstance(kind, type) and issubclass(kind, DeviceError)):
        raise DriverError(reply.message, device=call.device, kind=reply.kind or reply.error, blame=reply.blame)
    raise kind(reply.message, device=call.device, blame=reply.blame)


def lost(call: Call, why: str) -> CallLostError:
    """The error of a call that nobody answered."""
    what = f"The call {call.command} of device '{call.device}'"
    return CallLostError(f"{what} was lost: {why}. It may have run; it is not repeated.", device=call.device)


def _refusal(call: Call, answer: Sequence[str]) -> DeviceError:
    word, facts = answer[0], [*answer[1:], "", "", ""]
    device = call.device
    if word == "lost":
        return errors.ReservationLostError(
            f"Device '{device}' is not reserved by this session any more{_holder(facts)}. Nothing was done.",
            device=device,
        )
    if word == "task-lost":
        return errors.ReservationLostError(
            f"The task that calls device '{device}' was given up; nothing was done.", device=device
        )
    if word == "no-host":
        return errors.DeviceOfflineError(
            f"Device '{device}' has no host at the moment; nothing was done. Is `labkit loop` running?",
            device=device,
            blame="lab",
        )
    if word == "faulty":
        return errors.DeviceFaultyError(
            f"Device '{device}' is out of service: {facts[0]}. Nothing was done.", device=device, blame=facts[1]
        )
    return errors.DeviceOfflineError(
        f"Device '{device}' is offline: {facts[0]}. Nothing was done.", device=device, blame=facts[1]
    )


def _holder(facts: Sequence[str]) -> str:
    state, since = facts[0], facts[1]
    if state == "reserved" and since:
        return f": another session has it since {moment_text(float(since))}"
    return {"over": ": its session is over", "releasing": ": it is being made safe"}.get(state, "")
