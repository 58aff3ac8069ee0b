"""What a page gets of a device's bytes: all of them, once, in order, over any break; and nobody else gets any."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from labkit_plugins.serial.firmware import Firmware
from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import Page, Student, eventually
from tests.flows.visit import Visit, dispose, visit
from tests.toy import GUARD

CONSOLE = "bench-1/console"
LINES = [f"echo line-{number:03} {'.' * 40}\r".encode() for number in range(120)]


def said(lines: list[bytes]) -> bytes:
    """What the board sends when it gets these lines."""
    firmware = Firmware(lambda: 0.0)
    return b"".join(map(firmware.feed, lines))


class Screen:
    """What a browser has put together from all its pages, one after another."""

    def __init__(self, student: Student):
        self.student = student
        self.entries: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def page(self) -> Iterator[Page]:
        """Open the page again, where it was; what it got is the screen's at the end of the block."""
        with self.student.socket() as page:
            page.subscribe(CONSOLE, self.cursor)
            yield page
        self.entries += page.received

    @property
    def cursor(self) -> str | None:
        return str(self.entries[-1]["cursor"]) if self.entries else None

    @property
    def bytes(self) -> bytes:
        return b"".join(entry["data"] for entry in self.entries)

    @property
    def lost(self) -> set[int]:
        return {entry["lost"] for entry in self.entries}


