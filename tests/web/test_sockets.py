"""labkit's Socket.IO server with real clients: who gets in, and what a page may ask for."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from socketio.packet import ACK

from labkit.store.sessions import EndReason
from labkit.web.subscription import WINDOW
from tests.store.feed_bench import FEED, GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import AWAY, SocketLab
from tests.web.socket_lab import lab as lab

WHERE = {"device": "bench-1/console", "feed": FEED}


# -- who gets in


def test_the_sessions_own_browser_gets_in_and_is_shown_its_session(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start(length=600)
    browser = lab.enter(session)
    wait_until(lambda: browser.told("session"))
    shown = browser.told("session")[0]
    assert (shown["state"], shown["reason"]) == ("active", "")
    assert 550 < shown["time_left"] <= 600


def test_nobody_gets_in_without_a_session(lab: SocketLab) -> None:
    assert lab.browser().refusal()["data"] == {"reason": "unknown"}
    assert lab.browser("no-such-session").refusal()["data"] == {"reason": "unknown"}


def test_a_session_that_is_still_starting_does_not_get_in(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start(activate=False)
    assert lab.browser(session).refusal()["data"] == {"reason": "starting"}


@pytest.mark.parametrize("reason", [EndReason.TIME, EndReason.ADMIN])
def test_a_session_that_is_over_does_not_get_in_and_is_told_why(
    bench: FeedBench, lab: SocketLab, reason: EndReason
) -> None:
    session, _ = bench.start()
    bench.end(session, reason)
    assert lab.browser(session).refusal()["data"] == {"reason": reason.value}


def test_a_user_who_logged_out_does_not_get_in(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    bench.sessions.exit(session)
    assert lab.browser(session).refusal()["data"] == {"reason": "logout"}


def test_nobody_gets_in_while_the_store_is_away(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    lab.broken = AWAY
    assert lab.browser(session).refusal()["data"] == {"reason": "store"}


def test_a_guard_that_breaks_lets_nobody_in(bench: FeedBench, lab: SocketLab, caplog: pytest.LogCaptureFixture) -> None:
    session, _ = bench.start()
    lab.broken = ZeroDivisionError("nobody foresaw this")
    assert lab.browser(session).refusal()["data"] == {"reason": "store"}
    assert "socket event failed event=connect" in caplog.text


def test_a_page_of_another_site_does_not_get_in(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Cookie": lab.cookie(session)}
    where = "/labkit/socket.io/?EIO=4&transport=websocket"
    answer = lab.app.test_client().get(where, headers={**headers, "Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.text) == (400, '"Not an accepted origin."')


def test_a_refused_connection_is_closed(lab: SocketLab) -> None:
    browser = lab.browser()
    browser.refusal()
    wait_until(lambda: not browser.linked, "the end of the connection")
    assert repr(lab.sockets).endswith("sockets=0>")


def test_polling_instead_of_a_websocket_is_refused(lab: SocketLab) -> None:
    answer = lab.app.test_client().get("/labkit/socket.io/?EIO=4&transport=polling")
    assert answer.status_code == 400


# -- feeds


def test_bytes_come_as_they_were_and_go_on_after_a_reload(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    assert browser.ask("subscribe", {**WHERE, "cursor": None}) == {"ok": True}
    bench.write(fence, b"\x00\xff\r\n$ ", 6)
    wait_until(lambda: browser.bytes() == b"\x00\xff\r\n$ ")
    message = browser.told("feed")[0]
    assert {key: message[key] for key in ("device", "feed", "cursor", "lost")} == {**WHERE, "cursor": "1:6", "lost": 0}
    assert browser.ask("ack", {**WHERE, "cursor": "1:6"}) == {"ok": True}
    browser.close()
    bench.write(fence, b"missed", 12)
    again = lab.enter(session)
    assert again.ask("subscribe", {**WHERE, "cursor": message["cursor"]}) == {"ok": True}
    wait_until(lambda: again.bytes() == b"missed")
    assert again.told("feed")[0]["lost"] == 0


def test_what_a_page_acknowledges_is_taken_without_asking_the_store_each_time(bench: FeedBench, lab: SocketLab) -> None:
    """A page acknowledges every picture: the guard's word of a moment ago is enough for that."""
    session, fence = bench.start()
    browser = lab.enter(session)
    assert browser.ask("subscribe", WHERE)["ok"]
    total, rounds, asked = 0, 0, lab.guarded
    while total < 2 * WINDOW:
        total += 8192
        bench.write(fence, bytes(8192), total)
        wait_until(lambda: len(browser.bytes()) == total)  # noqa: B023 - it is over before total changes
        browser.client.emit("ack", {**WHERE, "cursor": browser.told("feed")[-1]["cursor"]})
        rounds += 1
    assert lab.guarded - asked < rounds


