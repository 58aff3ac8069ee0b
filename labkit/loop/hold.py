"""What a device's host knows of its hold. Used by `device_runner`, which has its lock whenever it looks at it."""

from __future__ import annotations

from typing import NamedTuple

from labkit.store.calls import Call


class Hold(NamedTuple):
    """A device's hold as the store last told it. until: the store's time up to which its session is surely live, as far
    as the last beat knows; 0 where it isn't, or nobody knows."""

    state: str
    fence: int
    until: float = 0.0

    @property
    def releasing(self) -> int:
        """The fence of the release that waits for the host, 0 none."""
        return self.fence if self.state == "releasing" else 0

    def covers(self, call: Call, now: float) -> bool:
        """Would the store let a call through that comes now? False: it has to be asked."""
        return self.state == "reserved" and self.fence == call.fence and now < self.until
