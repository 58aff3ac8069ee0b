"""Frames in the store: they pass through it, the newest only, and stay nowhere. Used by the loop and the web's frames.

One channel for each session, device and feed, so that a session never sees what another one's devices show. Who looks
is no fact that somebody keeps: it is the connections that listen to the channel, so a process that dies looks no more.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from labkit.store.channels import Channels
from labkit.store.connection import Store

_HEAD = struct.Struct("<dII")
_AT_ONCE = 100
"""How many messages one wait takes at most; of each channel the last one counts."""


@dataclass(frozen=True, kw_only=True)
class FramesId:
    """One feed of frames of one device in one session. device: its full name, `bench/device`."""

    session_id: str = field(repr=False)
    device: str
    feed: str


@dataclass(frozen=True, kw_only=True)
class SentFrame:
    """A frame on its way. captured: UTC seconds since 1970; data: JPEG."""

    captured: float
    width: int
    height: int
    data: bytes = field(repr=False)

    def packed(self) -> bytes:
        return _HEAD.pack(self.captured, self.width, self.height) + self.data

    @classmethod
    def unpacked(cls, message: bytes) -> SentFrame:
        """Read what `packed` made. Errors: struct.error."""
        captured, width, height = _HEAD.unpack_from(message)
        return cls(captured=captured, width=width, height=height, data=message[_HEAD.size :])


class FrameStore:
    """Frames through the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def write(self, device: str, feed: str, fence: int, frame: SentFrame) -> int | None:
        """Hand a frame to who looks; returns how many web processes got it. None: nobody may see it, its fence or its
        session is over."""
        received = int(self._store.run("frame_write", device, feed, fence, frame.packed()))
        return received if received >= 0 else None

    def viewers(self, device: str, fence: int, feeds: Sequence[str]) -> list[int]:
        """How many web processes look at each of these feeds, in the session that has the device under this fence."""
        counts = self._store.run("frame_viewers", device, fence, *feeds)
        return [int(count) for count in counts] or [0] * len(feeds)

    def watch(self) -> FrameWatch:
        """Make a watch on feeds of frames, which is not connected yet."""
        return FrameWatch(self._store)


class FrameWatch:
    """One connection that listens to many feeds of frames. One thread waits; any thread may wake it.

    Errors of every method but `close`: `StoreUnavailableError`.
    """

    def __init__(self, store: Store):
        self._store = store
        self._wake_channel = store.keys.of("frames_wake", secrets.token_hex(8))
        self._channels: Channels | None = None
        self._heard: set[str] = set()

    def wake(self) -> None:
        """End the wait that is running. One that begins later sees for itself what has changed."""
        self._store.command("PUBLISH", self._wake_channel, "")

    def wait(self, feeds: Collection[FramesId], seconds: float) -> list[tuple[FramesId, SentFrame]]:
        """Listen to exactly these feeds, and wait at most `seconds` for the newest frame of each that has one.

        Comes back early, with nothing, when it begins to listen. Hosts are told of each feed that is new here.
        """
        feed_of = {self._channel(feed): feed for feed in feeds}
        newest: dict[FramesId, SentFrame] = {}
        try:
            for kind, channel, data in self._listen_to({self._wake_channel, *feed_of}).wait(seconds, _AT_ONCE):
                if kind == "subscribe":
                    self._tell_hosts(channel)
                elif kind == "message" and channel in feed_of:
                    newest[feed_of[channel]] = SentFrame.unpacked(data)
        except BaseException:
            self.close()  # so that the next wait listens anew, and tells hosts of it anew
            raise
        return list(newest.items())

    def _listen_to(self, wanted: set[str]) -> Channels:
        if self._channels is None:
            self._channels, self._heard = self._store.channels(), set()
        self._channels.listen(wanted - self._heard, self._heard - wanted)
        self._heard = wanted
        return self._channels

    def _tell_hosts(self, channel: str) -> None:
        """Only now: a host that counts before the store has heard of this listener would find nobody."""
        if channel != self._wake_channel:
            self._store.run("frames_watched")

    def _channel(self, feed: FramesId) -> str:
        return self._store.keys.of("frames", f"{feed.session_id}/{feed.device}/{feed.feed}")

    def close(self) -> None:
        """Listen to nothing any more. Twice is fine; the next wait connects anew."""
        channels, self._channels = self._channels, None
        if channels is not None:
            channels.close()
