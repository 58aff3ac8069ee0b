"""How soon a relay sends again after it has sent. Used by the relay.

What comes to a relay that has nothing to do goes out at once. A flood goes in few large messages: each message costs a
page, its browser and the store something, however short it is.
"""

from __future__ import annotations

import time

LEAST, MOST = 0.004, 1 / 60
"""Seconds. After 4 ms a line at 115,200 baud has given 46 bytes more; at 60 messages a second an eye sees no steps."""
SHARE = 4
"""So many times as long as a round took of a core is rested within these bounds: a relay takes a fifth of one at most
as long as its rounds take 4 ms, whatever number of pages it serves."""


class Pace:
    """One round of one thread, from its making on: what it takes of a core, without what it only waits."""

    def __init__(self) -> None:
        self._began = time.thread_time()

    def rest(self) -> float:
        """How long to rest now, in seconds."""
        return rest_after(time.thread_time() - self._began)


def rest_after(took: float) -> float:
    """How long to rest after a round that took so long of a core."""
    return min(MOST, max(LEAST, SHARE * took))
