"""From a driver's thread to the store: takes what a device gives, never blocks, writes it in order. Used by the host.

Each opening of a device has an outlet of its own, with an epoch of its own. What arrives belongs to the fence of that
moment, for good: it waits under it, is written under it, and the store drops it where that fence is over.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit import wire
from labkit.clock import Deadline
from labkit.errors import StoreUnavailableError
from labkit.loop.frames import Beats, FrameOutlet, Tell
from labkit.plugin import Feed, Frame
from labkit.store.feeds import Cursor, FeedBatch, FeedStore
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.feeds")

BATCH_BYTES = 32 * 1024
BACKLOG_BYTES = 1024 * 1024
"""How much of one device waits at most while the store is slow or away; the oldest goes first, and is a stated gap."""
RETRY_SECONDS = 0.25
_STATE_COST = 256  # what a waiting message takes besides its text
_LONGEST_SLEEP = 60.0


@dataclass(kw_only=True, slots=True)
class _Part:
    """Something that waits to be written, all of one fence."""

    fence: int
    first: int
    end: int
    data: bytearray | str

    @property
    def cost(self) -> int:
        return len(self.data) + (_STATE_COST if isinstance(self.data, str) else 0)


class _Backlog:
    """What one feed has that is not written yet. Its outlet's lock guards it."""

    def __init__(self, name: str):
        self.name = name
        self.offset = 0
        self.first = 0
        self.cost = 0
        self.parts: deque[_Part] = deque()

    def add_bytes(self, data: bytes, fence: int) -> None:
        rest = memoryview(data)
        while rest:
            part = self.parts[-1] if self.parts else None
            if part is None or part.fence != fence or len(part.data) >= BATCH_BYTES:
                part = self._append(fence, bytearray())
            taken = rest[: BATCH_BYTES - len(part.data)]
            part.data += taken  # type: ignore[operator]  # a feed of bytes has parts of bytes
            self.offset += len(taken)
            self.cost += len(taken)
            part.end = self.offset
            rest = rest[len(taken) :]

    def add_state(self, data: str, fence: int) -> None:
        self.offset += 1
        self.cost += self._append(fence, data).cost

    def _append(self, fence: int, data: bytearray | str) -> _Part:
        part = _Part(fence=fence, first=self.first, end=self.offset, data=data)
        self.parts.append(part)
        return part

    def take(self) -> _Part:
        part = self.parts.popleft()
        self.cost -= part.cost
        return part


