"""When a device is looked at between sessions (`Driver.health`). Used by `device_runner`; knows no threads.

A look is an operation like others, with a limit; but it gives way: who wants the device interrupts it, and then it says
nothing of the device.
"""

from __future__ import annotations

from typing import Any

from labkit.clock import Clock
from labkit.plugin import Driver

NEVER = 3600.0
"""Seconds that a thread sleeps that has nothing to look at; it is woken when that changes."""


class HealthSchedule:
    """interval: seconds between two looks, 0 for none but at the opening."""

    def __init__(self, interval: float, clock: Clock):
        self._interval = interval
        self._clock = clock
        self._next = 0.0

    def put_off(self) -> None:
        """The device was just seen to work, or is in use: the next look is an interval from now."""
        self._next = self._clock.boottime() + self._interval

    def due_in(self, driver: Driver[Any] | None) -> float:
        """Seconds until the next look at an open device that is free; never where its driver has no `health`."""
        if driver is None or self._interval <= 0 or type(driver).health is Driver.health:
            return NEVER
        return min(NEVER, self._next - self._clock.boottime())
