"""How much one session may ask of this process: a bucket for each, in memory. Used by requests and by the sockets.

A bucket fills by so much a second, up to what may be asked at once. Nothing of it is in the store: each process counts
what comes to it, so that a refusal costs next to nothing.
"""

from __future__ import annotations

import threading
import time

BURST_SECONDS = 4.0
"""What may be asked at once: as much as a bucket gets in so many seconds."""
MOST_KEPT = 512
"""Buckets that are remembered before those are looked for that are full again."""
_ROUNDING = 1e-6


class Buckets:
    """Buckets by name, all alike. Any thread may ask. per_second: 0: no limit; at_once: None: that of four seconds."""

    def __init__(self, per_second: float, at_once: float | None = None):
        self._per_second = per_second
        self._most = per_second * BURST_SECONDS if at_once is None else at_once
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}
        self._look_at = MOST_KEPT

    def __repr__(self) -> str:
        return f"<Buckets {self._per_second:g} a second, {len(self._levels)} in use>"

    def take(self, name: str, price: float = 1.0) -> float:
        """Take from a bucket. Returns 0.0, or the seconds after which there is enough; then nothing was taken."""
        if self._per_second <= 0:
            return 0.0
        price = min(price, self._most)
        now = time.monotonic()
        with self._lock:
            level, at = self._levels.get(name, (self._most, now))
            level = min(self._most, level + (now - at) * self._per_second)
            missing = max(0.0, price - level - _ROUNDING)
            self._levels[name] = (level if missing else level - price, now)
            if len(self._levels) > self._look_at:
                self._forget_full(now)
        return missing / self._per_second

    def _forget_full(self, now: float) -> None:
        """A full bucket is as good as none. Where most are in use the next look comes later, so that it stays cheap."""
        self._levels = {
            name: (level, at)
            for name, (level, at) in self._levels.items()
            if level + (now - at) * self._per_second < self._most
        }
        self._look_at = max(MOST_KEPT, 2 * len(self._levels))
