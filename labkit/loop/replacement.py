"""Replacement: when a loop replaces itself (exec), because a thread of it is stuck in a driver. Used by `service`.

Nothing else ends such a thread. But a device may hang again as soon as it is opened, and a thread may be stuck where
not even an exec ends it.
"""

from __future__ import annotations

import logging

from labkit.clock import Clock
from labkit.loop.host import Host
from labkit.store.reservations import Condition

log = logging.getLogger("labkit.loop")

REPLACED = "LABKIT_REPLACED"
"""Environment variable of a loop that has replaced itself: when, by the boot-time clock, and for which devices."""

AGAIN_AFTER = 600.0
"""Seconds until a loop replaces itself once more for a device that was not ok since the last time."""


class Replacement:
    """told: what the loop that this one has replaced left in REPLACED, '' where it has replaced none."""

    def __init__(self, clock: Clock, told: str = ""):
        at, _, devices = told.partition(" ")
        self._clock = clock
        self._at = float(at or 0)
        self._not_helped = set(devices.split())
        self._unkillable: set[str] = set()
        self._devices: set[str] = set()

    def wanted(self, host: Host) -> bool:
        """Look whether it is time. Called with each beat."""
        self._not_helped -= {runner.name for runner in host.runners if runner.condition is Condition.OK}
        stuck = host.stuck
        self._complain({runner.name for runner in stuck if runner.thread.unkillable})
        self._devices = {runner.name for runner in stuck}
        may_help = self._devices - self._not_helped or self._clock.boottime() - self._at >= AGAIN_AFTER
        return bool(may_help) and host.wants_replacement

    def _complain(self, devices: set[str]) -> None:
        """Say once of which devices the loop can't get rid by replacing itself."""
        if devices - self._unkillable:
            names = ",".join(sorted(devices))
            log.error("loop can't replace itself: a thread hangs in the kernel; restart the machine devices=%s", names)
        self._unkillable = devices

    @property
    def told(self) -> str:
        """What the loop that comes now is told in REPLACED."""
        return " ".join([f"{self._clock.boottime():.0f}", *sorted(self._devices | self._not_helped)])
