"""Feeds in the store: what devices gave in a session, by cursor. Used by the loop (writes) and the relay (reads).

One stream for each session, device and feed. The id of an entry is `<epoch>-<end offset>`: the epoch is new at each
opening of the device, the offset counts what it gave since then (bytes; for states, messages). So a batch that is sent
twice is dropped, a reader's place is an id, and a hole between two entries can be counted.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from labkit import wire
from labkit.store.connection import Entry, Store, text
from labkit.store.frames import FrameStore

KEEP_BYTES = 256 * 1024
"""How much of a feed of bytes a session keeps: the latest, for who comes late or again."""
KEEP_STATES = 100
READ_COUNT = 100

_CURSOR = re.compile(r"([0-9]{1,16}):([0-9]{1,16})")  # 16 digits: well inside what an id of the store can say
_START = "0-0"


@dataclass(frozen=True, kw_only=True, order=True)
class Cursor:
    """A place in a feed: after `offset` bytes (states: messages) of the opening `epoch`. As text: `epoch:offset`."""

    epoch: int
    offset: int

    @classmethod
    def parse(cls, written: str) -> Cursor:
        """Read a cursor. Errors: ValueError."""
        found = _CURSOR.fullmatch(written)
        if found is None:
            raise ValueError(f"{written[:40]!r} is no cursor; one looks like '1700000000000000:4096'.")
        return cls(epoch=int(found[1]), offset=int(found[2]))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


@dataclass(frozen=True, kw_only=True)
class FeedId:
    """One feed of one device in one session. device: its full name, `bench/device`."""

    session_id: str = field(repr=False)
    device: str
    feed: str


@dataclass(frozen=True, kw_only=True)
class FeedBatch:
    """What a host writes at once. data: bytes, or one state as JSON (`wire.dumps`).

    fence: the reservation under which it arrived. first: the offset at which that reservation's part began.
    """

    device: str
    feed: str
    fence: int
    first: int
    end: Cursor
    data: bytes | bytearray | str


@dataclass(frozen=True, kw_only=True)
class FeedEntry:
    """A batch as the store has it. first: where the session's part of this epoch began, -1: it had an earlier epoch."""

    end: Cursor
    first: int
    data: Any
    length: int
    size: int
    """Bytes that it takes; `length` is what it moves the offset by."""
    is_bytes: bool


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a reader gets: data, the cursor after it, how much was lost just before it (None: nobody knows how much)."""

    cursor: Cursor
    data: Any
    size: int
    lost: int | None
    is_bytes: bool


def piece_after(cursor: Cursor | None, entry: FeedEntry) -> Piece | None:
    """What an entry brings to a reader who has everything up to `cursor` (None: nothing yet); None: nothing new."""
    lost: int | None
    skip = 0
    start = entry.end.offset - entry.length
    if cursor is None:
        lost = None if entry.first < 0 else start - entry.first
    elif entry.end <= cursor:
        return None
    elif entry.end.epoch > cursor.epoch:
        lost = None
    else:
        skip = max(0, cursor.offset - start)
        lost = max(0, start - max(cursor.offset, entry.first))
    data = entry.data[skip:] if skip else entry.data
    return Piece(cursor=entry.end, data=data, size=entry.size - skip, lost=lost, is_bytes=entry.is_bytes)


def pieces_after(cursor: Cursor | None, entries: Sequence[FeedEntry]) -> list[Piece]:
    """What entries, in their order, bring to a reader who has everything up to `cursor`."""
    pieces = []
    for entry in entries:
        piece = piece_after(cursor, entry)
        if piece is not None:
            pieces.append(piece)
            cursor = piece.cursor
    return pieces


def joined(pieces: Sequence[Piece], most: int) -> list[Piece]:
    """Put neighbours of one stream of bytes together, at most `most` bytes each. States and gaps stay apart."""
    whole: list[list[Piece]] = []
    size = 0
    for piece in pieces:
        if whole and piece.is_bytes and piece.lost == 0 and size + piece.size <= most:
            whole[-1].append(piece)
            size += piece.size
        else:
            whole.append([piece])
            size = piece.size
    return [run[0] if len(run) == 1 else _join(run) for run in whole]


def _join(run: list[Piece]) -> Piece:
    return replace(run[0], cursor=run[-1].cursor, data=b"".join(p.data for p in run), size=sum(p.size for p in run))


class FeedStore:
    """Feeds in the store; `frames`: those that are of frames. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store
        self.frames = FrameStore(store)

    def write(self, batch: FeedBatch) -> str:
        """Keep a batch for the session that holds the device under the batch's fence; the same batch may be sent again.

        Returns 'kept', 'known' (it, or a later one, is there) or 'dropped' (no session may see it).
        """
        kind, keep = ("j", KEEP_STATES) if isinstance(batch.data, str) else ("d", KEEP_BYTES)
        data = batch.data if isinstance(batch.data, str) else bytes(batch.data)
        answer = self._store.run(
            "feed_write", batch.device, batch.feed, batch.fence, batch.end.epoch, batch.end.offset, batch.first,
            keep, kind, data,
        )  # fmt: skip
        return text(answer)

    def read(self, feed: FeedId, cursor: Cursor | None, count: int = READ_COUNT) -> list[Piece]:
        """What a feed has after a cursor (None: from its start), at most `count` batches, without waiting.

        A cursor of an opening that the feed never had counts as none, and says that nobody knows what is lost.
        """
        entries = self._after(feed, cursor, count)
        if entries or cursor is None or not self._never_had(feed, cursor):
            return pieces_after(cursor, entries)
        pieces = self.read(feed, None, count)
        return [replace(pieces[0], lost=None), *pieces[1:]] if pieces else []

    def watch(self) -> FeedWatch:
        """Make a watch on feeds and sessions."""
        return FeedWatch(self._store)

    def _after(self, feed: FeedId, cursor: Cursor | None, count: int) -> list[FeedEntry]:
        rows = self._store.stream_after(_key(self._store, feed), _position(cursor), count)
        return [_entry(row) for row in rows]

    def _never_had(self, feed: FeedId, cursor: Cursor) -> bool:
        last = _last_id(self._store, _key(self._store, feed))
        return last != _START and int(last.partition("-")[0]) < cursor.epoch


