"""Frames from the store to the browsers of one web process: the newest only, and no more than a page can show.

Used by the relay, which decides who may look. One thread with one connection serves everybody and keeps one frame of
each feed; it lives as long as somebody looks, so that nothing here keeps a camera busy.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from labkit.errors import StoreUnavailableError
from labkit.store.frames import FramesId, FrameStore, FrameWatch, SentFrame
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.relay")

BLOCK_SECONDS = 2.0
"""How long the thread waits, at most, until it sees that somebody has gone; who comes wakes it."""
RETRY_SECONDS = 0.5
IN_FLIGHT = 2
"""Frames that may be on their way to a page: one that it shows, and one that comes in the meantime."""

Send = Callable[[str, str, dict[str, Any]], None]
"""Send an event to a socket: sid, event, data. Must not block."""
Drop = Callable[[str], None]
"""Disconnect a socket. Must not block."""


class _Picture:
    """What was last seen of one feed. number: of its newest frame; it grows, and a page acknowledges by it."""

    def __init__(self) -> None:
        self.number = 0
        self.frame: SentFrame | None = None


class _Viewer:
    """One page's place in one feed of frames. on_the_way: numbers of frames that it was sent and did not acknowledge.

    picture: what it looks at, None: nothing more, and only what is on its way still counts. sending: a thread sends it
    something, and will look for a newer frame afterwards.
    """

    def __init__(self, sid: str, feed: FramesId):
        self.sid = sid
        self.feed = feed
        self.picture: _Picture | None = None
        self.seen = 0
        self.on_the_way: deque[int] = deque()
        self.sending = False

    def next(self) -> SentFrame | None:
        """The frame to send now, which counts as sent; None: there is none, or no room for it."""
        picture = self.picture
        if picture is None or picture.frame is None or picture.number <= self.seen:
            return None
        if self.sending or len(self.on_the_way) >= IN_FLIGHT:
            return None
        self.seen = picture.number
        self.on_the_way.append(picture.number)
        self.sending = True
        return picture.frame

    def acknowledge(self, number: int) -> None:
        if number in self.on_the_way:
            while self.on_the_way.popleft() != number:
                pass


class FrameRelay:
    """Frames for the sockets of one process. All methods may be called from any thread; none waits for long.

    A page that was sent frames and acknowledges none is sent no more, however often it subscribes: so what waits for a
    page that has stopped reading is bounded. While the store is away nothing comes; afterwards it goes on by itself.
    """

    def __init__(self, frames: FrameStore, send: Send, drop: Drop):
        self._frames = frames
        self._send = send
        self._drop = drop
        self._lock = threading.Lock()
        self._pictures: dict[FramesId, _Picture] = {}
        self._viewers: dict[tuple[str, str, str], _Viewer] = {}
        self._numbers = 0
        self._watch: FrameWatch | None = None
        self._store_answers = True
        self._thread: LabThread | None = None

    def __repr__(self) -> str:
        return f"<FrameRelay feeds={len(self._pictures)} viewers={len(self._viewers)}>"

    # -- called by the relay

    def add(self, sid: str, feed: FramesId) -> None:
        """Send the frames of a feed to a socket from now on; `wake` must follow. Once more does nothing."""
        with self._lock:
            viewer = self._viewers.setdefault((sid, feed.device, feed.feed), _Viewer(sid, feed))
            if viewer.picture is None:
                viewer.picture = self._pictures.setdefault(feed, _Picture())
                viewer.seen = viewer.picture.number  # it gets the next one

    def remove(self, sid: str, device: str, feed: str) -> None:
        """Stop sending a feed. One that is not sent is no error."""
        with self._lock:
            viewer = self._viewers.get((sid, device, feed))
            if viewer is not None:
                self._stop(viewer)

    def forget(self, sids: Collection[str]) -> None:
        """Send nothing more to sockets that have gone, or may see nothing more."""
        with self._lock:
            for viewer in [viewer for viewer in self._viewers.values() if viewer.sid in sids]:
                viewer.on_the_way.clear()
                self._stop(viewer)

    def count(self, sid: str) -> int:
        """How many feeds of frames a socket is sent."""
        with self._lock:
            return sum(1 for viewer in self._viewers.values() if viewer.sid == sid and viewer.picture is not None)

    def acknowledge(self, sid: str, device: str, feed: str, number: int) -> None:
        """A page has shown a frame, so it may be sent another one. One that it was never sent is no error."""
        with self._lock:
            viewer = self._viewers.get((sid, device, feed))
            if viewer is None:
                return
            viewer.acknowledge(number)
            if viewer.picture is None:
                self._stop(viewer)
        self._serve(viewer)

    def wake(self) -> None:
        """Have the thread see who has come; it starts where it has to."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a forked child has none either
                if not self._pictures:
                    return
                watch = self._watch = self._frames.watch()
                self._thread = LabThread("frames", lambda stopping: self._work(watch, stopping), wake=self._wake)
                self._thread.start()
        self._wake()

    def close(self, seconds: float = 2.0) -> None:
        """End the thread. Twice is fine."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            stop_all([thread], seconds)

    def _stop(self, viewer: _Viewer) -> None:
        viewer.picture = None
        if not viewer.on_the_way:
            self._viewers.pop((viewer.sid, viewer.feed.device, viewer.feed.feed), None)
        if not any(other.feed == viewer.feed and other.picture for other in self._viewers.values()):
            self._pictures.pop(viewer.feed, None)

    def _wake(self) -> None:
        watch = self._watch
        if watch is not None:
            with contextlib.suppress(StoreUnavailableError):  # the thread sees that for itself, and looks again soon
                watch.wake()

    # -- the thread

    def _work(self, watch: FrameWatch, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                feeds = self._looked_at()
                if not feeds:
                    return
                self._round(watch, feeds, stopping)
        finally:
            watch.close()

    def _looked_at(self) -> list[FramesId]:
        """The feeds that somebody looks at; none: this thread is over, and the next viewer needs another one."""
        with self._lock:
            if not self._pictures:
                self._thread = None
            return list(self._pictures)

    def _round(self, watch: FrameWatch, feeds: list[FramesId], stopping: threading.Event) -> None:
        try:
            frames = watch.wait(feeds, BLOCK_SECONDS)
            self._store_answers = True
            for feed, frame in frames:
                self._pass_on(feed, frame)
        except StoreUnavailableError as error:
            if self._store_answers:
                log.warning("frames wait for the store error=%s", error)
            self._store_answers = False
            stopping.wait(RETRY_SECONDS)
        except Exception:
            log.exception("frames failed for a moment; they go on")
            stopping.wait(RETRY_SECONDS)

    def _pass_on(self, feed: FramesId, frame: SentFrame) -> None:
        with self._lock:
            picture = self._pictures.get(feed)
            if picture is None:
                return
            self._numbers += 1 + secrets.randbits(16)  # nobody acknowledges what he has not read
            picture.number, picture.frame = self._numbers, frame
            viewers = [viewer for viewer in self._viewers.values() if viewer.picture is picture]
        for viewer in viewers:
            self._serve(viewer)

    def _serve(self, viewer: _Viewer) -> None:
        """Send a viewer the newest frame where it lacks that and has room; one thread at a time, so never backwards."""
        while True:
            with self._lock:
                frame, number = viewer.next(), viewer.seen
            if frame is None:
                return
            try:
                self._send(viewer.sid, "frame", _message(viewer.feed, number, frame))
            except Exception:
                log.exception("frame could not be sent feed=%s", viewer.feed.feed)
                self.forget([viewer.sid])
                self._drop(viewer.sid)
            finally:
                with self._lock:
                    viewer.sending = False


def _message(feed: FramesId, number: int, frame: SentFrame) -> dict[str, Any]:
    """A frame as a page gets it. captured: UTC seconds since 1970."""
    return {
        "device": feed.device, "feed": feed.feed, "id": number, "captured": frame.captured,
        "width": frame.width, "height": frame.height, "data": frame.data,
    }  # fmt: skip
