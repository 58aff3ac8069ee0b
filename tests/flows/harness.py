"""A whole lab in real processes: store, boards behind real ptys, web and loop, an RLMS and students. For flow tests.

Every flow runs in both layouts: `services` (a web process that only serves, and a loop) and `threads` (one web process
that does everything).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import engineio
import socketio

from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.store.reservations import BenchView, Reservations
from labkit.store.sessions import Sessions
from labkit.testing.board import BoardProcess
from labkit.testing.store import StoreServer

ROOT = Path(__file__).parents[2]
LAYOUTS = ("services", "threads")


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
        self, name: str = "ada", *, length: float = 60.0, client: dict[str, Any] | None = None
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


class EngineInOrder(engineio.Client):  # type: ignore[misc]
    """Handles messages in the order of their coming, and goes without ceremony, as a browser does that is closed.

    By itself the client gives each message a thread of its own, and mixes up the frames of those with bytes; and when
    it goes it waits 3 s for a good-bye that may have been said already.
    """

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        return super()._trigger_event(event, *args, **{**options, "run_async": False})

    def disconnect(self, abort: bool = False, reason: str | None = None) -> None:
        self.cut()
        if threading.current_thread() is not self.read_loop_task:  # that one ends by itself now
            super().disconnect(reason=reason)

    def cut(self) -> None:
        """Break the connection."""
        if self.ws is not None and self.ws.sock is not None:
            self.ws.connected = False
            with contextlib.suppress(OSError):
                self.ws.sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Disconnect, and wait until nothing of the connection is left."""
        self.disconnect()
        self.wait()
        if self.ws is not None:
            self.ws.shutdown()


class ClientInOrder(socketio.Client):  # type: ignore[misc]
    def _engineio_client_class(self) -> type[engineio.Client]:
        return EngineInOrder


class Page:
    """The student's page as its socket sees it. Use it as a context."""

    def __init__(self, student: Student):
        cookies = "; ".join(f"{name}={value}" for name, value in student.cookies.items())
        self.received: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self.refusals: list[Any] = []
        self.client = ClientInOrder(reconnection=False)
        self.client.on("feed", self.received.append)
        self.client.on("session", self.sessions.append)
        self.client.on("device", self.devices.append)
        self.client.on("connect_error", self.refusals.append)
        self._where = (f"http://127.0.0.1:{student.port}", {"Cookie": cookies})

    def __enter__(self) -> Page:
        url, headers = self._where
        try:
            self.client.connect(
                url, headers=headers, transports=["websocket"], socketio_path="/labkit/socket.io", wait_timeout=10
            )
        except BaseException:
            self.client.eio.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.eio.end()

    def ask(self, event: str, data: Any = None) -> dict[str, Any]:
        return dict(self.client.call(event, data or {}, timeout=30))

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


