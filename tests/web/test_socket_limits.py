"""What a page gets that sends too much over its socket, opens too many, or never comes in: on a real server."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket
from engineio.packet import MESSAGE, NOOP, Packet

from labkit.web import rates, socket_gate, visitors
from labkit.web.link import Link, time_value
from labkit.web.sockets import MOST_UNSENT, LabSockets
from tests.small_lab import MakeLab, SmallLab
from tests.toy import GUARD, wait_until
from tests.web.served import cookie, served
from tests.web.socket_lab import Browser
from tests.web.standing_time import StandingTime
from tests.web.test_socket_gate import PATH, ends, raw

WRITE = '421["call",{"device":"toy","command":"write","args":[1]}]'

LITTLE_ROOM = (socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
"""For a page that does not read. By itself a kernel finds more and more room, up to what the machine says: 32 MB here
and 6 MB there."""

FEW_REFUSED = 50
"""Of the 200 frames and more that a server finds together in a flood some pass, and the last 64 may wait: with so few
the rest is enough for its end, however slowly a busy machine deals with them."""


class Served:
    """A lab with a server of its own, and what connects to it."""

    def __init__(self, lab: SmallLab, port: int, stack: contextlib.ExitStack):
        self.lab = lab
        self.port = port
        self._stack = stack

    def cookie(self, session: str) -> str:
        return cookie(self.lab.app, {"weblab_session_id": session} if session else {})

    def link(self, session: str, *, come_in: bool = True) -> websocket.WebSocket:
        """A WebSocket that speaks frames."""
        where = f"ws://127.0.0.1:{self.port}{PATH}"
        link = websocket.create_connection(where, cookie=self.cookie(session), timeout=GUARD, sockopt=[LITTLE_ROOM])
        self._stack.callback(link.shutdown)
        assert link.recv().startswith("0{")
        if come_in:
            link.send("40")
            while not link.recv().startswith("40{"):  # what happens in the session may come first
                pass
        return link

    def page(self, session: str) -> Browser:
        browser = Browser(f"http://127.0.0.1:{self.port}", self.cookie(session))
        browser.connect()
        self._stack.callback(browser.close)
        return browser

    def refused(self, session: str) -> tuple[int, dict[str, str]]:
        """Try to open a socket: status and headers of the refusal."""
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            self.link(session)
        headers = {name.title(): value for name, value in (refusal.value.resp_headers or {}).items()}
        return refusal.value.status_code, headers


@pytest.fixture
def serve(make: MakeLab) -> Iterator[Callable[..., Served]]:
    with contextlib.ExitStack() as stack:

        def serve_lab(**config: Any) -> Served:
            lab = make(devices=["toy"], benches=2, **config).up()
            stack.callback(lambda: lab.weblab._sockets and lab.weblab._sockets.close())
            return Served(lab, stack.enter_context(served(lab.app)), stack)

        yield serve_lab


def answers(link: websocket.WebSocket, count: int) -> list[dict[str, Any]]:
    """So many answers to events."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = link.recv()
        assert frame != "", f"it ended after {len(found)} answers"
        if isinstance(frame, str) and frame.startswith("431"):
            found.append(json.loads(frame.removeprefix("431"))[0])
    return found


# -- events


def test_events_beyond_the_limit_are_answered_with_an_error_and_do_nothing(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "BURST_SECONDS", 20.0)
    served = serve(LABKIT_MOST_EVENTS=1)
    link = served.link(served.lab.start())
    link.sock.sendall(raw(1, WRITE.encode()) * 120)
    told = answers(link, 40)
    kinds = [answer["error"]["kind"] for answer in told if not answer["ok"]]
    assert set(kinds) == {"TooManyEvents"}
    done = sum(world.count(1) for world in served.lab.worlds.values())
    assert len(told) - len(kinds) <= done <= 30


