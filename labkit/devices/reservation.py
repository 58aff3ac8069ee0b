"""Reserving benches: why none is free in words, making a bench ready, giving it back. Used by proxies and sessions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from labkit.clock import Deadline
from labkit.context import BoundSession
from labkit.devices.caller import DeviceCaller
from labkit.errors import BenchUnavailableError, DeviceError, ReservationLostError
from labkit.settings import Settings
from labkit.store.calls import READY
from labkit.store.reservations import Reservations
from labkit.store.sessions import Refusal

log = logging.getLogger("labkit.devices")


def time_text(seconds: float) -> str:
    """A time of day as messages show it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")


def sentence(refusal: Refusal) -> str:
    """Why one bench can't be given out, and until when; never by whom."""
    if refusal.state == "reserved":
        since, until = time_text(float(refusal.first)), time_text(float(refusal.second))
        return f"{refusal.bench} is reserved by another session since {since} until {until}"
    if refusal.state == "releasing":
        return f"{refusal.bench} is being made safe after another session since {time_text(float(refusal.first))}"
    if refusal.state == "no-host":
        return f"{refusal.bench} is not hosted at the moment (no `labkit loop` has it)"
    return f"{refusal.bench} is out of service: its device {refusal.first} is {refusal.state} ({refusal.second})"


def explain(refusals: Sequence[Refusal], wish: str = "") -> str:
    """All refusals in one message."""
    if not refusals:
        return f"There is no bench {wish or 'to reserve'}. Declare one in devices/, and start `labkit loop`."
    return "; ".join(sentence(refusal) for refusal in refusals) + "."


class BenchReservation:
    """Takes benches for a session and makes their devices ready; all or nothing."""

    def __init__(self, reservations: Reservations, caller: DeviceCaller, settings: Settings):
        self._reservations = reservations
        self._caller = caller
        self._settings = settings

    def acquire(
        self, bound: BoundSession, *, bench: str = "", features: Sequence[str] = (), excluded: Sequence[str] = ()
    ) -> str:
        """Reserve a free bench that fits and make it ready; one that can't be made ready is left, the next one tried.

        Blocks until the devices are ready. Returns the bench's name.
        Errors: `BenchUnavailableError`, `ReservationLostError` (the session is over).
        """
        left_out, failures = list(excluded), list[str]()
        while True:
            taken = self._reservations.take(
                bound.session_id,
                bound.owner,
                bench=bench,
                features=features,
                excluded=left_out,
                by_task=bound.by_task,
            )
            if taken is None:
                raise ReservationLostError("The session is over; no bench can be reserved for it.")
            if isinstance(taken, list):
                raise BenchUnavailableError(
                    " ".join([*failures, explain(taken, bench)] if taken or not failures else failures)
                )
            name, fence = taken
            bound.fences[name] = fence
            failure = self.make_ready(name, fence)
            if failure is None:
                return name
            self.release(bound, name)
            left_out.append(name)
            failures.append(f"{name} could not be made ready: {failure}")

    def make_ready(self, bench: str, fence: int) -> str | None:
        """Have every device of a bench opened, made safe and read back, all at once. Returns what failed, or None."""
        deadline = Deadline(self._settings.release_timeout + 5.0)
        waiting, failures = [], []
        for device in self._caller.devices_of(bench):
            try:
                waiting.append(self._caller.submit(f"{bench}/{device}", READY, fence=fence, seconds=deadline.left()))
            except DeviceError as error:
                failures.append(str(error))
        for pending in waiting:
            try:
                pending.result()
            except DeviceError as error:
                failures.append(str(error))
        for failure in failures:
            log.warning("device not ready bench=%s error=%s", bench, failure)
        return " ".join(failures) or None

    def release(self, bound: BoundSession, bench: str = "") -> None:
        """Give a bench ('': all) back before the session ends. Its host makes it safe; then others may have it.

        Errors: `ReservationLostError` where it is not this session's any more.
        """
        for name in [bench] if bench else list(bound.fences):
            fence = bound.fences.pop(name, None)
            if fence is None or self._reservations.release(bound.session_id, name, fence, bound.by_task) is None:
                raise ReservationLostError(f"Bench '{name}' is not reserved by this session any more.")
