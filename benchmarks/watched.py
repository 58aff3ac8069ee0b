"""A whole lab in real processes, whose pages are watched: store, `labkit loop`, `labkit web`. Used by the measures of
serial ports, cameras and browsers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.programs import ROOT, clean_environment
from benchmarks.stores import free_port, store

PATIENCE = 40.0
_LAB = "benchmarks.peers.watched_lab.lab:app"


class WatchedLab:
    """The processes of one lab. ports: of its web processes, in the order of their start."""

    def __init__(self, folder: Path, url: str):
        self._folder = folder
        self._environment = clean_environment(
            {"BENCH_LAB_FOLDER": str(folder), "STORE_URL": url, "PYTHONPATH": str(ROOT)}
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []

    def declare(self, bench: str, text: str) -> None:
        """Write the declaration of a bench; before `loop`."""
        (self._folder / "devices" / f"{bench}.toml").write_text(text)

    def loop(self) -> int:
        """Start `labkit loop`. Returns its process id."""
        return self._start("loop").pid

    def web(self, *arguments: str) -> int:
        """Start one more web process, as `labkit web` runs it. Returns the process id of what serves."""
        port = free_port()
        master = self._start("web", "--port", str(port), "--quiet", *arguments)
        waited_for(lambda: _answers(port), "the web process", self.said)
        self.ports.append(port)
        (worker,) = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
        return int(worker)

    def enter(self) -> str:
        """Start a session, as soon as there is a bench for it, and enter it. Returns its page's cookie."""
        given: dict[str, Any] = {}

        def started() -> bool:
            status, answer = ask(self.ports[0], "POST", "/weblab/sessions/", _NEW, _RLMS)[:2]
            given.update(json.loads(answer) if status == 200 else {})
            return status == 200

        waited_for(started, "a session", self.said)
        headers = ask(self.ports[0], "GET", urlsplit(given["url"]).path)[2]
        cookies = SimpleCookie("; ".join(headers.get_all("Set-Cookie") or []))
        return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())

    def said(self) -> str:
        """The end of what its processes have written."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self._folder.glob("*.log")))

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self._folder / f"{len(self._processes)}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "labkit.cli", "--app", _LAB, *arguments], cwd=self._folder,
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End all processes, the web part first."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def watched_lab(*, unix: bool = False) -> Iterator[WatchedLab]:
    """A lab without benches and processes yet, on a store of its own, over TCP or a Unix socket."""
    with store() as bench_store, tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        (Path(folder) / "devices").mkdir()
        lab = WatchedLab(Path(folder), bench_store.unix if unix else bench_store.tcp)
        try:
            yield lab
        finally:
            lab.close()


def waited_for(condition: Callable[[], object], what: str, said: Callable[[], str]) -> None:
    """Wait until something is so. Errors: RuntimeError with what the lab said."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ends:
            raise RuntimeError(f"Waited in vain for {what}.\n{said()}")
        time.sleep(0.05)


def ask(
    port: int, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None,
    seconds: float = PATIENCE,
) -> tuple[int, str, http.client.HTTPMessage]:  # fmt: skip
    """One request of a browser or the RLMS: status, text and headers. Errors: TimeoutError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers


def seconds_of(pid: int) -> float:
    """The seconds of a core that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return ask(port, "GET", "/weblab/sessions/api")[0] == 200
    return False


_NEW = json.dumps(
    {
        "client_initial_data": {},
        "server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 3600},
        "back": "http://rlms.invalid/back",
    }
)
_RLMS = {"Authorization": "Basic " + base64.b64encode(b"bench:bench").decode()}
