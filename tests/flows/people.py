"""Who uses a lab, by HTTP and sockets as in life: the RLMS, students, and their pages without the pixels.

For the flow tests, and whoever else tests a lab in real processes.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import socketio.exceptions

from tests.client_in_order import ClientInOrder

CONNECT_SECONDS = 30
"""How long a page may take to connect; the limit only keeps a failing test from hanging."""


def eventually(check: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Wait until something is true, and return it; the limit only keeps a failing test from hanging."""
    until = time.monotonic() + seconds
    while True:
        found = check()
        if found or time.monotonic() > until:
            assert found, f"{what or check} did not come true within {seconds} s"
            return found
        time.sleep(0.02)


class Http:
    """One person's HTTP: keeps cookies, follows nothing."""

    def __init__(self, port: int, headers: dict[str, str] | None = None):
        self.port = port
        self.headers = headers or {}
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: Any = None, *, timeout: float = 60.0
    ) -> tuple[int, Any, dict[str, str]]:
        """Returns (status, JSON or text, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(self.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            content = answer.read()
            for header in answer.headers.get_all("Set-Cookie") or []:
                self.cookies.update({name: morsel.value for name, morsel in SimpleCookie(header).items()})
            kind = answer.headers.get_content_type()
        parsed = json.loads(content) if kind == "application/json" else content.decode()
        return answer.status, parsed, dict(answer.headers)


class Rlms(Http):
    """The outside system that sends users."""

    def __init__(self, port: int):
        super().__init__(port, {"Authorization": "Basic " + base64.b64encode(b"rlms:secret").decode()})

    def start(
        self, name: str = "ada", *, length: float = 600.0, client: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        body = {
            "client_initial_data": client or {},
            "server_initial_data": {"request.username": name, "priority.queue.slot.length": length},
            "back": "http://rlms.invalid/back",
        }
        return self.ask("POST", "/weblab/sessions/", body)[:2]

    def must_start(self, name: str = "ada", **options: Any) -> Student:
        status, answer = self.start(name, **options)
        assert status == 200, answer
        return Student(self.port, answer["session_id"], answer["url"])

    def start_in_the_end(self, name: str, **options: Any) -> Student:
        """Start a session, also where the first one is refused.

        With a small LABKIT_SAFE_AFTER a host on a busy machine may give its bench up for a moment."""

        def started() -> dict[str, Any] | None:
            status, answer = self.start(name, **options)
            assert status in (200, 503), answer
            return dict(answer) if status == 200 else None

        answer = eventually(started, what="a session")
        return Student(self.port, answer["session_id"], answer["url"])

    def status(self, session_id: str) -> float:
        status, answer, _ = self.ask("GET", f"/weblab/sessions/{session_id}/status")
        assert status == 200, answer
        return float(answer["should_finish"])

    def dispose(self, session_id: str) -> dict[str, Any]:
        status, answer, _ = self.ask("POST", f"/weblab/sessions/{session_id}", {"action": "delete"})
        assert status == 200, answer
        return dict(answer)


class Student(Http):
    """A student's browser, without the pixels."""

    def __init__(self, port: int, session_id: str, url: str):
        super().__init__(port)
        self.session_id = session_id
        self.url = url

    def enter(self) -> Student:
        """Follow the callback link."""
        status, _, _ = self.ask("GET", urlsplit(self.url).path)
        assert status == 302
        return self

    def socket(self) -> Page:
        return Page(self)


class Page:
    """The student's page as its socket sees it. Use it as a context."""

    def __init__(self, student: Student):
        cookies = "; ".join(f"{name}={value}" for name, value in student.cookies.items())
        self.received: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self.refusals: list[Any] = []
        self.client = ClientInOrder(reconnection=False, request_timeout=CONNECT_SECONDS)
        self.client.on("feed", self.received.append)
        self.client.on("session", self.sessions.append)
        self.client.on("device", self.devices.append)
        self.client.on("connect_error", self.refusals.append)
        self._where = (f"http://127.0.0.1:{student.port}", {"Cookie": cookies})

    def __enter__(self) -> Page:
        url, headers = self._where
        try:
            self.client.connect(
                url, headers=headers, transports=["websocket"], socketio_path="/labkit/socket.io",
                wait_timeout=CONNECT_SECONDS,
            )  # fmt: skip
        except BaseException:
            self.client.eio.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.eio.end()

    def ask(self, event: str, data: Any = None) -> dict[str, Any]:
        """Errors: `socketio.exceptions.TimeoutError` where the connection ends before the answer has come."""
        answers: list[Any] = []
        answered = threading.Event()
        self.client.emit(event, data or {}, callback=lambda answer: (answers.append(answer), answered.set()))
        until = time.monotonic() + 30
        while not answered.wait(0.05):
            if not self.client.connected or time.monotonic() > until:
                break
        if not answers:
            raise socketio.exceptions.TimeoutError
        return dict(answers[0])

    def subscribe(self, device: str, cursor: str | None = None) -> None:
        answer = self.ask("subscribe", {"device": device, "feed": "received", "cursor": cursor})
        assert answer["ok"], answer

    def write(self, device: str, data: bytes) -> dict[str, Any]:
        return self.ask("call", {"device": device, "command": "write", "args": [data], "kwargs": {}})

    def wait_bytes(self, expected: bytes = b"") -> bytes:
        """Wait until the page has got these bytes ('': any), and return all that it has."""
        eventually(lambda: self.received and expected in self.bytes(), what=f"{expected!r} on the page")
        return self.bytes()

    def bytes(self) -> bytes:
        """All bytes that the page has got."""
        return b"".join(entry["data"] for entry in list(self.received))

    @property
    def cursor(self) -> str | None:
        """Up to where the page has the feed, as a page that is reloaded knows it."""
        received = list(self.received)
        return str(received[-1]["cursor"]) if received else None

    def cut(self) -> None:
        """Break the connection as a network does: nobody says good-bye."""
        self.client.eio.cut()
        self.client.eio.wait()
