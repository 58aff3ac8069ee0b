"""What comes to labkit's sockets and makes no sense: requests that open none, frames, events of other names."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toy import wait_until
from tests.web.malformed import LONE, LiveLab
from tests.web.malformed import changes_nothing as changes_nothing
from tests.web.malformed import live_lab as live_lab
from tests.web.served import cookie, served
from tests.web.socket_lab import Browser
from tests.web.test_malformed_pages import PAGES, ask

PATH = "/labkit/socket.io/?EIO=4&transport=websocket"
OPENING = {
    "Host": "lab",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
CALL = {"device": "toy", "command": "write", "args": [1]}


@pytest.fixture(scope="module")
def port(lab: LiveLab) -> Iterator[int]:
    with served(lab.app) as port:
        yield port


@pytest.fixture(scope="module")
def page(lab: LiveLab, port: int) -> Iterator[Browser]:
    """A page that is in all the time, and must not notice anything."""
    made = Browser(f"http://127.0.0.1:{port}", cookie(lab.app, {"weblab_session_id": lab.live}))
    made.connect()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _hurts_nobody(
    lab: LiveLab, page: Browser, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    before = {name: list(world.acts) for name, world in lab.worlds.items()}
    caplog.set_level(logging.INFO)
    yield
    assert page.ask("poll")["ok"]
    assert {name: world.acts for name, world in lab.worlds.items()} == before
    assert [record for record in caplog.records if record.exc_info] == []
    assert "Traceback" not in "".join(capfd.readouterr())


# -- what opens a socket, and what does not


WRONG: list[dict[str, str | None]] = [
    {"Connection": None}, {"Connection": "keep-alive"}, {"Sec-WebSocket-Key": None}, {"Sec-WebSocket-Version": None},
    {"Sec-WebSocket-Version": "99"}, {"Sec-WebSocket-Version": "x"}, {"Sec-WebSocket-Extensions": "\xff;;;=,"},
    {"Sec-WebSocket-Protocol": "\xff"},
]  # fmt: skip


@pytest.mark.parametrize("headers", WRONG)
def test_request_that_opens_no_socket_is_a_400(port: int, headers: dict[str, str | None]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        lines = [f"{name}: {value}" for name, value in {**OPENING, **headers}.items() if value is not None]
        link.sendall("\r\n".join([f"GET {PATH} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
        assert link.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")


# -- frames


@contextlib.contextmanager
def linked(lab: LiveLab, port: int) -> Iterator[websocket.WebSocket]:
    """A WebSocket of the session, which speaks frames; it is connected."""
    link = websocket.create_connection(
        f"ws://127.0.0.1:{port}{PATH}", cookie=cookie(lab.app, {"weblab_session_id": lab.live}), timeout=30
    )
    with contextlib.closing(link.sock):
        assert link.recv().startswith("0{")
        link.send("40")
        while not link.recv().startswith("40{"):  # what happens in the session may come first
            pass
        yield link


def ends(link: websocket.WebSocket) -> bool:
    """Wait until the connection has ended, whatever comes before. False: it goes on, and nothing comes."""
    try:
        while link.recv() != "":
            pass
    except websocket.WebSocketTimeoutException:
        return False
    except (websocket.WebSocketException, ConnectionError):  # the server may say something of its own, in HTTP
        return True
    return True


def answer(link: websocket.WebSocket, number: int = 1) -> Any:
    """The answer to an event."""
    while True:
        frame = link.recv()
        assert frame != ""
        if isinstance(frame, str) and frame.startswith(f"43{number}"):
            return json.loads(frame.removeprefix(f"43{number}"))[0]


DEEP = "[" * 5000
NONSENSE = [
    "", "x", "0", "4", "7", "9", "b", "bAAAA", "b!!!", "\u0661", '4\u0662["poll"]', "42", "42{", "42[", "42[]", "42[5]",
    "42[null]", "42[[1]]", "42[{}]", '42{"a":1}', '42"poll"', '42["poll"', "42" + "9" * 200 + '["poll"]',
    "43", '43{"a":1}', "44", "47", "48", "45", "450-[]", '450-["call"]', "451-", "451-[]", "451-[1]", '45-1["call"]',
    '4599999999999-["call"]', '4517-["call"]', '451-["call",{"_placeholder":true,"num":1}]',
    '451-["call",{"_placeholder":true,"num":-1}]', '451-["call",{"_placeholder":true,"num":"0"}]',
    '451-["call",{"_placeholder":true}]', '461-[1]', '421["connect",{}]', '421["disconnect"]', '421["disconnect",1,2]',
    '421["*"]', '421["*",1]', "42" + DEEP, "40" + DEEP, "2" + DEEP, "4" + DEEP, '421["call",' + DEEP + "]" * 5001,
    '421["call",' + "[" * 300 + "]" * 301, '421["call",' + "1" * 5000 + "]", b"", b"\x00\xff", b'42["poll"]',
]  # fmt: skip


@pytest.mark.parametrize("frame", NONSENSE)
def test_frame_that_makes_no_sense_ends_its_connection(lab: LiveLab, port: int, frame: str | bytes) -> None:
    with linked(lab, port) as link:
        link.send(frame, websocket.ABNF.OPCODE_BINARY if isinstance(frame, bytes) else websocket.ABNF.OPCODE_TEXT)
        assert ends(link)


def test_text_where_bytes_were_announced_ends_the_connection(lab: LiveLab, port: int) -> None:
    with linked(lab, port) as link:
        link.send('451-["call",{"_placeholder":true,"num":0}]')
        link.send('421["poll"]')
        assert ends(link)


def test_bytes_that_were_not_announced_end_the_connection(lab: LiveLab, port: int) -> None:
    with linked(lab, port) as link:
        link.send('451-1["call",{"args":[{"_placeholder":true,"num":0}]}]')
        link.send_binary(b"\xff")
        assert answer(link)["error"]["key"] == "device"
        link.send_binary(b"\xff")
        assert ends(link)


@pytest.mark.parametrize(
    "frame", ["3", "2", "6", "2probe", '42["poll"]', '42/x,["poll"]', "430[]", "439[1]", "41/x", "40/x"]
)
def test_frame_that_makes_sense_ends_nothing(lab: LiveLab, port: int, frame: str) -> None:
    with linked(lab, port) as link:
        link.send(frame)
        link.send('421["poll"]')
        assert answer(link)["ok"]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(st.text(max_size=12).map(lambda text: "42" + text) | st.text(max_size=12) | st.binary(max_size=12))
)
def test_any_frames_hurt_nobody(lab: LiveLab, port: int, frames: list[str | bytes]) -> None:
    with linked(lab, port) as link, contextlib.suppress(ConnectionError, websocket.WebSocketException):
        for frame in frames:
            link.send(frame, websocket.ABNF.OPCODE_BINARY if isinstance(frame, bytes) else websocket.ABNF.OPCODE_TEXT)


def raw(code: int, data: bytes, *, first: int = 0x80, length: int | None = None) -> bytes:
    """A frame of WebSocket itself, masked with zeros."""
    size = len(data) if length is None else length
    head = struct.pack("!BB", first | code, 0x80 | (size if size < 126 else 127))
    return head + (struct.pack("!Q", size) if size >= 126 else b"") + b"\x00" * 4 + data


@pytest.mark.parametrize("frame", ["40", "5", '421["poll"]', "41", "3"])
def test_what_comes_after_a_good_bye_is_not_dealt_with(lab: LiveLab, port: int, frame: str) -> None:
    """The library has forgotten who says it, and would keep for ever what it makes of that."""
    assert lab.weblab._sockets is not None
    manager = lab.weblab._sockets._server.manager
    with linked(lab, port) as link:
        link.sock.sendall(raw(1, b"1") + raw(1, frame.encode()))
        assert ends(link)
    wait_until(lambda: len(manager.rooms["/"][None]) == 1, "the end of all but the page that is in all the time")
    assert not manager.pending_connect.get("/")


@pytest.mark.parametrize(
    "data",
    [raw(1, b"2", first=0xF0), raw(3, b"x"), raw(15, b"x"), b"\x81\x012", raw(0, b"x"), raw(1, b"\xff\xfe"),
     raw(9, b"x" * 200), raw(9, b"x", first=0), raw(1, b"4", first=0) + raw(2, b"x"), raw(8, b"x"), raw(8, b"\x00\x01"),
     raw(8, b"\x03\xe8\xff"), raw(1, b"", length=2**63), raw(1, b"x" * 1_100_000), raw(1, b"x" * 600_000, first=0) * 2,
     b"GET / HTTP/1.1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_frame_at_all_ends_its_connection(lab: LiveLab, port: int, data: bytes) -> None:
    with linked(lab, port) as link:
        link.sock.sendall(data)
        assert ends(link)


# -- events


@pytest.mark.parametrize("name", ["", "nothing", "Call", "call ", "message", "x" * 1000, "\x00", LONE, "__class__"])
def test_event_that_there_is_not_is_answered(page: Browser, name: str) -> None:
    error = page.ask(name, {"device": "toy"})["error"]
    assert (error["kind"], error["key"]) == ("BadRequestError", "event")
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    ("event", "value", "key"),
    [("subscribe", None, "event"), ("subscribe", {"feed": "f"}, "device"),
     ("ack", {"device": "bench-1/toy", "feed": 1}, "feed"), ("ack", {"device": "bench-1/toy", "feed": "f"}, "cursor"),
     ("call", {**CALL, "command": 1}, "command"),
     ("call", {**CALL, "args": 1}, "args"), ("call", {**CALL, "kwargs": {"a": LONE}}, "kwargs")],
)  # fmt: skip
def test_error_has_the_key(page: Browser, event: str, value: Any, key: str) -> None:
    answer = page.ask(event, value)
    assert (answer["ok"], answer["error"]["key"], key in answer["error"]["message"]) == (False, key, True)


# -- a cookie that the lab has signed and that is no text


@pytest.mark.parametrize("path", [*PAGES, "/weblab/sessions/api", "/nothing"])
def test_cookie_that_is_no_unicode_is_nobodys(lab: LiveLab, path: str) -> None:
    session = cookie(lab.app, {"weblab_session_id": LONE})
    assert ask(lab, path, HTTP_COOKIE=session).status_code in (200, 400, 403, 404)


def test_socket_with_a_cookie_that_is_no_unicode_is_nobodys(lab: LiveLab, port: int) -> None:
    browser = Browser(f"http://127.0.0.1:{port}", cookie(lab.app, {"weblab_session_id": LONE}))
    browser.connect(wait=False)
    link = browser.client.eio.ws.sock
    assert browser.refusals.get(timeout=30)["data"] == {"reason": "unknown"}
    browser.close()
    if link is not None:
        link.close()
