"""Browsers for tests of the relay, and a relay for them: they remember what they were sent, and put it together."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.store.feeds import Cursor
from labkit.web.relay import Relay
from tests.store.feed_bench import FEED, GUARD, FeedBench


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


@pytest.fixture
def viewers() -> Viewers:
    """For the tests of a module that imports it, and `relay` with it."""
    return Viewers()


@pytest.fixture
def relay(bench: FeedBench, viewers: Viewers) -> Iterator[Relay]:
    """A relay of what is given in `bench`, to `viewers`."""
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    yield relay
    relay.close(GUARD)


def view(relay: Relay, bench: FeedBench, sid: str, session: str, cursor: str | None = None) -> None:
    """Have a page look at its session and at the bench's feed."""
    relay.watch(sid, session)
    assert relay.subscribe(sid, bench.device, FEED, None if cursor is None else Cursor.parse(cursor))


def acknowledge(relay: Relay, bench: FeedBench, sid: str, cursor: str) -> bool:
    return relay.acknowledge(sid, bench.device, FEED, Cursor.parse(cursor))
