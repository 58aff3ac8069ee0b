"""From a driver's thread to who looks: the newest frame only, alone and as a part of a device's outlet."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from labkit.loop import frames
from labkit.loop.feeds import FeedOutlet
from labkit.loop.frames import FrameOutlet
from labkit.plugin import Feed, Frame
from tests.loop.frame_bed import FRAMES, Bed, Gate, picture
from tests.loop.frame_bed import beds as beds
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench


def held_up(beds: Callable[..., Bed], *feeds: str) -> tuple[Gate, FrameOutlet]:
    """An outlet whose store is slow: the first frame of its first feed is on its way until the gate opens."""
    gate, shown = Gate(), feeds or (FRAMES,)
    outlet = beds(gate, *shown).open(1)
    wait_until(lambda: all(outlet.watched(feed) for feed in shown))
    gate.open.clear()
    outlet.emit(shown[0], picture(1))
    wait_until(lambda: gate.written)
    return gate, outlet


# -- the newest wins


def test_of_what_comes_while_the_store_is_slow_the_newest_is_written(beds: Callable[..., Bed]) -> None:
    gate, outlet = held_up(beds)
    for number in range(2, 200):
        outlet.emit(FRAMES, picture(number))
    gate.open.set()
    wait_until(lambda: gate.written[-1] == (FRAMES, 1, 199.0))
    assert gate.written == [(FRAMES, 1, 1.0), (FRAMES, 1, 199.0)]


def test_feeds_of_one_device_take_turns(beds: Callable[..., Bed]) -> None:
    gate, outlet = held_up(beds, "left", "right")
    for number in (2, 3):
        outlet.emit("left", picture(number))
        outlet.emit("right", picture(10 * number))
    gate.open.set()
    wait_until(lambda: len(gate.written) == 3)
    assert [row[2] for row in gate.written] == [1.0, 30.0, 3.0]


def test_a_frame_of_the_session_before_is_dropped(beds: Callable[..., Bed]) -> None:
    gate, outlet = held_up(beds)
    outlet.emit(FRAMES, picture(2))
    outlet.fence = 2
    gate.open.set()
    wait_until(lambda: outlet.watched(FRAMES))
    outlet.emit(FRAMES, picture(3))
    wait_until(lambda: len(gate.written) > 1)
    assert gate.written == [(FRAMES, 1, 1.0), (FRAMES, 2, 3.0)]


def test_while_the_store_is_away_frames_are_dropped_and_the_driver_rests(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched(FRAMES))
    gate.away = True
    outlet.emit(FRAMES, picture())
    wait_until(lambda: outlet._feeds[FRAMES].alone_since)
    bed.clock.move(frames.GRACE_SECONDS)
    wait_until(lambda: bed.told[-1] == (FRAMES, False))
    written = len(gate.written)
    outlet.emit(FRAMES, picture(9))
    gate.away = False
    wait_until(lambda: bed.told[-1] == (FRAMES, True))
    assert len(gate.written) == written
    outlet.emit(FRAMES, picture(10))
    wait_until(lambda: gate.written[-1] == (FRAMES, 1, 10.0))


def test_a_frame_that_is_too_large_is_refused_and_said_once(
    beds: Callable[..., Bed], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched(FRAMES))
    for _ in range(3):
        outlet.emit(FRAMES, picture(1, size=frames.MOST_BYTES + 1))
    outlet.emit(FRAMES, picture(2))
    wait_until(lambda: gate.written)
    assert gate.written == [(FRAMES, 1, 2.0)]
    assert [record.message for record in caplog.records if "too large" in record.message] == [
        f"frames are too large and not shown device=bench-1/console feed=frames bytes={frames.MOST_BYTES + 1} "
        f"most={frames.MOST_BYTES}"
    ]


def test_after_the_end_nothing_is_left(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched(FRAMES))
    outlet.close(GUARD)
    outlet.close(GUARD)
    outlet.emit(FRAMES, picture())
    assert gate.written == []
    assert bed.beats.listeners == []
    assert not any(thread.name == "frames:bench-1/console" for thread in threading.enumerate())


# -- as part of a device's outlet


def test_a_device_has_frames_beside_its_other_feeds(bench: FeedBench) -> None:
    session, fence = bench.start()
    feeds = {"received": Feed(bytes), FRAMES: Feed(Frame)}
    outlet = FeedOutlet(bench.feeds, bench.device, feeds, 1)
    outlet.opened(lambda feed, anybody: None)
    outlet.fence = fence
    outlet.emit("received", b"hello")
    assert outlet.flush(GUARD)
    assert b"".join(piece.data for piece in bench.feeds.read(bench.feed(session), None)) == b"hello"
    assert not outlet.watched("received")
    outlet.close()
    with pytest.raises(KeyError):
        outlet.emit("no such feed", b"")


def test_a_device_without_frames_has_no_thread_for_them(bench: FeedBench) -> None:
    before = threading.enumerate()  # one of an outlet that was closed may just be ending
    outlet = FeedOutlet(bench.feeds, "bench-1/plain", {"received": Feed(bytes)}, 1)
    outlet.opened(lambda feed, anybody: None)
    began = [thread for thread in threading.enumerate() if thread not in before]
    assert not any(thread.name.startswith("frames:") for thread in began)
    outlet.close()
