"""From a driver's thread to who looks: the newest frame only, and a driver that knows whether anybody looks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.clock import Clock
from labkit.errors import StoreUnavailableError
from labkit.loop import frames
from labkit.loop.feeds import FeedOutlet
from labkit.loop.frames import FrameOutlet
from labkit.plugin import Feed, Frame
from labkit.store.connection import Store
from labkit.store.frames import FramesId, FrameStore, SentFrame
from labkit.store.processes import BeatNews
from labkit.testing.store import StoreServer
from tests.loop.host_bench import HostBench, Node
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.looking import Looker
from tests.toy import Toy, World

FRAMES = "frames"


@pytest.fixture
def bench(server: StoreServer) -> Iterator[FeedBench]:
    with FeedBench(server.url) as bench:
        yield bench


def picture(number: int = 1, size: int = 10) -> Frame:
    return Frame(data=bytes([number]) * size, captured=float(number), width=640, height=480)


class Beats:
    """News from a process, as a test says them."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[BeatNews], None]] = []

    def on_news(self, listener: Callable[[BeatNews], None]) -> None:
        self.listeners.append(listener)

    def forget(self, *listeners: object) -> None:
        self.listeners = [listener for listener in self.listeners if listener not in listeners]

    def say(self, watched: str) -> None:
        news = BeatNews(
            now=1, went_back=False, queued_tasks=0, due=(), gone=(), benches={}, holds={}, watched=watched
        )  # fmt: skip
        for listener in self.listeners:
            listener(news)