@dataclass(frozen=True, kw_only=True)
class News:
    """What one wait brought: entries of feeds, and events of sessions as (position, fields)."""

    feeds: Mapping[FeedId, Sequence[FeedEntry]]
    sessions: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]


class FeedWatch:
    """One blocking read over many feeds and sessions. One thread waits; any thread may wake it.

    Errors of every method: `StoreUnavailableError`.
    """

    def __init__(self, store: Store):
        self._store = store
        self._id = secrets.token_hex(8)
        self._wake_key = store.keys.of("relay_wake", self._id)
        self._wake_position = _START

    def wake(self) -> None:
        """End the wait that is running, or the next one."""
        self._store.run("relay_wake", self._id)

    def wait(self, feeds: Mapping[FeedId, Cursor], sessions: Mapping[str, str], seconds: float) -> News:
        """Wait at most `seconds` for anything after these places (a session's is the position of its last event)."""
        feed_of = {_key(self._store, feed): feed for feed in feeds}
        session_of = {self._store.keys.of("events", session): session for session in sessions}
        positions = {self._wake_key: self._wake_position}
        positions |= {key: _position(feeds[feed]) for key, feed in feed_of.items()}
        positions |= {key: sessions[session] for key, session in session_of.items()}
        found = dict(self._store.read_streams(positions, seconds, READ_COUNT))
        if self._wake_key in found:
            self._wake_position = found[self._wake_key][-1][0]
        return News(
            feeds={feed: [_entry(row) for row in found[key]] for key, feed in feed_of.items() if key in found},
            sessions={
                session: [_event(row) for row in found[key]] for key, session in session_of.items() if key in found
            },
        )


def _key(store: Store, feed: FeedId) -> str:
    return store.keys.of("feed", f"{feed.session_id}/{feed.device}/{feed.feed}")


def _position(cursor: Cursor | None) -> str:
    return _START if cursor is None else f"{cursor.epoch}-{cursor.offset}"


def _last_id(store: Store, key: str) -> str:
    rows = store.command("XREVRANGE", key, "+", "-", "COUNT", 1)
    return text(rows[0][0]) if rows else _START


def _event(row: Entry) -> tuple[str, dict[str, str]]:
    position, fields = row
    return position, {name: text(value) for name, value in fields.items()}


def _entry(row: Entry) -> FeedEntry:
    position, fields = row
    epoch, _, offset = position.partition("-")
    is_bytes = "d" in fields
    raw = fields["d" if is_bytes else "j"]
    return FeedEntry(
        end=Cursor(epoch=int(epoch), offset=int(offset)), first=int(fields["f"]), size=len(raw), is_bytes=is_bytes,
        data=raw if is_bytes else wire.loads(raw), length=len(raw) if is_bytes else 1,
    )  # fmt: skip
