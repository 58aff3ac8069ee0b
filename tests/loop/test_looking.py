"""Whether anybody looks: a driver hears of the first viewer and of the last one that has gone, at each session anew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.loop import frames
from labkit.plugin import Feed, Frame
from labkit.store.connection import Store
from labkit.store.frames import FramesId, FrameStore
from tests.loop.frame_bed import FRAMES, Bed, Gate, picture
from tests.loop.frame_bed import beds as beds
from tests.loop.host_bench import HostBench, Node
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.store.looking import Looker
from tests.toy import Toy, World


def looker(bench: FeedBench, session: str) -> Looker:
    feed = FramesId(session_id=session, device=bench.device, feed=FRAMES)
    return Looker(bench.store.url, bench.store.keys.prefix, feed)


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
        # else the time goes on before it is noted when that was
        wait_until(lambda: outlet._feeds[FRAMES].counted_at == bed.clock.boottime())
    wait_until(lambda: bed.told == [(FRAMES, True), (FRAMES, False)])
    assert gate.written == []


def test_one_that_nobody_looks_at_asks_the_store_nothing(beds: Callable[..., Bed]) -> None:
    gate = Gate()
    gate.looking = 0
    bed = beds(gate)
    outlet = bed.open()
    bed.beats.say("100.5")
    outlet.fence = 1
    wait_until(lambda: gate.counted)
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
        wait_until(lambda: not any(thread.name.startswith("frames:") for thread in threading.enumerate()))
