"""Time: one clock that tests can replace, deadlines, and how messages name a moment. Does no waiting itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime

HALF_DAY = 12 * 3600.0


class Clock:
    """The machine's time. `now` is UTC in seconds since 1970; `boottime` also counts while the machine sleeps."""

    def now(self) -> float:
        return time.time()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deadline:
    """A point in time, `seconds` from now, that every wait of one piece of work shares; None never comes."""

    def __init__(self, seconds: float | None, clock: Clock | None = None):
        self._clock = clock or Clock()
        self._at = None if seconds is None else self._clock.boottime() + seconds

    @property
    def over(self) -> bool:
        return self._at is not None and self._clock.boottime() >= self._at

    def left(self, at_most: float = 3600.0) -> float:
        """Seconds left, 0 when it is over, never more than `at_most` (so that no wait is without end)."""
        if self._at is None:
            return at_most
        return max(0.0, min(at_most, self._at - self._clock.boottime()))

    def __repr__(self) -> str:
        return "<Deadline never>" if self._at is None else f"<Deadline in {self.left():.3f} s>"


def moment_text(seconds: float, now: float | None = None) -> str:
    """A moment as messages name it: "13:02:28 UTC", with its date where it is half a day or more away from now.

    Gets UTC in seconds since 1970; no `now` is the machine's. Pages find it by this form, and show it in their reader's
    time (moments.js).
    """
    far = abs(seconds - (Clock().now() if now is None else now)) >= HALF_DAY
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC" if far else "%H:%M:%S UTC")
