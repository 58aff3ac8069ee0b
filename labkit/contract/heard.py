"""ListeningLink: the link of a driver that is tried. It keeps what the driver says, and notes what it must not say."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.plugin import Feed

_KEPT = 1000


class ListeningLink:
    """A `DeviceLink` of one opening. `closed` is set by who closes the driver: what is given after that is `late`."""

    def __init__(self, name: str, folder: Path, feeds: Mapping[str, Feed]):
        self.name = name
        self.folder = folder
        self.given: deque[tuple[str, Any]] = deque(maxlen=_KEPT)
        self.count: Counter[str] = Counter()
        self.late: list[str] = []
        self.wrong: list[str] = []
        """What was said of a feed that there is not, or of a type that it does not have."""
        self.losses: list[str] = []
        self.closed = False
        self._feeds = feeds
        self._changed = threading.Condition()

    def emit(self, feed: str, data: Any) -> None:
        with self._changed:
            self.count[feed] += 1
            self.given.append((feed, data))
            if self.closed:
                self.late.append(feed)
            if feed not in self._feeds:
                self.wrong.append(f"'{feed}' is no feed of it")
            else:
                self._check(self._feeds[feed], data)
            self._changed.notify_all()

    def _check(self, feed: Feed, data: Any) -> None:
        try:
            feed.check(data)
        except (TypeError, ValueError) as error:
            self.wrong.append(f"feed '{feed.name}': {' '.join(str(error).split())}")

    def lost(self, reason: str) -> None:
        with self._changed:
            self.losses.append(reason)
            self._changed.notify_all()

    def watched(self, feed: str) -> bool:
        """While it is tried, somebody looks at everything."""
        return True

    def wait_for(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait until something of this is so, at most so long."""
        with self._changed:
            return self._changed.wait_for(true, seconds)
