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


class _Lane:
    """What waits for one device of one socket."""

    def __init__(self, lock: threading.Lock):
        self.waiting: deque[Work] = deque()
        self.changed = threading.Condition(lock)


class Lanes:
    """The lanes of all sockets of one process. Their threads end by themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, dict[str, _Lane]] = {}

    def __repr__(self) -> str:
        return f"<Lanes {sum(map(len, self._lanes.values()))}>"

    def run(self, sid: str, device: str, work: Work) -> None:
        """Do work after what the same socket asked of the same device before. Blocks where too much waits already.

        Where no thread can be had it is done here and now: nothing waits before it, or there were a thread.
        """
        with self._lock:
            while (lane := self._lane(sid, device)) is not None and len(lane.waiting) >= MOST_WAITING:
                lane.changed.wait()  # it may be gone, and another one in its place, when there is room
            if lane is not None:
                lane.waiting.append(work)
                lane.changed.notify_all()
        if lane is None:
            work()

    def _lane(self, sid: str, device: str) -> _Lane | None:
        """The lane of a device, with its thread; None where no thread can be had."""
        lanes = self._lanes.get(sid, {})
        name = device if device in lanes or len(lanes) < MOST_LANES else ""
        if name in lanes:
            return lanes[name]
        lane = _Lane(self._lock)
        try:  # before the lane is noted: without a thread its calls would wait for ever
            LabThread(f"page-calls:{name[:40]}", lambda _: self._work(sid, name, lane)).start()
        except RuntimeError as error:
            log.error("call of a page holds up its page: no thread can be had error=%s", error)
            return None
        self._lanes.setdefault(sid, {})[name] = lane
        return lane

    def _work(self, sid: str, name: str, lane: _Lane) -> None:
        while (work := self._next(sid, name, lane)) is not None:
            try:
                work()
            except Exception:
                log.exception("call of a page failed unforeseen")

    def _next(self, sid: str, name: str, lane: _Lane) -> Work | None:
        """The next call of a lane; None: nothing came for a while, and the lane is gone."""
        with self._lock:
            if lane.changed.wait_for(lambda: bool(lane.waiting), IDLE_SECONDS):
                lane.changed.notify_all()  # there is room for one more
                return lane.waiting.popleft()
            del self._lanes[sid][name]
            if not self._lanes[sid]:
                del self._lanes[sid]
            return None
