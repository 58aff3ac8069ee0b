"""A web process with labkit's sockets on a real store, and browsers that are real Socket.IO clients. For tests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import flask
import pytest
from werkzeug.serving import make_server

from labkit.errors import DeviceBusyError, StoreUnavailableError
from labkit.store.sessions import SessionRecord
from labkit.web.relay import Relay
from labkit.web.sockets import LabSockets
from tests.client_in_order import ClientInOrder
from tests.store.feed_bench import GUARD, FeedBench
from tests.web.served import cookie


class SocketLab:
    """An app with sockets, served on a port of its own. Use it with `with`."""

    def __init__(
        self, bench: FeedBench, *, before: Callable[[flask.Flask], Any] = id, after: Callable[[flask.Flask], Any] = id
    ):
        self.bench = bench
        self.calls: list[tuple[Any, ...]] = []
        self.result: Any = None
        self.hung: dict[str, threading.Event] = {}
        """Devices whose calls wait until the event is set."""
        self.broken: Exception | None = None
        self.taken_for = ""
        self.guarded = 0
        self.app = flask.Flask("lab")
        self.app.secret_key = "not a secret"
        before(self.app)
        self.sockets = LabSockets(
            self.app, guard=self._guard, call=self._call, logout=self._log_out,
            make_relay=lambda send, drop: Relay(bench.feeds, bench.sessions, send, drop),
            sort=lambda device, feed: "frames" if feed == "frames" else "bytes",
        )  # fmt: skip
        after(self.app)
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._browsers: list[Browser] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def _guard(self) -> SessionRecord | None:
        self.guarded += 1
        if self.broken is not None:
            raise self.broken
        session_id = self.taken_for or flask.session.get("id")
        return self.bench.sessions.touch(session_id, poll=True) if session_id else None

    def _call(self, record: SessionRecord, device: str, command: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        self.calls.append((record.session_id, device, command, args, kwargs))
        if device in self.hung:
            assert self.hung[device].wait(GUARD)
        if command == "busy":
            raise DeviceBusyError("Device 'bench-1/console' is busy.", device=device)
        if command == "crash":
            raise ZeroDivisionError("nobody foresaw this")
        return self.result

    def _log_out(self, record: SessionRecord) -> None:
        self.bench.sessions.exit(record.session_id)

    def cookie(self, session_id: str) -> str:
        return cookie(self.app, {"id": session_id})

    def browser(self, session_id: str = "") -> Browser:
        """A browser with the cookie of a session, not connected yet."""
        browser = Browser(self.url, self.cookie(session_id) if session_id else "")
        self._browsers.append(browser)
        return browser

    def enter(self, session_id: str) -> Browser:
        """A browser that is in."""
        browser = self.browser(session_id)
        browser.connect()
        return browser

    def __enter__(self) -> SocketLab:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for browser in self._browsers:
            browser.close()
        self.sockets.close()
        self._server.shutdown()
        self._thread.join(GUARD)
        self._server.server_close()


class Browser:
    """One page's socket: what it was told, by event."""

    def __init__(self, url: str, cookie: str, path: str = "labkit/socket.io"):
        self._url = url
        self._path = path
        self._headers = {"Cookie": cookie} if cookie else {}
        self.client = ClientInOrder(reconnection=False, request_timeout=GUARD)  # by itself it gives 5 s for the opening
        self.refusals: queue.Queue[Any] = queue.Queue()
        self.gone = threading.Event()
        self._told: list[tuple[str, Any]] = []
        self.client.on("*", lambda event, *data: self._told.append((event, data[0] if data else None)))
        self.client.on("connect_error", self.refusals.put)
        self.client.on("disconnect", lambda *_: self.gone.set())

    def connect(self, *, wait: bool = True) -> None:
        self.client.connect(
            self._url, headers=self._headers, transports=["websocket"], socketio_path=self._path, wait=wait,
            wait_timeout=int(GUARD),
        )  # fmt: skip

    def refusal(self) -> Any:
        """Try to get in; returns what the page is told."""
        self.connect(wait=False)
        return self.refusals.get(timeout=GUARD)

    def ask(self, event: str, *values: Any) -> dict[str, Any]:
        """Send an event and wait for its answer."""
        answer: dict[str, Any] = self.client.call(event, values or None, timeout=int(GUARD))
        return answer

    @property
    def linked(self) -> bool:
        """Whether the connection below is open, whether it was let in or not."""
        return bool(self.client.eio.state == "connected")

    def told(self, event: str) -> list[Any]:
        return [data for name, data in list(self._told) if name == event]

    def bytes(self) -> bytes:
        return b"".join(message["data"] for message in self.told("feed"))

    def close(self) -> None:
        """Go as a closed tab does, without a word."""
        self.client.eio.end()


AWAY = StoreUnavailableError("The store does not answer.")


@pytest.fixture
def lab(bench: FeedBench) -> Iterator[SocketLab]:
    """For the tests of a module that imports it, and `bench` of `tests.store.feed_bench`."""
    with SocketLab(bench) as lab:
        yield lab
