"""Frames from the store to real Socket.IO clients: the newest, no more than a page can take, for who may look."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from labkit.store.frames import FramesId, SentFrame
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from labkit.web import sockets
from labkit.web.frames import IN_FLIGHT
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import Browser, SocketLab
from tests.web.socket_lab import lab as lab

FRAMES = "frames"
JPEG = b"\xff\xd8" + bytes(1000)


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
    wait_got(slow, 2)
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
    wait_until(lambda: browser.told("session"))  # which another thread sends
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
    look(lab.enter(session), bench)  # with the last one that looks the relay's thread would end, and another one begin
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
        seen = max(seen, queue.qsize())
    assert seen <= 2 * IN_FLIGHT  # an event with bytes is two packets
    reading.set()


# -- without sockets: what a page is sent in which order


def test_what_makes_no_sense_on_a_channel_stops_nobody(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    look(browser, bench)
    wait_looked_at(bench, fence)
    bench.store.command("PUBLISH", bench.store.keys.of("frames", f"{session}/{bench.device}/{FRAMES}"), b"short")
    wait_until(lambda: give(bench, fence, 7) and captured(browser)[-1:] == [7.0])
