"""Frames from the store to real Socket.IO clients: the newest, no more than a page can take, for who may look."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.store.frames import FramesId, SentFrame
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from labkit.web import sockets
from labkit.web.frames import IN_FLIGHT, FrameRelay
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.web.socket_lab import Browser, SocketLab
from tests.web.viewer import Viewers

FRAMES = "frames"
JPEG = b"\xff\xd8" + bytes(1000)


@pytest.fixture
def bench(server: StoreServer) -> Iterator[FeedBench]:
    with FeedBench(server.url) as bench:
        yield bench


@pytest.fixture
def lab(bench: FeedBench) -> Iterator[SocketLab]:
    with SocketLab(bench) as lab:
        yield lab


def frame(number: int, data: bytes = JPEG) -> SentFrame:
    return SentFrame(captured=float(number), width=640, height=480, data=data)


def look(browser: Browser, bench: FeedBench) -> None:
    """Subscribe, and wait until frames come this way."""
    assert browser.ask("subscribe", {"device": bench.device, "feed": FRAMES, "cursor": None}) == {"ok": True}


def give(bench: FeedBench, fence: int, number: int, data: bytes = JPEG) -> int | None:
    return bench.feeds.frames.write(bench.device, FRAMES, fence, frame(number, data))


def wait_looked_at(bench: FeedBench, fence: int, processes: int = 1) -> None:
    wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [processes])


def acknowledge(browser: Browser, bench: FeedBench) -> None:
    number = browser.told("frame")[-1]["id"]
    assert browser.ask("ack", {"device": bench.device, "feed": FRAMES, "id": number}) == {"ok": True}


def captured(browser: Browser) -> list[float]:
    return [message["captured"] for message in browser.told("frame")]


def wait_got(browser: Browser, number: int) -> None:
    wait_until(lambda: captured(browser)[-1:] == [float(number)], f"frame {number}")


# -- in a browser


def test_a_page_gets_frames_with_time_and_size(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    look(browser, bench)
    wait_looked_at(bench, fence)
    assert give(bench, fence, 1) == 1
    wait_got(browser, 1)
    acknowledge(browser, bench)
    give(bench, fence, 2)
    wait_got(browser, 2)
    first, second = browser.told("frame")
    assert {key: value for key, value in first.items() if key != "id"} == {
        "device": bench.device, "feed": FRAMES, "captured": 1.0, "width": 640, "height": 480, "data": JPEG,
    }  # fmt: skip
    assert second["id"] > first["id"]


def test_a_slow_page_gets_fewer_frames_and_always_the_newest_and_slows_nobody(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    quick, slow = lab.enter(session), lab.enter(session)
    for browser in (quick, slow):
        look(browser, bench)
    wait_looked_at(bench, fence)
    for number in range(1, 21):
        assert give(bench, fence, number) == 1  # one connection for all pages of a process
        wait_got(quick, number)
        acknowledge(quick, bench)
    assert captured(quick) == [float(number) for number in range(1, 21)]
    assert captured(slow) == [1.0, 2.0]
    acknowledge(slow, bench)
    wait_got(slow, 20)
    assert captured(slow) == [1.0, 2.0, 20.0]


def test_who_comes_late_gets_the_next_frame(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    early, late = lab.enter(session), lab.enter(session)
    look(early, bench)
    wait_looked_at(bench, fence)
    give(bench, fence, 1)
    wait_got(early, 1)
    look(late, bench)
    give(bench, fence, 2)
    wait_got(late, 2)
    assert captured(late) == [2.0]


def test_another_session_is_refused_and_gets_nothing(bench: FeedBench, lab: SocketLab, server: StoreServer) -> None:
    session, fence = bench.start()
    with FeedBench(server.url, bench="bench-2", prefix=bench.store.keys.prefix) as second:
        other_session, other_fence = second.start()
        mine, other = lab.enter(session), lab.enter(other_session)
        answer = other.ask("subscribe", {"device": bench.device, "feed": FRAMES})
        assert (answer["ok"], answer["error"]["kind"]) == (False, "UnknownDeviceError")
        look(mine, bench)
        look(other, second)
        wait_looked_at(bench, fence)
        wait_looked_at(second, other_fence)
        give(bench, fence, 1)
        give(second, other_fence, 2)
        wait_got(mine, 1)
        wait_got(other, 2)
        assert (captured(mine), captured(other)) == ([1.0], [2.0])


def test_somebody_without_a_session_gets_nothing(bench: FeedBench, lab: SocketLab) -> None:
    _, fence = bench.start()
    stranger = lab.browser()
    assert stranger.refusal()["data"] == {"reason": "unknown"}
    assert bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [0]


def test_the_end_of_a_session_is_the_end_of_its_frames(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    look(browser, bench)
    wait_looked_at(bench, fence)
    give(bench, fence, 1)
    wait_got(browser, 1)
    bench.end(session, EndReason.ADMIN)
    assert give(bench, fence, 2) is None
    wait_until(lambda: browser.told("session")[-1]["state"] == "ending")
    assert lab.sockets.relay._frames.count(next(iter(lab.sockets.relay._view_of))) == 0
    channel = bench.store.keys.of("frames", f"{session}/{bench.device}/{FRAMES}")
    bench.store.command("PUBLISH", channel, frame(3).packed())  # whoever published it
    wait_until(lambda: bench.store.command("PUBSUB", "NUMSUB", channel)[1] == 0)
    assert captured(browser) == [1.0]
    answer = browser.ask("subscribe", {"device": bench.device, "feed": FRAMES})
    assert (answer["ok"], answer["reason"]) == (False, "admin")


def test_frames_go_on_when_the_store_is_back(tmp_path: Path) -> None:
    with StoreServer(tmp_path, append_only=True) as server, FeedBench(server.url) as bench, SocketLab(bench) as lab:
        session, fence = bench.start()
        browser = lab.enter(session)
        look(browser, bench)
        wait_looked_at(bench, fence)
        give(bench, fence, 1)
        wait_got(browser, 1)
        news = bench.store.command("HGET", bench.store.keys["lab"], "watched")
        server.stop()
        wait_until(lambda: browser.told("store") == [{"ok": False}])
        server.start()
        wait_looked_at(bench, fence)
        wait_until(lambda: bench.store.command("HGET", bench.store.keys["lab"], "watched") != news)  # hosts count anew
        give(bench, fence, 2)
        wait_got(browser, 2)


def test_pages_that_look_no_more_free_the_camera(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    leaving, staying = lab.enter(session), lab.enter(session)
    for browser in (leaving, staying):
        look(browser, bench)
    wait_looked_at(bench, fence)
    leaving.close()
    wait_until(lambda: len(lab.sockets.relay._view_of) == 1)
    assert give(bench, fence, 1) == 1
    wait_got(staying, 1)
    assert staying.ask("unsubscribe", {"device": bench.device, "feed": FRAMES}) == {"ok": True}
    wait_looked_at(bench, fence, 0)
    wait_until(lambda: not any(thread.name == "frames" for thread in threading.enumerate()))
    look(staying, bench)
    wait_looked_at(bench, fence)
    give(bench, fence, 2)
    wait_got(staying, 2)


def test_feeds_of_frames_count_for_the_limit_of_a_page(
    bench: FeedBench, lab: SocketLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MOST_FEEDS", 2)
    session, _ = bench.start()
    browser = lab.enter(session)
    look(browser, bench)
    assert browser.ask("subscribe", {"device": bench.device, "feed": "received"}) == {"ok": True}
    answer = browser.ask("subscribe", {"device": bench.device, "feed": "log"})
    assert "2 feeds already" in answer["error"]["message"]
    browser.ask("unsubscribe", {"device": bench.device, "feed": FRAMES})
    assert browser.ask("subscribe", {"device": bench.device, "feed": "log"}) == {"ok": True}


@pytest.mark.parametrize("number", ["1", 1.5, True, [], {}])
def test_what_is_no_number_of_a_frame_is_refused(bench: FeedBench, lab: SocketLab, number: Any) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    answer = browser.ask("ack", {"device": bench.device, "feed": FRAMES, "id": number})
    assert (answer["error"]["kind"], answer["error"]["key"]) == ("BadRequestError", "id")


@pytest.mark.parametrize("number", [0, -1, 10**30])
def test_an_acknowledgement_of_what_was_never_sent_does_no_harm(bench: FeedBench, lab: SocketLab, number: int) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    ack = {"device": bench.device, "feed": FRAMES, "id": number}
    assert browser.ask("ack", ack) == {"ok": True}
    look(browser, bench)
    assert browser.ask("ack", ack) == {"ok": True}
    wait_looked_at(bench, fence)
    give(bench, fence, 1)
    wait_got(browser, 1)


def test_a_page_that_stops_reading_has_two_frames_waiting_however_often_it_asks(
    bench: FeedBench, lab: SocketLab
) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    relay = lab.sockets.relay
    (sid,) = relay._view_of
    queue = lab.sockets._server.eio._get_socket(lab.sockets._transports[sid]).queue
    feed = FramesId(session_id=session, device=bench.device, feed=FRAMES)
    look(browser, bench)
    wait_looked_at(bench, fence)
    reading = threading.Event()
    browser.client.on("frame", lambda _: reading.wait(GUARD))  # the client's only reader stands still
    large = bytes(4_000_000)
    seen = 0
    for number in range(1, 12):
        assert give(bench, fence, number, large) == 1
        wait_until(lambda number=number: relay._frames._pictures[feed].frame == frame(number, large))  # type: ignore[misc]
        relay.unsubscribe(sid, bench.device, FRAMES)
        relay.show_frames(sid, bench.device, FRAMES)
        wait_looked_at(bench, fence)
        seen = max(seen, queue.qsize())
    assert seen <= 2 * IN_FLIGHT  # an event with bytes is two packets
    reading.set()


# -- without sockets: what a page is sent in which order


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


def test_what_makes_no_sense_on_a_channel_stops_nobody(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    look(browser, bench)
    wait_looked_at(bench, fence)
    bench.store.command("PUBLISH", bench.store.keys.of("frames", f"{session}/{bench.device}/{FRAMES}"), b"short")
    wait_until(lambda: give(bench, fence, 7) and captured(browser)[-1:] == [7.0])


def test_frames_are_json_and_bytes_and_nothing_else(hall: Hall) -> None:
    hall.relay.add("a", hall.feed)
    hall.show(1)
    (message,) = hall.viewers.events("a", "frame")
    assert isinstance(message.pop("data"), bytes)
    assert json.loads(json.dumps(message)) == message