class Gate:
    """A store's frames that can be held up, or be away; what was asked of it, and how many look."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.looking = 1
        self.written: list[tuple[str, int, float]] = []
        self.counted = 0

    def write(self, device: str, feed: str, fence: int, frame: SentFrame) -> int | None:
        self.written.append((feed, fence, frame.captured))
        self._pass()
        return self.looking

    def viewers(self, device: str, fence: int, feeds: list[str]) -> list[int]:
        self.counted += 1
        self._pass()
        return [self.looking] * len(feeds)

    def _pass(self) -> None:
        assert self.open.wait(GUARD)
        if self.away:
            raise StoreUnavailableError("away")


class StandingClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._at = 1000.0

    def boottime(self) -> float:
        return self._at

    def move(self, seconds: float) -> None:
        self._at += seconds


class Bed:
    """An outlet, and what the driver was told. Time stands still."""

    def __init__(self, store: Any, *feeds: str):
        self.beats = Beats()
        self.told: list[tuple[str, bool]] = []
        self.clock = StandingClock()
        self.outlet = FrameOutlet(store, "bench-1/console", feeds or (FRAMES,), self.beats, clock=self.clock)

    def open(self, fence: int = 0) -> FrameOutlet:
        self.outlet.opened(lambda feed, anybody: self.told.append((feed, anybody)))
        self.outlet.fence = fence
        return self.outlet


@pytest.fixture
def beds() -> Iterator[Callable[..., Bed]]:
    made: list[Bed] = []

    def make(store: Any, *feeds: str) -> Bed:
        made.append(Bed(store, *feeds))
        return made[-1]

    yield make
    for bed in made:
        bed.outlet.close(GUARD)


def looker(bench: FeedBench, session: str) -> Looker:
    feed = FramesId(session_id=session, device=bench.device, feed=FRAMES)
    return Looker(bench.store.url, bench.store.keys.prefix, feed)


# -- whether anybody looks


def test_the_driver_hears_of_the_first_viewer_and_that_the_last_one_was_killed(
    bench: FeedBench, beds: Callable[..., Bed]
) -> None:
    session, fence = bench.start()
    bed = beds(bench.feeds.frames)
    outlet = bed.open(fence)
    wait_until(lambda: not outlet._ask)
    outlet.emit(FRAMES, picture())
    assert (outlet.watched(FRAMES), bed.told) == (False, [])
    with looker(bench, session) as first, looker(bench, session) as second:
        wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [2])
        bed.beats.say("100.5")
        wait_until(lambda: bed.told == [(FRAMES, True)])
        assert outlet.watched(FRAMES)
        outlet.emit(FRAMES, picture(5))
        assert first.captured() == second.captured() == 5.0
        first.kill()
        wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [1])
        outlet.emit(FRAMES, picture(6))
        assert second.captured() == 6.0
        second.kill()
        wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [0])
        bed.clock.move(frames.GRACE_SECONDS)
        outlet._wake()
        wait_until(lambda: outlet._feeds[FRAMES].alone_since)
        bed.clock.move(frames.GRACE_SECONDS)
        outlet._wake()
        wait_until(lambda: bed.told == [(FRAMES, True), (FRAMES, False)])
        assert not outlet.watched(FRAMES)


def test_a_viewer_that_goes_and_comes_within_the_grace_was_never_gone(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: bed.told == [(FRAMES, True)])
    shown = outlet._feeds[FRAMES]
    for _ in range(3):
        for gate.looking, alone in ((0, True), (1, False)):
            written = len(gate.written)
            outlet.emit(FRAMES, picture())
            wait_until(lambda written=written: len(gate.written) > written)  # type: ignore[misc]
            wait_until(lambda alone=alone: (shown.alone_since is not None) is alone)  # type: ignore[misc]
        bed.clock.move(frames.GRACE_SECONDS)
    assert bed.told == [(FRAMES, True)]
    gate.looking = 0
    outlet.emit(FRAMES, picture())
    wait_until(lambda: shown.alone_since is not None)
    bed.clock.move(frames.GRACE_SECONDS)
    outlet.emit(FRAMES, picture())
    wait_until(lambda: bed.told == [(FRAMES, True), (FRAMES, False)])


def test_a_device_that_gives_nothing_hears_too_that_the_last_viewer_has_gone(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: bed.told == [(FRAMES, True)])
    gate.looking = 0
    for counted in (2, 3):
        assert gate.counted == counted - 1
        bed.clock.move(frames.GRACE_SECONDS)
        outlet._wake()
        wait_until(lambda counted=counted: gate.counted == counted)  # type: ignore[misc]
    wait_until(lambda: bed.told == [(FRAMES, True), (FRAMES, False)])
    assert gate.written == []


def test_one_that_nobody_looks_at_asks_the_store_nothing(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    gate.looking = 0
    bed = beds(gate)
    outlet = bed.open(1)
    bed.beats.say("100.5")
    wait_until(lambda: gate.counted and not outlet._ask)
    counted = gate.counted
    assert outlet._patience > 60
    for _ in range(100):
        bed.beats.say("100.5")
        outlet.emit(FRAMES, picture())
    assert (gate.counted, gate.written) == (counted, [])
    bed.beats.say("101.5")
    wait_until(lambda: gate.counted == counted + 1)


def test_without_a_session_nobody_is_asked_about_and_nothing_is_written(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open()
    bed.beats.say("100.5")
    outlet.emit(FRAMES, picture())
    outlet._wake()
    assert (gate.counted, gate.written, bed.told) == (0, [], [])


def test_the_end_of_a_session_is_the_end_of_looking_at_once(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: bed.told == [(FRAMES, True)])
    outlet.fence = 0
    assert not outlet.watched(FRAMES)
    wait_until(lambda: bed.told == [(FRAMES, True), (FRAMES, False)])
    outlet.emit(FRAMES, picture())
    outlet.fence = 2
    wait_until(lambda: bed.told[2:] == [(FRAMES, True)])
    assert gate.written == []


def test_a_driver_that_was_told_in_an_earlier_session_is_told_again_in_the_next(beds: Callable[..., Bed]) -> None:
    bed = beds(Gate())
    held, go_on = threading.Event(), threading.Event()
    told: list[bool] = []

    def tell(feed: str, anybody: bool) -> None:
        told.append(anybody)
        held.set()
        assert go_on.wait(GUARD)

    bed.outlet.opened(tell)
    bed.outlet.fence = 1
    assert held.wait(GUARD)
    bed.outlet.fence = 0  # its device is made safe now, and captures no more
    bed.outlet.fence = 2
    go_on.set()
    wait_until(lambda: len(told) > 1 and told[-1])


def test_what_is_counted_for_an_earlier_session_says_nothing_about_the_next(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open()
    gate.open.clear()
    outlet.fence = 1
    wait_until(lambda: gate.counted == 1)
    outlet.fence = 0
    gate.open.set()
    outlet.fence = 0
    wait_until(lambda: not outlet._ask)
    assert (bed.told, outlet.watched(FRAMES)) == ([], False)


def test_one_feed_is_told_apart_from_the_other(bench: FeedBench, beds: Callable[..., Bed]) -> None:
    session, fence = bench.start()
    bed = beds(bench.feeds.frames, "left", FRAMES, "right")
    with looker(bench, session):
        wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [1])
        outlet = bed.open(fence)
        wait_until(lambda: bed.told == [(FRAMES, True)])
        assert [outlet.watched(feed) for feed in ("left", FRAMES, "right")] == [False, True, False]


def test_a_driver_that_fails_at_it_is_told_again_at_the_next_change(
    beds: Callable[..., Bed], caplog: pytest.LogCaptureFixture
) -> None:
    gate, bed = Gate(), None
    bed = beds(gate)
    told: list[bool] = []

    def fail(feed: str, anybody: bool) -> None:
        told.append(anybody)
        raise ZeroDivisionError("a driver's mistake")

    with caplog.at_level(logging.CRITICAL):
        bed.outlet.opened(fail)
        bed.outlet.fence = 1
        wait_until(lambda: told == [True])
        bed.outlet.fence = 0
        wait_until(lambda: told == [True, False])


# -- the newest wins


def test_of_what_comes_while_the_store_is_slow_the_newest_is_written(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched(FRAMES))
    gate.open.clear()
    outlet.emit(FRAMES, picture(1))
    wait_until(lambda: gate.written)
    for number in range(2, 200):
        outlet.emit(FRAMES, picture(number))
    gate.open.set()
    wait_until(lambda: gate.written[-1] == (FRAMES, 1, 199.0))
    assert gate.written == [(FRAMES, 1, 1.0), (FRAMES, 1, 199.0)]


def test_feeds_of_one_device_take_turns(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate, "left", "right")
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched("left") and outlet.watched("right"))
    gate.open.clear()
    outlet.emit("left", picture(1))
    wait_until(lambda: gate.written)
    for number in (2, 3):
        outlet.emit("left", picture(number))
        outlet.emit("right", picture(10 * number))
    gate.open.set()
    wait_until(lambda: len(gate.written) == 3)
    assert [row[2] for row in gate.written] == [1.0, 30.0, 3.0]


def test_a_frame_of_the_session_before_is_dropped(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    bed = beds(gate)
    outlet = bed.open(1)
    wait_until(lambda: outlet.watched(FRAMES))
    gate.open.clear()
    outlet.emit(FRAMES, picture(1))
    wait_until(lambda: gate.written)
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
    outlet = FeedOutlet(bench.feeds, "bench-1/plain", {"received": Feed(bytes)}, 1)
    outlet.opened(lambda feed, anybody: None)
    assert not any(thread.name.startswith("frames:") for thread in threading.enumerate())
    outlet.close()


# -- in a host


class Camera(Toy):
    """A toy with frames, which writes down what it is told about viewers."""

    kind = "camera"
    frames = Feed(Frame)

    def watched(self, feed: str, anybody: bool) -> None:
        self.world.do((feed, anybody))


def told(world: World) -> list[Any]:
    return [act for act in world.acts if act[0] == FRAMES]


def test_a_host_tells_the_driver_of_viewers_and_forgets_them_with_the_session(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store) as lab:
        (bench,) = lab.declarations
        lab.declarations = [replace(bench, devices=(replace(bench.devices[0], driver=Camera),))]
        node = Node(lab).up()
        lab.wait_ok()
        session, fence = lab.session()
        feed = FramesId(session_id=session, device="bench-1/toy", feed=FRAMES)
        assert told(lab.world) == []
        with Looker(store.url, store.keys.prefix, feed) as looker:
            wait_until(lambda: told(lab.world) == [(FRAMES, True)])
            toy: Any = lab.world.toys[-1]
            assert toy.link.watched(FRAMES)
            toy.frames.emit(picture(7))
            assert looker.captured() == 7.0
            toy.link.lost("it was pulled out")
            wait_until(lambda: len(lab.world.toys) == 2 and lab.world.toys[-1].link.watched(FRAMES))
            toy.frames.emit(picture(8))  # an earlier opening's: nobody gets it
            reopened: Any = lab.world.toys[-1]
            reopened.frames.emit(picture(9))
            assert looker.captured() == 9.0
            lab.end(session)
            wait_until(lambda: told(lab.world)[-1] == (FRAMES, False))
        assert FrameStore(store).viewers("bench-1/toy", fence, [FRAMES]) == [0]
        node.down()
        assert not any(thread.name.startswith("frames:") for thread in threading.enumerate())