def test_flood_ends_the_connection_and_the_page_of_another_session_notices_nothing(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(visitors, "MOST_REFUSED", FEW_REFUSED)
    served = serve(LABKIT_MOST_EVENTS=5)
    flooding, session = served.lab.start(), served.lab.start()
    page = served.page(session)
    link = served.link(flooding)
    with contextlib.suppress(OSError):
        for _ in range(30):
            link.sock.sendall(raw(1, WRITE.encode()) * 200)
    assert ends(link)
    wait_until(lambda: "it did not come in, or sent on and on" in caplog.text)
    assert page.ask("call", {"device": "toy", "command": "write", "args": ["hello"]}) == {"ok": True, "result": "hello"}
    assert sum(world.count(1) for world in served.lab.worlds.values()) < 600  # of the 6000
    assert served.lab.status(flooding) == 5  # its session goes on: it may have been a mistake of a page
    assert [record for record in caplog.records if record.exc_info] == []


def test_large_events_count_for_more(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "time", StandingTime())
    served = serve(LABKIT_MOST_EVENTS=1000)
    bucket = sockets_of(served).visitors._events
    session = served.lab.start()
    page = served.page(session)
    page.ask("poll")
    before = bucket._levels[session][0]
    page.ask("poll", "x" * 900_000)
    assert before - bucket._levels[session][0] > 50


@pytest.mark.parametrize("frame", [raw(9, b""), raw(10, b"")], ids=["ping", "pong"])
def test_frames_of_the_connection_itself_cost_something_too(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, frame: bytes
) -> None:
    monkeypatch.setattr(rates, "time", StandingTime())
    served = serve(LABKIT_MOST_EVENTS=1000)
    session = served.lab.start()
    link = served.link(session)
    bucket = sockets_of(served).visitors._events
    before = bucket._levels[session][0]
    link.sock.sendall(frame * 3000)
    wait_until(lambda: before - bucket._levels[session][0] > 100)
    link.send('421["poll"]')
    assert answers(link, 1)[0]["ok"]


def test_flood_of_acknowledgements_and_of_frames_that_say_nothing_ends_too(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "MOST_REFUSED", FEW_REFUSED)
    served = serve(LABKIT_MOST_EVENTS=2)
    session = served.lab.start()
    for frame in ('42["ack",{"device":"bench-1/toy","feed":"received","cursor":"1:1"}]', "3", "6"):
        link = served.link(session)
        with contextlib.suppress(OSError):
            for _ in range(40):
                link.sock.sendall(raw(1, frame.encode()) * 500)
        assert ends(link)


# -- coming in


def test_socket_too_many_is_told_to_wait_and_gets_in_when_another_one_has_gone(serve: Callable[..., Served]) -> None:
    served = serve(LABKIT_MOST_SOCKETS=2)
    session, other = served.lab.start(), served.lab.start()
    first, second = served.page(session), served.page(session)
    status, headers = served.refused(session)
    assert (status, headers["Content-Type"]) == (429, "application/json")
    assert int(headers["Retry-After"]) > 0
    assert served.page(other).ask("poll")["ok"]
    assert first.ask("poll")["ok"]
    second.close()
    wait_until(lambda: repr(sockets_of(served).visitors) == "<Visitors sessions=2 sockets=2>")
    assert served.page(session).ask("poll")["ok"]


def test_sockets_without_a_session_leave_places_for_those_with_one(serve: Callable[..., Served]) -> None:
    served = serve(LABKIT_MOST_PAGES=8)
    session = served.lab.start()
    for _ in range(2):
        served.link("", come_in=False)
    assert served.refused("")[0] == 429
    assert served.page(session).ask("poll")["ok"]


def test_connection_that_does_not_come_in_is_closed(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "ENTER_SECONDS", 0.0)
    served = serve()
    link = served.link(served.lab.start(), come_in=False)
    link.send("3")
    assert ends(link)
    wait_until(lambda: repr(sockets_of(served).visitors) == "<Visitors sessions=0 sockets=0>")


def test_who_is_in_may_ask_to_come_in_again_and_nothing_breaks(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    link = served.link(served.lab.start())
    for _ in range(10):
        link.send("40")
    link.send('421["poll"]')
    assert answers(link, 1)[0]["ok"]
    link.send("41")
    link.send("40")
    while not link.recv().startswith("40{"):
        pass
    link.send('421["poll"]')
    assert answers(link, 1)[0]["ok"]
    assert [record for record in caplog.records if record.exc_info] == []
    assert repr(sockets_of(served)).endswith("sockets=1>")


@pytest.mark.parametrize("before", [[], ["40", "41"]])
def test_event_with_bytes_of_who_is_not_in_ends_its_connection_without_an_error(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, before: list[str]
) -> None:
    served = serve()
    link = served.link(served.lab.start(), come_in=False)
    for frame in before:
        link.send(frame)
    link.send('451-1["call",{"args":[{"_placeholder":true,"num":0}]}]')
    with contextlib.suppress(OSError):
        link.send_binary(b"\xff")
    assert ends(link)
    wait_until(lambda: repr(sockets_of(served).visitors) == "<Visitors sessions=0 sockets=0>")
    assert [record for record in caplog.records if record.exc_info] == []


# -- feeds


def test_page_that_does_not_read_gets_no_more_feeds(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each subscription is sent what was kept; nothing must pile up for a page that has stopped reading."""
    served = serve()
    page = served.page(served.lab.start())
    feed = {"device": "bench-1/toy", "feed": "received"}
    assert page.ask("subscribe", feed)["ok"]
    monkeypatch.setattr(sockets_of(served), "_unsent", lambda sid: MOST_UNSENT + 1)
    error = page.ask("subscribe", feed)["error"]
    assert "does not read" in error["message"]
    assert page.ask("poll")["ok"]


def test_messages_that_wait_for_a_page_are_counted(serve: Callable[..., Served]) -> None:
    served = serve()
    link = served.link(served.lab.start())
    found = sockets_of(served)
    (sid,) = found._transports
    wait_until(lambda: found._unsent(sid) == 0, "what a page is greeted with to be sent")
    filled = 0
    while found._unsent(sid) <= MOST_UNSENT:  # nobody reads, and the kernel takes only so much
        found._send(sid, "feed", {"data": "x" * 60_000})
        filled += 1
        assert filled < 2000
    link.shutdown()
    wait_until(lambda: not found._transports)
    assert found._unsent(sid) == 0


@pytest.mark.parametrize("frame", ["9", '427["poll"]', "5"])
def test_page_that_does_not_read_and_goes_on_asking_is_let_go(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, frame: str
) -> None:
    """Whatever it sends then, the thread that sends to it and its place are free at once."""
    monkeypatch.setattr(socket_gate, "MOST_WAITING", MOST_UNSENT)
    served = serve()
    link = served.link(served.lab.start())
    found = sockets_of(served)
    (sid,) = found._transports
    fill(found, sid, link)
    assert found.places._taken == 1
    link.send(frame)
    wait_until(lambda: found.places._taken == 0, "the end of the connection")
    assert frame == "9" or "does not read" in caplog.text


def test_session_that_ends_frees_the_place_of_a_page_that_does_not_read(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Link] = []

    def make_link(*args: Any, **options: Any) -> Link:
        links.append(Link(*args, **options))
        links[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        return links[0]

    monkeypatch.setattr(socket_gate, "Link", make_link)
    served = serve()
    link = served.link(served.lab.start())
    found = sockets_of(served)
    (sid,) = found._transports
    fill(found, sid, link)
    assert found.places._taken == 1
    found._drop(sid)
    links[0]._patience = 0.5  # only now: a busy machine takes its time to fill it
    links[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_value(0.5))
    take(link, 1_000_000)  # more than has room on the way: the next message begins
    wait_until(lambda: found.places._taken == 0, "its place")
    wait_until(lambda: not any(thread.name == "socket-drop" for thread in threading.enumerate()), "the thread's end")
    assert link.connected


def test_what_waits_for_a_page_is_too_much_by_number_or_by_size() -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    for _ in range(socket_gate.FEW):
        waiting.put(Packet(MESSAGE, b"x" * 1_000_000))
    assert not socket_gate.too_much_waits(waiting), "a few may be large"
    waiting.put(None)
    assert socket_gate.too_much_waits(waiting)
    waiting = queue.Queue()
    for _ in range(socket_gate.MOST_WAITING):
        waiting.put(Packet(NOOP))
    assert not socket_gate.too_much_waits(waiting)
    waiting.put(Packet(NOOP))
    assert socket_gate.too_much_waits(waiting)


def fill(found: LabSockets, sid: str, link: websocket.WebSocket) -> None:
    """Have more wait for a page that does not read than it may, besides what its thread has taken to send it."""
    put(found, sid)
    while found._unsent(sid):  # until that thread has taken all of it at once: more than any kernel has room for
        link.sock.recv(1_000_000)
    put(found, sid)


def take(link: websocket.WebSocket, count: int) -> None:
    """Read so many bytes, or up to the end."""
    with contextlib.suppress(OSError):
        while count > 0 and (data := link.sock.recv(min(count, 65536))):
            count -= len(data)


def put(found: LabSockets, sid: str) -> None:
    while found._unsent(sid) <= 2 * MOST_UNSENT:
        assert sid in found._transports, "the page was let go before there was too much for it"
        found._send(sid, "feed", {"data": "x" * 60_000})


def sockets_of(served: Served) -> LabSockets:
    found = served.lab.weblab._sockets
    assert found is not None
    return found
