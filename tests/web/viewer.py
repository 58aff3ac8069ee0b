"""Browsers for tests of the relay: they remember what they were sent, and put it together as a page would."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any


class Viewers:
    """What every socket was sent, in order. `send` and `drop` are for the relay."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        self.dropped: list[str] = []

    def send(self, sid: str, event: str, data: dict[str, Any]) -> None:
        with self._lock:
            self._events[sid].append((event, data))

    def drop(self, sid: str) -> None:
        self.dropped.append(sid)

    def events(self, sid: str, name: str = "") -> list[dict[str, Any]]:
        with self._lock:
            return [data for event, data in self._events[sid] if not name or event == name]

    def names(self, sid: str) -> list[str]:
        with self._lock:
            return [event for event, _ in self._events[sid]]

    def bytes_of(self, sid: str) -> bytes:
        return b"".join(message["data"] for message in self.events(sid, "feed"))

    def cursor_of(self, sid: str) -> str:
        return str(self.events(sid, "feed")[-1]["cursor"])

    def lost_of(self, sid: str) -> int:
        return sum(message["lost"] for message in self.events(sid, "feed"))
