"""Frames from a driver's thread to who looks at them: the newest only, and only while somebody looks. Used by `feeds`.

Whether somebody looks is counted at the store, never remembered there. A first viewer is news that comes with a beat;
that the last one has gone is seen from what the store says of each frame, or, where the device gives none, by asking.
So a device that nobody looks at costs nothing here, and a web process that was killed stops its cameras by itself.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from labkit.clock import Clock
from labkit.errors import StoreUnavailableError
from labkit.plugin import Frame
from labkit.store.frames import FrameStore, SentFrame
from labkit.store.processes import BeatNews
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.feeds")

GRACE_SECONDS = 2.0
"""How long nobody must have looked before the device is told so: a page that is reloaded stops no camera."""
MOST_BYTES = 8 * 1024 * 1024
RETRY_SECONDS = 0.25
_LONGEST_SLEEP = 3600.0

Tell = Callable[[str, bool], None]
"""Tells a driver that somebody looks at a feed now, or nobody any more."""


class Beats(Protocol):
    """Where news comes from: the process."""

    def on_news(self, listener: Callable[[BeatNews], None]) -> None: ...
    def forget(self, *listeners: object) -> None: ...


@dataclass(kw_only=True)
class _Shown:
    """One feed of frames. waits: its newest frame that is not written. told: what its driver knows of `watched`, None:
    another session has begun since, so it is to be told again.

    counted_at: when its viewers were counted last; alone_since: since when there are none, of a feed that is watched.
    """

    name: str
    watched: bool = False
    told: bool | None = False
    waits: Frame | None = None
    counted_at: float = 0.0
    alone_since: float | None = None


class FrameOutlet:
    """Where the feeds of frames of one open device go. `emit` may be called from any thread and never blocks.

    fence: the reservation whose session may look; 0: none.
    """

    def __init__(
        self, store: FrameStore, device: str, feeds: Iterable[str], beats: Beats | None, *, clock: Clock | None = None
    ):
        self._store = store
        self._device = device
        self._beats = beats
        self._clock = clock or Clock()
        self._feeds = {name: _Shown(name=name) for name in feeds}
        self._turns = deque(self._feeds.values())
        self._changed = threading.Condition()
        self._fence = 0
        self._ask = False
        """Whether somebody may look of whom this does not know yet."""
        self._news: str | None = None
        self._tell: Tell | None = None
        self._too_large = False
        self._thread: LabThread | None = None

    def __repr__(self) -> str:
        watched = [feed.name for feed in self._feeds.values() if feed.watched]
        return f"<FrameOutlet {self._device} watched={','.join(watched) or 'none'} fence={self._fence}>"

    @property
    def fence(self) -> int:
        return self._fence

    @fence.setter
    def fence(self, fence: int) -> None:
        with self._changed:
            if fence == self._fence:
                return
            self._fence, self._ask = fence, fence != 0
            for feed in self._feeds.values():
                feed.watched, feed.waits, feed.alone_since = False, None, None
                feed.told = None if feed.told else feed.told
            self._changed.notify_all()

    def opened(self, tell: Tell) -> None:
        """The device is open: begin to tell its driver who looks, on a thread of this outlet."""
        self._tell = tell
        if self._beats is not None:
            self._beats.on_news(self._hear)
        self._thread = LabThread(f"frames:{self._device}", self._work, wake=self._wake)
        self._thread.start()

    def emit(self, feed: str, frame: Frame) -> None:
        """Take a frame; one that waits still gives way to it. Where nobody looks it is dropped."""
        shown = self._feeds[feed]
        if len(frame.data) > MOST_BYTES:
            self._refuse(feed, frame)
            return
        with self._changed:
            if shown.watched:
                shown.waits = frame
                self._changed.notify_all()

    def watched(self, feed: str) -> bool:
        """Whether anybody looks at a feed, as far as is known; not at one that is not of frames."""
        shown = self._feeds.get(feed)
        return shown is not None and shown.watched

    def close(self, seconds: float = 1.0) -> None:
        """End; what waits is dropped. Twice is fine."""
        if self._beats is not None:
            self._beats.forget(self._hear)
        self.fence = 0
        if self._thread is not None:
            stop_all([self._thread], seconds)

    def _refuse(self, feed: str, frame: Frame) -> None:
        if not self._too_large:
            self._too_large = True
            log.warning(
                "frames are too large and not shown device=%s feed=%s bytes=%d most=%d",
                self._device, feed, len(frame.data), MOST_BYTES,
            )  # fmt: skip

    def _hear(self, news: BeatNews) -> None:
        """On the beat's thread: quick."""
        if news.watched == self._news:
            return
        self._news = news.watched
        with self._changed:
            self._ask = self._fence != 0
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- the outlet's thread

    def _work(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._tell_driver()
            fence, feed, frame = self._next(stopping)
            try:
                if feed is not None and frame is not None:
                    self._note(fence, [feed], [self._write(feed.name, fence, frame)])
                elif fence:
                    self._count(fence)
            except StoreUnavailableError as error:
                self._store_is_away(fence, error)
                stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("frames failed device=%s", self._device)
                stopping.wait(RETRY_SECONDS)

    def _next(self, stopping: threading.Event) -> tuple[int, _Shown | None, Frame | None]:
        """What to do now: a frame to write, of the feeds in turn; else, with a fence, to count; else nothing."""
        with self._changed:
            self._changed.wait_for(lambda: stopping.is_set() or self._has_work, self._patience)
            if stopping.is_set() or not self._fence:
                return 0, None, None
            for feed in self._turns:
                if feed.waits is not None and not self._ask:
                    self._turns.remove(feed)
                    self._turns.append(feed)
                    frame, feed.waits = feed.waits, None
                    return self._fence, feed, frame
            return (self._fence if self._ask or self._patience == 0 else 0), None, None

    @property
    def _has_work(self) -> bool:
        given = any(feed.waits is not None or feed.told != feed.watched for feed in self._feeds.values())
        return given or self._ask or self._patience == 0

    @property
    def _patience(self) -> float:
        """Seconds until somebody must be asked whether a feed that gives nothing is looked at still."""
        due = [feed.counted_at + GRACE_SECONDS for feed in self._feeds.values() if feed.watched]
        return max(0.0, min(due) - self._clock.boottime()) if due else _LONGEST_SLEEP

    def _write(self, feed: str, fence: int, frame: Frame) -> int:
        sent = SentFrame(captured=frame.captured, width=frame.width, height=frame.height, data=frame.data)
        return self._store.write(self._device, feed, fence, sent) or 0

    def _count(self, fence: int) -> None:
        self._ask = False  # before: who comes in the meantime is asked about again
        self._note(fence, list(self._feeds.values()), self._store.viewers(self._device, fence, list(self._feeds)))

    def _store_is_away(self, fence: int, error: StoreUnavailableError) -> None:
        log.debug("frames wait for the store device=%s error=%s", self._device, error)
        feeds = list(self._feeds.values())
        self._note(fence, feeds, [0] * len(feeds))
        with self._changed:
            self._ask = self._fence != 0

    def _note(self, fence: int, feeds: Iterable[_Shown], counts: Iterable[int]) -> None:
        """Take over how many look at feeds. What belongs to an earlier fence means nothing any more."""
        now = self._clock.boottime()
        with self._changed:
            if fence != self._fence:
                return
            for feed, count in zip(feeds, counts, strict=True):
                feed.counted_at = now
                if count:
                    feed.watched, feed.alone_since = True, None
                elif feed.watched and feed.alone_since is None:
                    feed.alone_since = now
                elif feed.watched and feed.alone_since is not None and now - feed.alone_since >= GRACE_SECONDS:
                    feed.watched, feed.waits, feed.alone_since = False, None, None

    def _tell_driver(self) -> None:
        with self._changed:
            news = [(feed.name, feed.watched) for feed in self._feeds.values() if feed.told != feed.watched]
            for feed in self._feeds.values():
                feed.told = feed.watched
        for name, watched in news:
            log.debug("feed is watched device=%s feed=%s watched=%s", self._device, name, watched)
            try:
                if self._tell is not None:
                    self._tell(name, watched)
            except Exception:
                log.exception("driver failed at who looks device=%s feed=%s", self._device, name)
