"""Lanes: the calls of a page, side by side for its devices and one after another for each. Used by the sockets.

A page's events are dealt with one at a time, in the order in which they come. A call may wait for its device for
seconds; on a lane of its own it keeps nothing else of its page waiting: no call of another device, no picture, no ping.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from labkit.threads import LabThread

log = logging.getLogger("labkit.sockets")

MOST_LANES = 16
"""Lanes of one socket; devices beyond that share one."""
MOST_WAITING = 32
"""Calls that wait in one lane. With more, whoever asks has to wait, and so does its browser: TCP sees to that."""
IDLE_SECONDS = 2.0
"""How long a lane's thread waits for the next call."""

Work = Callable[[], None]


class Lanes:
    """The lanes of all sockets of one process. Their threads end by themselves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[tuple[str, str], deque[Work]] = {}

    def __repr__(self) -> str:
        return f"<Lanes {len(self._waiting)}>"

    def run(self, sid: str, device: str, work: Work) -> None:
        """Do work after what the same socket asked of the same device before. Blocks where too much waits already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._lane(sid, device)) < MOST_WAITING)
            self._lane(sid, device).append(work)
            self._changed.notify_all()

    def _lane(self, sid: str, device: str) -> deque[Work]:
        taken = sum(1 for owner, _ in self._waiting if owner == sid)
        key = (sid, device if (sid, device) in self._waiting or taken < MOST_LANES else "")
        if key not in self._waiting:
            self._waiting[key] = deque()
            LabThread(f"page-calls:{key[1][:40]}", lambda _: self._work(key)).start()
        return self._waiting[key]

    def _work(self, key: tuple[str, str]) -> None:
        while (work := self._next(key)) is not None:
            try:
                work()
            except Exception:
                log.exception("call of a page failed unforeseen")

    def _next(self, key: tuple[str, str]) -> Work | None:
        """The next call of a lane; None: nothing came for a while, and the lane is gone."""
        with self._changed:
            lane = self._waiting[key]
            if not self._changed.wait_for(lambda: bool(lane), IDLE_SECONDS):
                del self._waiting[key]
                return None
            self._changed.notify_all()  # there is room for one more
            return lane.popleft()
