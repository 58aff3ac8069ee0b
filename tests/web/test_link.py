"""One WebSocket of a page, over a real connection: nothing compressed, nothing lost, nobody held up."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import simple_websocket
import websocket

from labkit.web.link import Link, time_value
from tests.left_behind import nothing_left_behind

GUARD = 30.0
MOST = 100_000
ROOM = 65_536


class Pair:
    """A link and the browser at its other end."""

    def __init__(self, patience: float = GUARD, *, secure: bool = False, more: Any = None, **headers: str) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)  # by itself a kernel finds room for any amount
        self.browser = socket.create_connection(listening.getsockname(), timeout=GUARD)
        self.accepted, _ = listening.accept()
        listening.close()
        if secure:
            self.browser, self.accepted = encrypted(self.browser, self.accepted)
        key = base64.b64encode(os.urandom(16)).decode()
        environ: dict[str, Any] = {
            "HTTP_HOST": "lab", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade",
            "HTTP_SEC_WEBSOCKET_KEY": key, "HTTP_SEC_WEBSOCKET_VERSION": "13", "gunicorn.socket": self.accepted,
            **headers,
        }  # fmt: skip
        self.link = Link(environ, MOST, patience, **(more or {}))
        self.answer = self._head()
        self.page = websocket.WebSocket()
        self.page.sock = self.browser
        self.page.connected = True

    def _head(self) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.browser.recv(1)
        return head.decode()

    def close(self) -> None:
        self.browser.close()
        self.accepted.close()


def encrypted(browser: socket.socket, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection under TLS, without certificates: who is there is known."""
    ends = []
    for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        context = ssl.SSLContext(kind)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
        ends.append(context)
    shaking = threading.Thread(target=lambda: ends.append(ends[1].wrap_socket(server, server_side=True)))
    shaking.start()
    page = ends[0].wrap_socket(browser)
    shaking.join(GUARD)
    return page, ends[2]


def receive_all(link: Link) -> None:
    while True:
        link.receive()


def send_on_and_on(link: Link, size: int = 1_000_000) -> None:
    for _ in range(1000):
        link.send(bytes(size))


