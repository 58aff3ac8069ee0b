"""Reserving benches: why none is free in words, making a bench ready, giving it back. Used by proxies and sessions."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from labkit.clock import Deadline, moment_text
from labkit.context import BoundSession
from labkit.devices.caller import DeviceCaller
from labkit.devices.wish import Wish, no_bench
from labkit.errors import BenchUnavailableError, DeviceError, ReservationLostError
from labkit.settings import Settings
from labkit.store.calls import READY
from labkit.store.reservations import Duty, Reservations
from labkit.store.sessions import Refusal

log = logging.getLogger("labkit.devices")

ANY = Wish()


def sentence(refusal: Refusal) -> str:
    """Why one bench can't be given out, and until when; never by whom."""
    bench, state = refusal.bench, refusal.state
    if state == "no-host":
        return f"{bench} is not hosted at the moment (no `labkit loop` has it)"
    if state in ("offline", "faulty"):
        return f"{bench} is out of service: its device {refusal.first} is {state} ({refusal.second})"
    since = moment_text(float(refusal.first))
    if state in (Duty.DRAINED, Duty.MAINTENANCE):
        why = f" ({refusal.second})" if refusal.second else ""
        what = "in maintenance" if state == Duty.MAINTENANCE else "given to nobody new"
        return f"{bench} is {what} since {since}{why}"
    own, _, hold = state.rpartition("-")
    if hold == "releasing":
        return f"{bench} is being made safe after {'this' if own else 'another'} session since {since}"
    if own:
        return f"{bench} is this session's own already since {since}"
    return f"{bench} is reserved by another session since {since} until {moment_text(float(refusal.second))}"


def explain(refusals: Sequence[Refusal], wish: Wish = ANY) -> str:
    """All refusals in one message."""
    if not refusals:
        return no_bench(wish)
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
        Errors: `BenchUnavailableError`, `ReservationLostError` (the session is over), `WishError` (no such names).
        """
        wish = Wish(bench, features)
        left_out, failures = list(excluded), list[str]()
        while True:
            taken = self._reservations.take(
                bound.session_id,
                bound.owner,
                bench=wish.bench,
                features=wish.features,
                excluded=left_out,
                by_task=bound.by_task,
            )
            if taken is None:
                raise ReservationLostError("The session is over; no bench can be reserved for it.")
            if isinstance(taken, list):
                others = "No other bench fits." if excluded and not taken else explain(taken, wish)
                raise BenchUnavailableError(" ".join([*failures, others] if taken or not failures else failures))
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
