"""The relay of frames without sockets: what a page is sent, in which order, and what it may acknowledge."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from labkit.store.frames import FramesId, SentFrame
from labkit.web.frames import FrameRelay
from tests.store.feed_bench import GUARD, FeedBench
from tests.store.feed_bench import bench as bench
from tests.web.viewer import Viewers

FRAMES = "frames"
JPEG = b"\xff\xd8" + bytes(1000)


def frame(number: int) -> SentFrame:
    return SentFrame(captured=float(number), width=640, height=480, data=JPEG)


class Hall:
    """A relay of frames with pages that remember what they were sent, and frames that a test passes on itself."""

    def __init__(self, bench: FeedBench):
        self.viewers = Viewers()
        self.relay = FrameRelay(bench.feeds.frames, self.viewers.send, self.viewers.drop)
        self.feed = FramesId(session_id="s", device="bench-1/camera", feed=FRAMES)

    def show(self, number: int) -> None:
        self.relay._pass_on(self.feed, frame(number))

    def got(self, sid: str) -> list[float]:
        return [message["captured"] for message in self.viewers.events(sid, "frame")]

    def ack(self, sid: str, nth: int = -1) -> None:
        number = self.viewers.events(sid, "frame")[nth]["id"]
        self.relay.acknowledge(sid, "bench-1/camera", FRAMES, number)


@pytest.fixture
def hall(bench: FeedBench) -> Hall:
    return Hall(bench)


def test_an_acknowledgement_brings_the_newest_frame_once(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    for number in range(1, 6):
        hall.show(number)
    assert hall.got("a") == [1, 2]
    hall.ack("a", 0)
    assert hall.got("a") == [1, 2, 5]
    hall.ack("a", 0)
    assert hall.got("a") == [1, 2, 5]
    hall.ack("a")
    assert hall.got("a") == [1, 2, 5]
    hall.show(6)
    hall.show(7)
    hall.show(8)
    assert hall.got("a") == [1, 2, 5, 6, 7]


def test_only_what_was_sent_can_be_acknowledged(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    for number in range(1, 6):
        hall.show(number)
    first, second = (message["id"] for message in hall.viewers.events("a", "frame"))
    for number in (-1, 0, first + 1, second + 1, 10**30):
        if number not in (first, second):
            hall.relay.acknowledge("a", "bench-1/camera", FRAMES, number)
    assert hall.got("a") == [1, 2]


def test_what_is_on_its_way_counts_on_when_a_page_subscribes_again(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    hall.show(1)
    hall.show(2)
    for _ in range(3):
        hall.relay.remove("a", "bench-1/camera", FRAMES)
        hall.show(3)
        hall.relay.add("a", hall.feed)
        hall.show(4)
    assert hall.got("a") == [1, 2]
    hall.ack("a")
    assert hall.got("a") == [1, 2, 4]


def test_what_a_page_acknowledges_afterwards_leaves_nothing_behind(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    hall.show(1)
    hall.relay.remove("a", "bench-1/camera", FRAMES)
    hall.show(2)
    assert (hall.relay.count("a"), len(hall.relay._viewers)) == (0, 1)
    hall.ack("a")
    assert repr(hall.relay) == "<FrameRelay feeds=0 viewers=0>"
    assert hall.got("a") == [1]


def test_a_page_that_has_gone_leaves_nothing_behind(hall: Hall) -> None:
    for sid in ("a", "b"):
        hall.relay.add(sid, hall.feed)
    hall.show(1)
    hall.relay.forget(["a"])
    assert repr(hall.relay) == "<FrameRelay feeds=1 viewers=1>"
    hall.relay.forget(["b", "unknown"])
    hall.relay.remove("b", "bench-1/camera", FRAMES)
    assert repr(hall.relay) == "<FrameRelay feeds=0 viewers=0>"


def test_a_page_never_sees_an_earlier_frame_after_a_later_one(bench: FeedBench) -> None:
    """An acknowledgement comes on another thread than the frames: both would send."""
    started, going_on = threading.Event(), threading.Event()
    hall = Hall(bench)

    def send(sid: str, event: str, data: dict[str, Any]) -> None:
        if data["captured"] == 3.0:
            started.set()
            assert going_on.wait(GUARD)
        hall.viewers.send(sid, event, data)

    hall.relay = FrameRelay(bench.feeds.frames, send, hall.viewers.drop)
    hall.relay.add("a", hall.feed)
    for number in (1, 2, 3):
        hall.show(number)
    acknowledging = threading.Thread(target=hall.ack, args=("a",))
    acknowledging.start()
    assert started.wait(GUARD)
    hall.show(4)
    hall.show(5)
    going_on.set()
    acknowledging.join(GUARD)
    assert hall.got("a") == [1, 2, 3, 5]


def test_a_page_that_can_not_be_sent_to_is_sent_away_and_the_others_go_on(
    bench: FeedBench, caplog: pytest.LogCaptureFixture
) -> None:
    hall = Hall(bench)

    def send(sid: str, event: str, data: dict[str, Any]) -> None:
        if sid == "broken":
            raise ZeroDivisionError("nobody foresaw this")
        hall.viewers.send(sid, event, data)

    hall.relay = FrameRelay(bench.feeds.frames, send, hall.viewers.drop)
    for sid in ("broken", "whole"):
        hall.relay.add(sid, hall.feed)
    with caplog.at_level("CRITICAL"):
        hall.show(1)
    hall.show(2)
    assert hall.got("whole") == [1, 2]
    assert hall.viewers.dropped == ["broken"]
    assert hall.relay.count("broken") == 0


def test_frames_are_json_and_bytes_and_nothing_else(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    hall.show(1)
    (message,) = hall.viewers.events("a", "frame")
    assert isinstance(message.pop("data"), bytes)
    assert json.loads(json.dumps(message)) == message