@contextlib.contextmanager
def read_a_little(browser: socket.socket, size: int = 20_000) -> Iterator[None]:
    """Have a browser take a little now and then."""
    over = threading.Event()

    def read() -> None:
        with contextlib.suppress(OSError):  # it was cut off
            while not over.wait(0.05):
                browser.recv(size)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield
    finally:
        over.set()
        reading.join(GUARD)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_nothing_is_compressed_though_browsers_offer_it() -> None:
    pair = Pair(HTTP_SEC_WEBSOCKET_EXTENSIONS="permessage-deflate; client_max_window_bits")
    assert pair.answer.startswith("HTTP/1.1 101 ")
    assert "extensions" not in pair.answer.lower()
    pair.link.send("a" * 1000)
    assert pair.page.recv_frame().rsv1 == 0
    pair.close()


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 3_000_000])
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_a_message_of_any_length_goes_out_as_one_whole_frame(pair: Pair, length: int, kind: str) -> None:
    message = "ä" * (length // 2) if kind == "text" else os.urandom(length)
    sending = threading.Thread(target=pair.link.send, args=(message,))
    sending.start()
    frame = pair.page.recv_frame()
    sending.join(GUARD)
    assert (frame.fin, frame.opcode) == (1, 1 if kind == "text" else 2)
    assert frame.data == (message.encode() if isinstance(message, str) else message)


def test_an_encrypted_connection_carries_messages_both_ways() -> None:
    pair = Pair(secure=True)
    message = os.urandom(500_000)
    sending = threading.Thread(target=pair.link.send, args=(message,))
    sending.start()
    assert pair.page.recv_frame().data == message
    sending.join(GUARD)
    pair.page.send("thanks")
    assert pair.link.receive() == "thanks"
    pair.close()


def test_messages_that_come_are_received_in_order_by_the_thread_that_asks(pair: Pair) -> None:
    with nothing_left_behind():
        for number in range(50):
            pair.page.send(f"message {number}")
        pair.page.send_binary(b"last")
        assert [pair.link.receive() for _ in range(50)] == [f"message {number}" for number in range(50)]
        assert pair.link.receive() == b"last"


def test_a_message_in_pieces_is_one(pair: Pair) -> None:
    pair.page.send_frame(websocket.ABNF.create_frame("one ", websocket.ABNF.OPCODE_TEXT, 0))
    pair.page.send_frame(websocket.ABNF.create_frame("two", websocket.ABNF.OPCODE_CONT, 1))
    assert pair.link.receive() == "one two"


def test_what_came_before_the_end_is_received_and_then_the_end_is_said(pair: Pair) -> None:
    pair.page.send("last words")
    pair.page.send_close()
    assert pair.link.receive() == "last words"
    for _ in range(2):
        with pytest.raises(simple_websocket.ConnectionClosed):
            pair.link.receive()
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.send("too late")


def test_after_the_link_was_closed_here_it_stays_closed_whatever_comes(pair: Pair) -> None:
    pair.link.close()
    assert pair.page.recv_frame().opcode == websocket.ABNF.OPCODE_CLOSE
    pair.page.send("on its way")
    with pytest.raises(simple_websocket.ConnectionClosed):
        receive_all(pair.link)
    assert not pair.link.connected


@pytest.mark.parametrize("last", [b"", b"\xff\xff\xff\xff", b"\x81\x05hello"])
def test_a_connection_that_breaks_or_talks_nonsense_is_over(pair: Pair, last: bytes) -> None:
    pair.browser.sendall(last)
    pair.browser.shutdown(socket.SHUT_WR)
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()


def test_a_message_that_is_too_long_ends_the_connection(pair: Pair) -> None:
    pair.page.send("a" * (MOST + 1))
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()


@pytest.mark.parametrize("secure", [False, True])
def test_a_browser_that_gives_no_sign_any_more_has_gone(secure: bool) -> None:
    pair = Pair(patience=0.05, secure=secure)
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()
    with contextlib.suppress(ssl.SSLError):  # without a good-bye of TLS
        assert pair.browser.recv(1) == b""
    pair.close()


def test_who_sends_to_a_browser_that_stopped_reading_is_let_go_when_it_is_gone(pair: Pair) -> None:
    failed = threading.Event()

    def send() -> None:
        try:
            while True:
                pair.link.send(bytes(1_000_000))
        except (OSError, simple_websocket.ConnectionClosed):
            failed.set()

    sending = threading.Thread(target=send)
    sending.start()
    pair.browser.shutdown(socket.SHUT_WR)  # its other half stays open, full, and is never read
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()
    assert failed.wait(GUARD)
    sending.join(GUARD)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("trickles", [False, True])
def test_who_sends_to_a_browser_that_does_not_read_waits_only_so_long(trickles: bool, secure: bool) -> None:
    """Also where it takes a little now and then, and where nobody receives from it any more."""
    pair = Pair(patience=0.3, secure=secure)
    with (
        read_a_little(pair.browser) if trickles else contextlib.nullcontext(),
        pytest.raises((BlockingIOError, TimeoutError)),
    ):
        send_on_and_on(pair.link)
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()
    pair.close()


def test_all_that_is_left_when_the_link_is_to_end_has_the_time_of_one_message() -> None:
    """Else who takes a message now and then keeps its thread and its place for hours."""
    pair = Pair(patience=0.3, more={"leaving": lambda: True})
    pair.browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    pair.accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    # each message is soon taken, and whole: only all together they take too long
    with read_a_little(pair.browser, ROOM), pytest.raises((BlockingIOError, TimeoutError)):
        send_on_and_on(pair.link, 8_000)
    pair.close()


@pytest.mark.parametrize("goes_on", [False, True])
def test_frames_that_complete_no_message_are_paid_for(goes_on: bool) -> None:
    """A browser sends next to none of them; each costs the server as much as an event does."""
    counts: list[int] = []
    pair = Pair(more={"pay": lambda count: bool(counts.append(count)) or goes_on})
    kinds = websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG, websocket.ABNF.OPCODE_TEXT
    for kind in (*kinds, websocket.ABNF.OPCODE_CONT):
        pair.page.send_frame(websocket.ABNF.create_frame("", kind, int(kind in kinds[:2])))
    pair.page.send_frame(websocket.ABNF.create_frame("whole", websocket.ABNF.OPCODE_CONT, 1))
    pair.page.send("message")
    if goes_on:
        assert [pair.link.receive() for _ in range(2)] == ["whole", "message"]
        assert sum(counts) == 4
    else:
        with pytest.raises(simple_websocket.ConnectionClosed):
            receive_all(pair.link)
    pair.close()


@pytest.mark.parametrize("option", [socket.SO_RCVTIMEO, 66])
def test_kernel_takes_the_patience_also_where_a_small_machine_has_a_long_time(option: int) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, option, time_value(0.01, option))
        with pytest.raises(BlockingIOError):
            one.recv(1)


@pytest.mark.parametrize("secure", [False, True])
def test_a_browser_that_sends_on_and_on_does_not_wait_for_a_connection_that_was_ended(secure: bool) -> None:
    """Also where the server has read all that had come before it closed it, as Flask's own does."""
    pair, let_go = Pair(secure=secure), threading.Event()

    def send() -> None:
        try:
            pair.browser.sendall(b"x" * 50_000_000)
        except OSError:
            let_go.set()

    pair.browser.settimeout(None)
    pair.browser.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    sending = threading.Thread(target=send)
    sending.start()
    with pytest.raises(simple_websocket.ConnectionClosed):
        pair.link.receive()
    plain = socket.socket(fileno=os.dup(pair.accepted.fileno()))
    pair.accepted.close()
    with contextlib.suppress(OSError):  # a browser that was told by TLS resets it itself
        had = -1
        while had != (has := len(plain.recv(100_000_000, socket.MSG_PEEK | socket.MSG_DONTWAIT))):
            had = has  # until no more fits in
            let_go.wait(1.0)
        while plain.recv(1_000_000, socket.MSG_DONTWAIT):
            pass
    plain.close()
    assert let_go.wait(GUARD)
    sending.join()
    pair.close()
