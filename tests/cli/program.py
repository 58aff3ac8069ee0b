"""Runs the real `labkit` program in a folder of a test's own, and sees every process that comes of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

from tests import prepared
from tests.rules.conftest import ROOT

GUARD = 60.0  # seconds: against a test that hangs, no measure of anything
MARK = "LABKIT_TEST_MARK"

BENCH = """\
[console]
driver = "serial"
simulate = true
"""
APP = """
from flask import Flask, url_for
from labkit import WebLab

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key")
weblab = WebLab(app)


@weblab.initial_url
def initial_url():
    return url_for("labkit.page")
"""


class Place:
    """A lab's folder, a folder for temporary files, and all processes that are started here, with their descendants."""

    def __init__(self, folder: Path, temporary: Path):
        self.folder = folder
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), MARK: self.mark, "COLUMNS": "80", "TZ": "UTC"
        }  # fmt: skip

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def labkit(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.module("labkit.cli", *arguments, **environment)

    def module(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m name ...` to its end."""
        return prepared.run(
            name, arguments, folder=self.folder, environment=self.environment | environment, timeout=GUARD
        )

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=self.environment | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GUARD, check=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[Running]:
        """Run a command as long as the block lasts; it is interrupted at its end, where it lives still."""
        running = Running(self, arguments, environment)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.end(signal.SIGINT)

    def processes(self, containing: str = "") -> dict[int, str]:
        """Process id and command line of what was started here and lives, zombies aside."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                        if command and containing in command:
                            found[int(entry.name)] = command
        return found

    def process(self, containing: str, *, but: int = 0) -> int:
        """The oldest process whose command line contains something; waits for it."""
        found: list[int] = []

        def there() -> bool:
            found[:] = sorted(set(self.processes(containing)) - {but})
            return bool(found)

        wait_for(there, f"a process {containing}")
        return found[0]

    def left_in_temporary(self) -> list[str]:
        return sorted(str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*"))

    def wait_until_nothing_is_left(self) -> None:
        wait_for(lambda: not self.processes(), lambda: f"the end of {self.processes()}")
        wait_for(lambda: not self.left_in_temporary(), lambda: f"nothing in {self.left_in_temporary()}")

    def kill_all(self) -> None:
        for _ in range(3):
            for process in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def a_place() -> Iterator[Place]:
    """A place in a folder outside of pytest's deep ones, because the path of a socket is short.

    At the end nothing of it must be left: no process, no temporary file.
    """
    top = Path(tempfile.mkdtemp(prefix="lk-"))
    (top / "mylab").mkdir()
    (top / "t").mkdir()
    made = Place(top / "mylab", top / "t")
    try:
        yield made
        made.wait_until_nothing_is_left()
    finally:
        made.kill_all()
        shutil.rmtree(top, ignore_errors=True)


class Running:
    """A command that runs; what it prints goes to files, so that it never waits for a reader."""

    def __init__(self, place: Place, arguments: tuple[str, ...], environment: dict[str, str]):
        self.place = place
        written = Path(tempfile.mkdtemp(dir=place.folder.parent))
        self._out, self._err = written / "out", written / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "labkit.cli", *arguments], cwd=place.folder,
                env=place.environment | environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8")

    def says(self, text: str) -> None:
        """Wait until it has printed something."""

        def said() -> bool:
            ended = self.process.poll() is not None
            if text in self.out + self.err:
                return True
            assert not ended, f"ended with {self.process.returncode}\n{self.out}{self.err}"
            return False

        wait_for(said, lambda: f"{text!r} in\n{self.out}{self.err}")

    @property
    def url(self) -> str:
        """The URL of its web part, as the summary says."""
        self.says("  web ")
        (line,) = (line for line in self.out.splitlines() if line.startswith("  web "))
        return line.split()[1]

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(GUARD)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"does not end after {number.name}\n{self.out}{self.err}") from None


def wait_for(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(0.05)


def browser() -> urllib.request.OpenerDirector:
    """Something that keeps cookies, to make requests with."""
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


def cookies(opener: urllib.request.OpenerDirector) -> str:
    """All its cookies, as a header."""
    handlers = opener.handlers  # type: ignore[attr-defined]
    jars = [handler.cookiejar for handler in handlers if isinstance(handler, urllib.request.HTTPCookieProcessor)]
    return "; ".join(f"{cookie.name}={cookie.value}" for jar in jars for cookie in jar)


def request(
    url: str, *, data: bytes | None = None, opener: urllib.request.OpenerDirector | None = None
) -> tuple[int, str]:
    """Status and text of a URL; data: as a POST. Redirects are followed."""
    opener = opener or urllib.request.build_opener()
    try:
        with opener.open(url, data, timeout=GUARD) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