class FeedOutlet:
    """Where the feeds of one open device go. `emit` may be called from any thread.

    fence: the reservation that what arrives now belongs to; 0: none, so it is counted and not kept.
    epoch: larger than that of any earlier opening of this device (the host takes a new fence for it).
    beats: who brings news of viewers, for feeds of frames, which have an outlet of their own in this one.
    """

    def __init__(
        self, store: FeedStore, device: str, feeds: Mapping[str, Feed], epoch: int, *, beats: Beats | None = None
    ):
        shown = [name for name, feed in feeds.items() if feed.sort == "frames"]
        self._frames = FrameOutlet(store.frames, device, shown, beats) if shown else None
        self._store = store
        self._device = device
        self._epoch = epoch
        self._types = {name: feed.type for name, feed in feeds.items()}
        self._backlogs = {name: _Backlog(name) for name in feeds if name not in shown}
        self._turns = deque(self._backlogs.values())
        self._changed = threading.Condition()
        self._fence = 0
        self._thread: LabThread | None = None
        self._writing = False
        self._closed = False
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<FeedOutlet {self._device} {'closed' if self._closed else 'open'} fence={self._fence}>"

    @property
    def fence(self) -> int:
        return self._fence

    @fence.setter
    def fence(self, fence: int) -> None:
        with self._changed:
            if fence != self._fence:
                self._fence = fence
                for backlog in self._backlogs.values():
                    backlog.first = backlog.offset
        if self._frames is not None:
            self._frames.fence = fence

    def emit(self, feed: str, data: Any) -> None:
        """Take what the device gave: what `Feed.check` let through. After `close`: does nothing."""
        backlog = self._backlogs.get(feed)
        if backlog is None:
            self._emit_frame(feed, data)
            return
        given = data if self._types[feed] is bytes else wire.dumps(data)
        with self._changed:
            if self._closed:
                return
            if not self._fence:
                backlog.offset += len(given) if isinstance(given, bytes) else 1
                return
            if isinstance(given, bytes):
                backlog.add_bytes(given, self._fence)
            else:
                backlog.add_state(given, self._fence)
            self._shorten()
            self._ensure_thread()
            self._changed.notify_all()

    def _emit_frame(self, feed: str, frame: Frame) -> None:
        if self._frames is None:
            raise KeyError(feed)
        self._frames.emit(feed, frame)

    def watched(self, feed: str) -> bool:
        """Whether anybody looks at a feed of frames, as far as is known."""
        return self._frames is not None and self._frames.watched(feed)

    def opened(self, tell: Tell) -> None:
        """The device is open: from now on tell its driver who looks at its feeds of frames."""
        if self._frames is not None:
            self._frames.opened(tell)

    def flush(self, seconds: float) -> bool:
        """Wait at most `seconds` until all that was given is written. False: it is not yet."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._writing and not self._waiting(), seconds)

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, as far as that goes within `seconds`, and end. Twice is fine."""
        deadline = Deadline(seconds)
        with self._changed:
            self._closed = True
        if self._frames is not None:
            self._frames.close(deadline.left())
        self.flush(deadline.left())
        if self._thread is not None:
            stop_all([self._thread], max(deadline.left(), 0.1))

    def _waiting(self) -> int:
        return sum(backlog.cost for backlog in self._backlogs.values())

    def _shorten(self) -> None:
        while self._waiting() > BACKLOG_BYTES:
            part = max(self._backlogs.values(), key=lambda backlog: backlog.cost).take()
            if not self._dropped:
                log.warning("feeds fell behind device=%s kept=%d", self._device, BACKLOG_BYTES)
            self._dropped += part.cost

    def _ensure_thread(self) -> None:
        if self._thread is None:
            thread = LabThread(f"feeds:{self._device}", self._write_on, wake=self._wake)
            thread.start()  # before it is kept: where no thread can be had, the next word of the device tries again
            self._thread = thread

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _write_on(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            batch = self._next(stopping)
            if batch is not None:
                self._write(batch, stopping)

    def _next(self, stopping: threading.Event) -> FeedBatch | None:
        """The next batch, from the feeds in turn; None: woken up for nothing."""
        with self._changed:
            self._writing = False
            if not self._waiting():
                self._changed.notify_all()  # for `flush`
                self._tell_dropped()
            self._changed.wait_for(lambda: stopping.is_set() or self._waiting() > 0, _LONGEST_SLEEP)
            backlog = next((backlog for backlog in self._turns if backlog.parts), None)
            if backlog is None or stopping.is_set():
                return None
            self._turns.remove(backlog)
            self._turns.append(backlog)
            self._writing = True
            return self._batch(backlog.name, backlog.take())

    def _batch(self, feed: str, part: _Part) -> FeedBatch:
        return FeedBatch(
            device=self._device, feed=feed, fence=part.fence, first=part.first, data=part.data,
            end=Cursor(epoch=self._epoch, offset=part.end),
        )  # fmt: skip

    def _tell_dropped(self) -> None:
        if self._dropped:
            log.warning("feeds caught up device=%s dropped=%d", self._device, self._dropped)
            self._dropped = 0

    def _write(self, batch: FeedBatch, stopping: threading.Event) -> None:
        """Write one batch, again and again until the store answers: it has its place, so twice does no harm."""
        failed = False
        while not stopping.is_set():
            try:
                self._store.write(batch)
                return
            except StoreUnavailableError as error:
                if not failed:
                    log.warning("feed waits for the store device=%s feed=%s error=%s", self._device, batch.feed, error)
                failed = True
                stopping.wait(RETRY_SECONDS)
