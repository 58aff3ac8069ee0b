"""DeviceState: one device, open or not, and the condition that it is in. Used by `device_runner`.

It opens, makes safe and closes on the runner's thread, which calls it; it knows no calls. Its lock is the runner's, so
that what others read of it (`facts`) fits together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from labkit.clock import Clock
from labkit.errors import DeviceOfflineError, WebLabError
from labkit.loop.answers import described
from labkit.loop.device_link import OpenDevice
from labkit.loop.operation import Operation
from labkit.store.reservations import Condition

log = logging.getLogger("labkit.loop")

RETRY_OFFLINE = 1.0
RETRY_FAULTY = 10.0

Opener = Callable[[Callable[[str], None]], OpenDevice]
"""Opens the device; is given whom to tell that it has gone."""


class DeviceState:
    """The device of one runner. on_lost(opening, reason): a driver says that the device of this opening has gone."""

    def __init__(
        self, opener: Opener, name: str, *, lock: threading.Condition, clock: Clock, on_lost: Callable[[int, str], None]
    ):
        self.name = name
        self.condition, self.reason = Condition.OFFLINE, "being opened"
        self.dealt_with = 0
        self.device: OpenDevice | None = None
        self.retry_at = 0.0
        """When the runner tries a device that is not ok again, in seconds of the boot-time clock."""
        self._opener = opener
        self._lock = lock
        self._clock = clock
        self._on_lost = on_lost
        self._opening = 0
        self._feed_fence = 0

    @property
    def facts(self) -> tuple[Condition, str, int]:
        """Condition, reason, and the fence up to which releases were dealt with, as of one moment."""
        with self._lock:
            return self.condition, self.reason, self.dealt_with

    def set(self, condition: Condition, reason: str, *, dealt_with: int = 0) -> None:
        with self._lock:
            if condition is not self.condition or reason != self.reason:
                log.info("device changed device=%s condition=%s reason=%s", self.name, condition, reason or "-")
            self.condition, self.reason = condition, " ".join(reason.split())
            self.dealt_with = max(self.dealt_with, dealt_with)
            pause = RETRY_OFFLINE if condition is Condition.OFFLINE else RETRY_FAULTY
            self.retry_at = self._clock.boottime() + pause

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
        """Open where it is not, make safe, read back; where that fails reopen once. Sets the condition."""
        for last in (False, True):
            try:
                device = self.device or self._open()
                device.driver.make_safe()
                self.set(Condition.OK, "")
                return
            except DeviceOfflineError as error:
                self.set(Condition.OFFLINE, str(error))
                last = True
            except Exception as error:
                known = isinstance(error, WebLabError)  # a driver says what is wrong; anything else is a bug of it
                log.warning("device could not be made safe device=%s error=%s", self.name, error, exc_info=not known)
                self.set(Condition.FAULTY, described(error))
            self.shut()
            if last or operation.interrupted:
                break

    def _open(self) -> OpenDevice:
        self._opening += 1  # what a driver of an earlier opening still says is about nothing any more
        device = self._opener(partial(self._on_lost, self._opening))
        with self._lock:
            self.device = device
            device.outlet.fence = self._feed_fence
        return device

    def is_open(self, opening: int) -> bool:
        """Is the device still open by this opening?"""
        return self.device is not None and self._opening == opening

    def shut(self) -> None:
        """Close the device where it is open; never raises."""
        with self._lock:
            device, self.device = self.device, None
        if device is not None:
            device.close()
