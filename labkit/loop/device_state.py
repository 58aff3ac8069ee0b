"""DeviceState: one device, open or not, and the condition that it is in. Used by `device_runner`.

It opens, makes safe, looks and closes on the runner's thread, which calls it; it knows no calls. Its lock is the
runner's, so that what others read of it (`facts`) fits together.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from labkit.clock import Clock
from labkit.devices.missing_library import remedy_for
from labkit.errors import DeviceOfflineError, WebLabError
from labkit.log_text import plain
from labkit.loop.answers import described, text_of
from labkit.loop.blame import NO_ANSWER, blame_in_upkeep
from labkit.loop.device_link import OpenDevice
from labkit.loop.operation import Operation
from labkit.plugin import DeviceEvent, Driver
from labkit.store.reservations import Blame, Condition

log = logging.getLogger("labkit.loop")

RETRY_OFFLINE = 1.0
RETRY_FAULTY = 5.0
OPENING = "being opened"
LONGEST_REASON = 1000
"""Characters of a reason that are kept: it stands in each line of the bench's log."""

FAILURES = (BaseException,)
"""What a driver's method may end with: its library may call exit, cancel a coroutine, or panic (Rust). No driver runs
on the main thread, so none of it is anybody's Ctrl-C."""

Opener = Callable[[Callable[[str], None], Callable[[Driver[Any]], None]], OpenDevice]
"""Opens the device; is given whom to tell that it has gone, and who takes the driver in hand before it is opened."""


class DeviceState:
    """The device of one runner. on_lost(opening, reason): a driver says that the device of this opening has gone."""

    def __init__(
        self, opener: Opener, name: str, *, lock: threading.Condition, clock: Clock, on_lost: Callable[[int, str], None]
    ):
        self.name = name
        self.condition, self.reason, self.blame = Condition.OFFLINE, OPENING, Blame.NOBODY
        self.dealt_with = 0
        self.changes: deque[DeviceEvent] = deque()
        """What has changed and was not announced yet, oldest first."""
        self.device: OpenDevice | None = None
        self.retry_at = 0.0
        """When the runner tries a device that is not ok again, in seconds of the boot-time clock."""
        self._opener = opener
        self._lock = lock
        self._clock = clock
        self._on_lost = on_lost
        self._opening = 0
        self._being_opened: Driver[Any] | None = None
        self._feed_fence = 0

    @property
    def driver(self) -> Driver[Any] | None:
        """The open driver, None where it is closed."""
        device = self.device
        return None if device is None else device.driver

    @property
    def in_hand(self) -> Driver[Any] | None:
        """The driver that may block now and can be interrupted: the open one, or the one that is just being opened."""
        driver = self.driver
        return self._being_opened if driver is None else driver

    @property
    def facts(self) -> tuple[Condition, str, int, Blame]:
        """Condition, reason, the fence up to which releases were dealt with, and the blame, as of one moment."""
        with self._lock:
            return self.condition, self.reason, self.dealt_with, self.blame

    def set(self, condition: Condition, reason: str, blame: Blame = Blame.NOBODY, *, dealt_with: int = 0) -> None:
        reason = plain(" ".join(reason.split()))[:LONGEST_REASON]
        with self._lock:
            if condition is not self.condition or reason != self.reason:
                self._note_change(condition, reason, blame)
            self.condition, self.reason, self.blame = condition, reason, blame
            self.dealt_with = max(self.dealt_with, dealt_with)
            pause = RETRY_OFFLINE if condition is Condition.OFFLINE else RETRY_FAULTY
            self.retry_at = self._clock.boottime() + pause

    def _note_change(self, condition: Condition, reason: str, blame: Blame) -> None:
        log.log(
            logging.WARNING if condition is Condition.FAULTY else logging.INFO,
            "device changed device=%s condition=%s blame=%s reason=%s",
            self.name,
            condition,
            blame or "-",
            reason or "-",
        )
        event = DeviceEvent(
            at=self._clock.now(), device=self.name, before=self.condition.value, condition=condition.value,
            reason=reason, blame=blame.value,
        )  # fmt: skip
        self.changes.append(event)

    def deal_with(self, fence: int) -> None:
        """Note that the release under this fence is done."""
        with self._lock:
            self.dealt_with = max(self.dealt_with, fence)

    def feed_to(self, fence: int) -> None:
        """From now on what the device gives belongs to this reservation, 0 for none; also after it was reopened."""
        with self._lock:
            self._feed_fence = fence
            if self.device is not None:
                self.device.outlet.fence = fence

    def secure(self, operation: Operation) -> None:
        """Open where it is not, make safe, read back, and where it was opened look whether it works; where that fails
        reopen once. Sets the condition."""
        for last in (False, True):
            try:
                fresh = self.device is None
                device = self.device or self._open()
                device.driver.make_safe()
                if fresh:
                    device.driver.health()
                self.set(Condition.OK, "")
                return
            except FAILURES as error:
                self.fail(error, operation)
                if last or operation.interrupted or isinstance(error, DeviceOfflineError):
                    return

    def look(self, operation: Operation) -> None:
        """Look whether the device works. What it raises when it was interrupted to give way says nothing of it."""
        try:
            if self.device is not None:
                self.device.driver.health()
        except FAILURES as error:
            if not operation.gave_way:
                self.fail(error, operation)

    def fail(self, error: BaseException, operation: Operation) -> None:
        """The device is offline or faulty by this error, and closed. The condition is set after that is done."""
        known = isinstance(error, WebLabError)  # a driver says what is wrong; anything else is a bug of it
        text = text_of(error)
        again = isinstance(error, DeviceOfflineError) and " ".join(text.split()) == self.reason
        level = logging.DEBUG if again else logging.WARNING  # one that is unplugged is tried again each second
        log.log(level, "device failed device=%s at=%s error=%s", self.name, operation.what, text, exc_info=not known)
        self.shut()
        if isinstance(error, DeviceOfflineError):
            self.set(Condition.OFFLINE, text, blame_in_upkeep(error))
        elif operation.interrupted:
            reason = f"no answer: {operation.what} was ended, because {operation.interrupted} ({described(error)})"
            self.set(Condition.FAULTY, reason, NO_ANSWER)
        else:
            remedy = remedy_for(error)
            reason = f"{described(error)}. Run: {remedy}" if remedy else described(error)
            self.set(Condition.FAULTY, reason, blame_in_upkeep(error))

    def make_safe_and_shut(self) -> tuple[Blame, str]:
        """Make safe for the last time and close, where it is open. Returns what failed, and whose fault it is."""
        blame, failure = Blame.NOBODY, ""
        if self.device is not None:
            try:
                self.device.driver.make_safe()
            except FAILURES as error:
                blame, failure = blame_in_upkeep(error), described(error)
                log.warning("device could not be made safe at the end device=%s error=%s", self.name, failure)
            finally:
                self.shut()
        return blame, failure

    def _open(self) -> OpenDevice:
        self._opening += 1  # what a driver of an earlier opening still says is about nothing any more
        try:
            device = self._opener(partial(self._on_lost, self._opening), self._take_in_hand)
            with self._lock:
                self.device = device
                device.outlet.fence = self._feed_fence
        finally:
            self._being_opened = None
        return device

    def _take_in_hand(self, driver: Driver[Any]) -> None:
        self._being_opened = driver

    def is_open(self, opening: int) -> bool:
        """Is the device still open by this opening?"""
        return self.device is not None and self._opening == opening

    def shut(self) -> None:
        """Close the device where it is open; never raises."""
        with self._lock:
            device, self.device = self.device, None
        if device is not None:
            device.close()