def test_what_a_page_acknowledges_is_refused_when_its_session_is_over(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    assert browser.ask("subscribe", WHERE)["ok"]
    bench.write(fence, b"before", 6)
    wait_until(lambda: browser.bytes() == b"before")
    bench.end(session)
    wait_until(lambda: browser.told("session")[-1]["state"] != "active")
    asked = lab.guarded
    browser.client.emit("ack", {**WHERE, "cursor": "1:6"})
    wait_until(lambda: lab.guarded > asked or browser.gone.is_set(), "the guard's look")


def test_senseless_acknowledgements_that_nobody_waits_for_change_nothing(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser = lab.enter(session)
    assert browser.ask("subscribe", WHERE)["ok"]
    for nonsense in (None, 5, [], {}, {**WHERE, "cursor": "x"}, {**WHERE, "id": "one"}, {**WHERE}):
        browser.client.emit("ack", nonsense)
    bench.write(fence, b"goes on", 7)
    wait_until(lambda: browser.bytes() == b"goes on")
    assert browser.ask("poll")["ok"]


def test_a_page_that_unsubscribes_hears_no_more(bench: FeedBench, lab: SocketLab) -> None:
    session, fence = bench.start()
    browser, other = lab.enter(session), lab.enter(session)
    for each in (browser, other):
        each.ask("subscribe", {**WHERE, "cursor": None})
    assert browser.ask("unsubscribe", WHERE) == {"ok": True}
    bench.write(fence, b"abc", 3)
    wait_until(lambda: other.bytes() == b"abc")
    assert browser.bytes() == b""


def test_a_device_of_another_bench_is_refused(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    answer = browser.ask("subscribe", {"device": "bench-2/console", "feed": FEED, "cursor": None})
    assert answer["error"]["kind"] == "UnknownDeviceError"
    assert "bench-2/console" in answer["error"]["message"]


def test_a_page_can_not_have_feeds_without_end(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    answers = [browser.ask("subscribe", {"device": bench.device, "feed": f"feed{n}"})["ok"] for n in range(70)]
    assert answers == [True] * 64 + [False] * 6


@pytest.mark.parametrize("first", ["feed", "answer"])
def test_the_frames_of_one_message_stay_together(bench: FeedBench, lab: SocketLab, first: str) -> None:
    """The relay's thread sends feeds while the socket's own answers; a message with bytes is two frames."""
    session, _ = bench.start()
    browser = lab.enter(session)
    wait_until(lambda: browser.told("session"))
    (sid,) = lab.sockets._transports
    server, begun, both = lab.sockets._server, threading.Event(), threading.Event()
    send_frame, frames = server.eio.send_packet, []

    def send_slowly(transport: str, frame: Any) -> None:
        frames.append(threading.current_thread().name)
        if len(frames) == 1:
            begun.set()
            both.wait(0.3)  # time for the other thread to come between, where nothing keeps it out
        elif len(set(frames)) == 2:
            both.set()
        send_frame(transport, frame)

    def send_feed() -> None:
        lab.sockets._send(sid, "feed", {"data": b"of a feed"})

    def answer() -> None:
        packet = server.packet_class(ACK, namespace="/", id=1, data=[{"ok": True, "result": b"of an answer"}])
        server._send_packet(lab.sockets._transports[sid], packet)

    server.eio.send_packet = send_slowly
    order = [("feed", send_feed), ("answer", answer)]
    threads = [threading.Thread(target=send, name=name) for name, send in sorted(order, key=lambda o: o[0] != first)]
    threads[0].start()
    begun.wait(GUARD)
    threads[1].start()
    for thread in threads:
        thread.join(GUARD)
    assert frames == [threads[0].name] * 2 + [threads[1].name] * 2
    wait_until(lambda: browser.told("feed") == [{"data": b"of a feed"}])
    server.eio.send_packet = send_frame
    assert browser.ask("poll")["ok"]


# -- commands, poll, logout


def test_a_command_is_called_with_what_the_page_gave(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    lab.result = {"sent": 3, "raw": b"\x00\xff"}
    asked = {"device": "console", "command": "write", "args": [b"\x03\xff"], "kwargs": {"wait": 1.5}}
    assert browser.ask("call", asked) == {"ok": True, "result": {"sent": 3, "raw": b"\x00\xff"}}
    assert lab.calls == [(session, "console", "write", [b"\x03\xff"], {"wait": 1.5})]


def test_keystrokes_keep_their_order(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    for number in range(200):
        browser.client.emit("call", {"device": "console", "command": "write", "args": [number], "kwargs": {}})
    wait_until(lambda: len(lab.calls) == 200)
    assert [call[3] for call in lab.calls] == [[number] for number in range(200)]


def test_an_error_of_a_command_is_an_answer(bench: FeedBench, lab: SocketLab, caplog: pytest.LogCaptureFixture) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    error = {"kind": "DeviceBusyError", "message": "Device 'bench-1/console' is busy."}
    assert browser.ask("call", {"device": "console", "command": "busy"}) == {"ok": False, "error": error}
    answer = browser.ask("call", {"device": "console", "command": "crash"})
    assert (answer["ok"], answer["error"]["kind"]) == (False, "InternalError")
    assert "socket event failed event=call" in caplog.text
    assert "nobody foresaw this" not in str(answer)
    assert browser.ask("poll")["ok"]


def test_a_poll_keeps_a_silent_page_alive_and_tells_the_time(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start(length=600, timeout=60)
    browser = lab.enter(session)
    before = bench.sessions.touch(session, poll=False).number("last_poll")
    answer = browser.ask("poll")
    assert (answer["ok"], answer["state"]) == (True, "active")
    assert 550 < answer["time_left"] <= 600
    assert bench.sessions.touch(session, poll=False).number("last_poll") > before


def test_logout_ends_all_pages_of_the_session(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser, other = lab.enter(session), lab.enter(session)
    wait_until(lambda: other.told("session"))
    assert browser.ask("logout") == {"ok": True}
    wait_until(lambda: [s["reason"] for s in other.told("session")] == ["", "logout"])
    answer = other.ask("poll")
    assert (answer["ok"], answer["state"], answer["reason"]) == (False, "ending", "logout")
    wait_until(other.gone.is_set)


# -- the guard of every event


# -- coming and going


def test_pages_that_go_are_forgotten(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    for _ in range(20):
        browser = lab.enter(session)
        browser.ask("subscribe", {**WHERE, "cursor": None})
        browser.close()
    wait_until(lambda: repr(lab.sockets.relay) == "<Relay viewers=0 subscriptions=0>")
    assert repr(lab.sockets).endswith("sockets=0>")