def write_all(student: Student, lines: list[bytes], go_on: threading.Semaphore | None = None) -> None:
    """Write lines. go_on: what is waited for before every twentieth line."""
    for number, line in enumerate(lines):
        assert go_on is None or number % 20 or go_on.acquire(timeout=GUARD)
        status, _, _ = student.ask("POST", "/write", line)
        assert status == 200


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_page_that_is_broken_off_again_and_again_has_every_byte_once_and_in_order(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab(settings={"LABKIT_MOST_SOCKETS": 0}).start(layout)  # 0: they may come and go as they like
    student = lab.rlms.must_start().enter()
    screen, whole = Screen(student), said(LINES)
    go_on = threading.Semaphore(1)
    writing = threading.Thread(target=write_all, args=(student, LINES, go_on))
    writing.start()
    breaks = 0
    while not screen.bytes.endswith(whole[-100:]):  # nothing comes after that, also where the writer is not done yet
        assert breaks < 1000
        with screen.page() as page:
            page.wait_bytes()
            if breaks % 2:
                page.cut()
        breaks += 1
        go_on.release()
    writing.join()
    assert breaks > 3
    assert screen.bytes.endswith(whole)
    assert b"line" not in screen.bytes.removesuffix(whole)
    assert screen.lost == {0}
    with student.socket() as reloaded:  # a new page, which has nothing yet
        reloaded.subscribe(CONSOLE)
        eventually(lambda: len(reloaded.bytes()) >= len(screen.bytes))
        assert reloaded.bytes() == screen.bytes
        assert reloaded.cursor == screen.cursor
    assert lab.boards[0].received().endswith(b"".join(LINES))


def test_a_page_goes_on_where_it_was_with_another_web_process(
    make_lab: Callable[..., FlowLab], second_port: int
) -> None:
    """kill -9 of the web process that the page is connected to: no place in a feed is in its memory."""
    lab = make_lab()
    lab.loop()
    first = lab.web()
    lab.web(port=second_port)
    lab.wait_free()
    student = lab.rlms.must_start().enter()
    screen, whole = Screen(student), said(LINES)
    with screen.page() as page:
        write_all(student, LINES[:20])
        page.wait_bytes()
        kill_with_children(lab, first.pid)
        page.client.eio.wait()  # the connection has broken
    lab.kill(first)
    student.port = second_port
    write_all(student, LINES[20:40])
    with screen.page() as page:
        write_all(student, LINES[40:])
        eventually(lambda: (screen.bytes + page.bytes()).endswith(whole), what="all bytes")
    assert screen.bytes.endswith(whole)
    assert screen.lost == {0}


def kill_with_children(lab: FlowLab, pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_old_and_new_session_see_nothing_of_each_other(make_lab: Callable[..., FlowLab], layout: str) -> None:
    lab = make_lab().start(layout)
    with visit(lab, "ada", client={"dispose_write": "echo for-the-lab-alone\r"}) as ada:
        assert ada.page is not None
        dispose(lab, ada.session_id)
        lab.wait_free()
        with visit(lab, "ben") as ben:
            ada.assert_out("disposed")
            for cursor in (None, ada.page.cursor, "1:0"):
                with ben.student.socket() as page:
                    page.subscribe(CONSOLE, cursor)
                    assert ada.secret.encode() not in page.wait_bytes(ben.secret.encode())
            assert ben.secret.encode() not in ada.seen
            assert b"for-the-lab-alone" not in ada.seen  # what on_dispose does is not shown
        received = lab.boards[0].received()
        assert b"for-the-lab-alone" in received[: received.index(ben.secret.encode())]
    assert ada.late.encode() not in received


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_session_s_own_browser_gets_anything_done(make_lab: Callable[..., FlowLab], layout: str) -> None:
    lab = make_lab(benches=2).start(layout)
    with visit(lab, "gone") as gone:
        dispose(lab, gone.session_id)
        lab.wait_free()
    with visit(lab, "ada") as ada, visit(lab, "ben") as ben:
        assert ada.bench != ben.bench
        for cookies in ({}, {"session": "made-up"}, gone.student.cookies):
            with knocking(lab, cookies) as knock:
                assert knock.asks_in() == "refused"
                knock.tries(ada.console)
                knock.waits_until_shut()
            with knocking(lab, cookies) as knock:  # bytes before coming in end the connection
                knock.tries(ada.console)
                assert knock.asks_in() in ("refused", "shut")
                knock.waits_until_shut()
        with (
            pytest.raises(websocket.WebSocketBadStatusException),
            knocking(lab, ada.student.cookies, "http://evil.invalid"),
        ):
            pytest.fail("another site's page got in with the student's cookie")
        assert_keeps_out(ben, ada.console)
        assert lab.rlms.status(ada.session_id) > 0  # nobody has logged her out
        with knocking(lab, ada.student.cookies) as knock:  # the same way in, for whom it is
            assert knock.asks_in() == "let in"
            knock.writes(ada.console, b"echo her-own\r")
            received = ada.board.wait_received(b"her-own\r")
        assert ada.secret.encode() not in ben.seen
        assert ben.secret.encode() not in ada.seen
    assert b"knocked" not in received
    assert b"knocked" not in ben.board.received()


def assert_keeps_out(visitor: Visit, console: str) -> None:
    """A student who is in gets nothing of another one's bench."""
    assert visitor.page is not None
    for event, data in (
        ("call", {"device": console, "command": "write", "args": [b"echo knocked\r"], "kwargs": {}}),
        ("subscribe", {"device": console, "feed": "received", "cursor": None}),
    ):
        answer = visitor.page.ask(event, data)
        assert not answer["ok"]
        assert answer["error"]["kind"] == "UnknownDeviceError"


class Knock:
    """Somebody who speaks to the socket by hand, and doesn't wait to be asked in."""

    def __init__(self, raw: websocket.WebSocket):
        self._raw = raw

    def tries(self, console: str) -> None:
        """Whatever a page may ask for, as far as the connection goes on."""
        with contextlib.suppress(ConnectionError):
            self._says("42", "subscribe", {"device": console, "feed": "received", "cursor": None})
            self._says("42", "poll", {})
            self._says("42", "logout", {})
            self.writes(console, b"echo knocked\r")

    def writes(self, console: str, line: bytes) -> None:
        data = {"device": console, "command": "write", "args": [{"_placeholder": True, "num": 0}], "kwargs": {}}
        self._says("451-", "call", data)
        self._raw.send_binary(line)

    def _says(self, kind: str, event: str, data: dict[str, Any]) -> None:
        self._raw.send(kind + json.dumps([event, data]))

    def asks_in(self) -> str:
        """Connect to the namespace, as every page begins. What was said before it is dealt with by then."""
        with contextlib.suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
            self._raw.send("40")
            while answer := str(self._raw.recv()):
                if answer.startswith("40"):
                    return "let in"
                if answer.startswith("44"):
                    return "refused"
                assert answer.startswith(("0", "2", '42["session"')), answer  # its page keeps an event that comes early
        return "shut"

    def waits_until_shut(self) -> None:
        with contextlib.suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
            while answer := self._raw.recv():
                assert not str(answer).startswith(("42", "43", "45", "46")), answer


@contextlib.contextmanager
def knocking(lab: FlowLab, cookies: dict[str, str], origin: str | None = None) -> Iterator[Knock]:
    raw = websocket.create_connection(
        f"ws://127.0.0.1:{lab.port}/labkit/socket.io/?EIO=4&transport=websocket",
        cookie="; ".join(f"{name}={value}" for name, value in cookies.items()),
        origin=origin or f"http://127.0.0.1:{lab.port}",
        timeout=60,
    )
    try:
        yield Knock(raw)
    finally:
        raw.shutdown()  # type: ignore[no-untyped-call]
