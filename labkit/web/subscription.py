"""One browser's place in one feed: what it was sent, what it has said that it has, and whether more may be sent.

Used by the relay, under the relay's lock.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from labkit.store.feeds import Cursor, FeedId, Piece

WINDOW = 128 * 1024
"""Bytes that may be on their way to a browser. Beyond that it gets nothing until it has acknowledged some."""


class Subscription:
    """A feed of a viewer, the socket `sid`. cursor: what it has already; None: nothing.

    live: it has all that the relay has read, so that what comes next is for it. Otherwise the relay reads for it alone,
    from its own place, whenever there is room: a slow viewer slows nobody.
    """

    def __init__(self, sid: str, feed: FeedId, cursor: Cursor | None):
        self.sid = sid
        self.feed = feed
        self.cursor = cursor
        self.position = Cursor(epoch=0, offset=0)
        """The end of what was read for it, which its cursor (the browser's word) need not be."""
        self.live = False
        self.history = True
        """What it is sent was there before the page asked: a terminal must not answer it."""
        self.closed = False
        self._sent: deque[tuple[Cursor, int]] = deque()
        self._on_the_way = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else "live" if self.live else "behind"
        return f"<Subscription {self.feed.device} {self.feed.feed} {state} at={self.cursor}>"

    @property
    def has_room(self) -> bool:
        return self._on_the_way < WINDOW

    @property
    def wants(self) -> bool:
        """Whether it is behind and may be sent more."""
        return not self.closed and not self.live and self.has_room

    def take(self, piece: Piece) -> bool:
        """Count a piece as sent. False: it must not be sent, now or ever."""
        if self.closed:
            return False
        if not self.has_room:
            self.live = False
            return False
        self.cursor = self.position = piece.cursor
        self._sent.append((piece.cursor, piece.size))
        self._on_the_way += piece.size
        return True

    def acknowledge(self, cursor: Cursor) -> bool:
        """The browser has everything up to a cursor. False: it was never sent that much."""
        if self.cursor is None or cursor > self.cursor:
            return False
        while self._sent and self._sent[0][0] <= cursor:
            self._on_the_way -= self._sent.popleft()[1]
        return True

    def message(self, piece: Piece) -> dict[str, Any]:
        """A piece as the page gets it. lost: -1 where nobody knows how much."""
        return {
            "device": self.feed.device,
            "feed": self.feed.feed,
            "cursor": str(piece.cursor),
            "data": piece.data,
            "lost": -1 if piece.lost is None else piece.lost,
            "history": self.history,
        }
