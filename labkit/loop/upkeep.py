"""Upkeep: everything that is done with a device but its calls: opening, making safe, looking, resting, closing.

Used by `device_runner`, on the device's own thread. None of it is interrupted by a fence, for it is what a new fence
waits for; a look at its health gives way.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.loop.answers import RESERVATION_OVER
from labkit.loop.blame import IN_MAINTENANCE
from labkit.loop.commands import Commands
from labkit.loop.device_state import OPENING, DeviceState
from labkit.loop.health import HealthSchedule
from labkit.loop.operation import Occupation
from labkit.store.reservations import Blame, Condition

OPEN_SECONDS = 30.0
STOPPED = "its host was stopped"
NOT_SAFE = "could not be made safe before"
UNFORESEEN = "its driver raised what labkit could not deal with; the log of its loop says what"
_MAINTAINED = "in maintenance: "


def in_maintenance(reason: str) -> str:
    """The reason of a device's condition while its bench is in maintenance."""
    return f"{_MAINTAINED}{reason}"


def left_unsafe(condition: str, reason: str) -> str:
    """Why a device may not be safe whose last host left it in this condition; '' where that closed it in order."""
    if NOT_SAFE in reason:
        return reason.partition(f"{NOT_SAFE}: ")[2]
    if reason.startswith(f"{STOPPED}, "):
        return reason.partition(": ")[2]
    if reason in (STOPPED, "not opened yet") or reason.startswith(_MAINTAINED):
        return ""
    return f"its last loop did not close it, and left it {condition}{f' ({reason})' if reason else ''}"


class Upkeep:
    """safe_seconds: how long making safe may take. report: tells the host of the device's condition."""

    def __init__(
        self,
        state: DeviceState,
        occupation: Occupation,
        commands: Commands,
        health: HealthSchedule,
        *,
        safe_seconds: float,
        report: Callable[[], None],
    ):
        self._state = state
        self._occupation = occupation
        self._commands = commands
        self._health = health
        self._safe_seconds = safe_seconds
        self._report = report
        self._unsafe = ""  # why the device is closed and was not made safe, '' where it was

    def secure(self, what: str, fence: int, seconds: float) -> None:
        """Open the device where it is not, make it safe, read back. Sets the condition and tells nobody yet."""
        self._commands.end(RESERVATION_OVER)
        with self._occupation.during(what, fence, seconds) as operation:
            self._state.secure(operation)
        self._unsafe = "" if self._state.condition is Condition.OK else self._state.reason
        self._health.put_off()

    def reopen(self, fence: int, releasing: int) -> None:
        """Close and open the device. releasing: the fence of a release that is dealt with by that, 0: none."""
        self._commands.end("its device was opened anew")
        self._close(fence)
        self.secure("opening", fence, OPEN_SECONDS)
        self._state.deal_with(releasing)
        self._report()

    def release(self, fence: int) -> None:
        """Force the device free; its session's calls are over. Make safe, read back; else reopen; else faulty."""
        self.secure("making safe", fence, self._safe_seconds)
        self._state.deal_with(fence)
        self._report()

    def look(self, fence: int, wanted: Callable[[], bool]) -> None:
        """Look whether the device works, unless somebody wants it. A look that gave way is made up for later.

        It has as long as an opening, which ends with a look: what is good enough there is not faulty later.
        """
        operation = self._occupation.begin_unless(wanted, "a look at its health", fence, OPEN_SECONDS)
        if operation is None:
            return
        try:
            self._state.look(operation)
        finally:
            self._occupation.end(operation)
        self._health.put_off()
        if self._state.condition is not Condition.OK:
            self._report()

    def rest(self, fence: int, reason: str, unsafe: str = "") -> None:
        """Make the device safe and close it, so that people and other programs can have it. unsafe: why it may not be
        safe, where no loop has opened it since."""
        self._unsafe = self._unsafe or unsafe
        with self._occupation.during("making safe", fence, self._safe_seconds):
            open_yet = self._state.driver is not None
            blame, failure = self._state.make_safe_and_shut()
        self._unsafe = failure if open_yet else self._unsafe
        text = f"{reason}; it {NOT_SAFE}: {self._unsafe}" if self._unsafe else reason
        self._state.set(Condition.OFFLINE, text, blame or IN_MAINTENANCE)
        self._report()

    def wake(self) -> None:
        """Say that the device that rested is being opened."""
        self._state.set(Condition.OFFLINE, OPENING)
        self._report()

    def gone(self, fence: int, reason: str, blame: Blame) -> None:
        """The device was unplugged: close it. It is tried again by itself."""
        self._commands.end(f"its device went offline: {reason}")
        self._close(fence)
        self._state.set(Condition.OFFLINE, reason, blame)
        self._report()

    def _close(self, fence: int) -> None:
        """Close it where it is open: an operation like any other, for a driver may hang in that, too."""
        with self._occupation.during("closing", fence, self._safe_seconds):
            self._state.shut()

    def failed(self, fence: int, releasing: int) -> None:
        """What was done with the device ended as nobody foresaw: close it, and try it again like any that is faulty.

        releasing: the fence of a release that waits for its end, 0: none.
        """
        self._unsafe = UNFORESEEN
        self._close(fence)
        self._state.set(Condition.FAULTY, UNFORESEEN, Blame.DRIVER, dealt_with=releasing)
        self._report()

    def shut(self, fence: int) -> None:
        """The end of the host: make safe if open, and close."""
        self._commands.end("its host stops")
        with self._occupation.during("making safe", fence, self._safe_seconds):
            failure = "" if self._state.driver is not None else self._unsafe
            blame, failed = self._state.make_safe_and_shut()
            failure = failed or failure
        text = f"{STOPPED}, and could not make it safe: {failure}" if failure else STOPPED
        self._state.set(Condition.OFFLINE, text, blame)
        if failure:
            self._report()  # else the host says so for all its devices at once