class FlowLab:
    """A lab in a folder: boards, declarations, and the processes that a test starts and kills."""

    def __init__(
        self, folder: Path, store: StoreServer, port: int, *, benches: int = 1, settings: dict[str, Any] | None = None
    ):
        self.folder = folder
        self.store_server = store
        self.port = port
        self.settings = {"WEBLAB_REDIS_URL": store.url, "WEBLAB_TIMEOUT": 60, **(settings or {})}
        self.boards: list[BoardProcess] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "devices").mkdir()
        for number in range(1, benches + 1):
            self._make_bench(f"bench-{number}")

    def _make_bench(self, name: str) -> None:
        path = self.folder / f"tty-{name}"
        board = BoardProcess.start(path, record=self.folder / f"record-{name}", control=self.folder / f"control-{name}")
        self.boards.append(board)
        declaration = (
            f'[console]\ndriver = "serial"\nport = "{path}"\nsafe = {{ send = "\\u0003halt\\r", expect = "off" }}\n'
        )
        (self.folder / "devices" / f"{name}.toml").write_text(declaration)

    # -- processes

    def start_process(self, arguments: Sequence[str], *, name: str = "", **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process of the lab. name: it pauses at steps for which there is a file `pause-<step>-<name>`."""
        environment = {
            **os.environ, "FLOW_FOLDER": str(self.folder), "FLOW_SETTINGS": json.dumps({**self.settings, **settings}),
            "PYTHONPATH": str(ROOT), **({"FLOW_NAME": name} if name else {}),
        }  # fmt: skip
        log = open(self.folder / f"process-{len(self.processes)}.log", "wb")  # noqa: SIM115
        with log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log
            )  # fmt: skip
        self.processes.append(process)
        return process

    def loop(self, *, name: str = "", **settings: Any) -> subprocess.Popen[bytes]:
        """Start `labkit loop`."""
        return self.start_process(
            ["-m", "labkit.cli", "--app", "tests.flows.lab_app:app", "loop"], name=name, **settings
        )

    def web(self, *, port: int | None = None, name: str = "") -> subprocess.Popen[bytes]:
        """Start a web process that only serves."""
        bind = f"127.0.0.1:{port or self.port}"
        gunicorn = [
            "-m",
            "gunicorn",
            "-k",
            "gthread",
            "--threads",
            "60",
            "--no-control-socket",
            "--graceful-timeout",
            "1",
        ]
        arguments = [*gunicorn, "-b", bind, "tests.flows.lab_app:app"]
        process = self.start_process(arguments, name=name, WEBLAB_NO_THREAD=True)
        self._wait_for_web(port or self.port, process)
        return process

    def threaded_web(self, *, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a web process that does everything in threads of its own."""
        number = port or self.port
        process = self.start_process(["-m", "flask", "--app", "tests.flows.lab_app:app", "run", "--port", str(number)])
        self._wait_for_web(number, process)
        return process

    def _wait_for_web(self, port: int, process: subprocess.Popen[bytes]) -> None:
        def answers() -> bool:
            assert process.poll() is None, self.logs()
            with contextlib.suppress(OSError):
                return Rlms(port).ask("GET", "/weblab/sessions/api")[0] == 200
            return False

        eventually(answers, what="the web process")

    def start(self, layout: str) -> FlowLab:
        """Start everything in one layout, and wait until all benches are free."""
        if layout == "services":
            self.loop()
            self.web()
        else:
            self.threaded_web()
        self.wait_free()
        return self

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        process.send_signal(number)
        process.wait(30)

    def labkit(self, *arguments: str) -> str:
        """Run a command of `labkit` to its end, in the lab's folder; returns what it printed."""
        environment = {
            **os.environ, "FLOW_FOLDER": str(self.folder), "FLOW_SETTINGS": json.dumps(self.settings),
            "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TZ": "UTC",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli", "--app", "tests.flows.lab_app:app", *arguments], cwd=self.folder,
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # -- what a test looks at

    @property
    def store(self) -> Store:
        return Store(self.store_server.url, "lab")

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.store)

    @property
    def process_table(self) -> Processes:
        return Processes(self.store)

    @property
    def rlms(self) -> Rlms:
        return Rlms(self.port)

    @property
    def reservations(self) -> Reservations:
        return Reservations(self.store)

    def benches(self) -> list[BenchView]:
        return self.reservations.benches()

    def is_free(self, bench: str) -> bool:
        return any(
            view.name == bench and view.host and all(d.hold == "none" and d.condition == "ok" for d in view.devices)
            for view in self.benches()
        )

    def wait_free(self, *benches: str, seconds: float = 40.0) -> None:
        names = benches or tuple(path.stem for path in (self.folder / "devices").glob("*.toml"))
        eventually(lambda: all(self.is_free(name) for name in names), seconds, f"free benches {names}")

    def wait_state(self, session_id: str, state: str, seconds: float = 40.0) -> None:
        eventually(lambda: self.sessions.touch(session_id, poll=False).state == state, seconds, f"session {state}")

    def acts(self, what: str = "") -> list[dict[str, Any]]:
        """What the lab's own functions did, in order."""
        path = self.folder / "acts.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [act for act in map(json.loads, lines) if what in ("", act["what"])]

    def tell(self, name: str) -> None:
        """Let a hook that waits for this file go on."""
        (self.folder / name).touch()

    def logs(self) -> str:
        logs = sorted(self.folder.glob("process-*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-6000:]}" for path in logs)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for board in self.boards:
            board.stop()


@contextlib.contextmanager
def flow_lab(folder: Path, port: int, **options: Any) -> Iterator[FlowLab]:
    """A lab with a store of its own. Prints the processes' logs at the end; pytest shows them where a test failed."""
    with StoreServer(append_only=options.pop("append_only", False)) as server:
        lab = FlowLab(folder, server, port, **options)
        try:
            yield lab
        finally:
            lab.close()
            print(lab.logs())
