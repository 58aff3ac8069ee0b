"""An example lab in real processes, started by the commands that its README gives. For the tests of the examples.

The test is the RLMS and the students, over HTTP. The lab is a copy, so that it leaves nothing behind, and its silence
limit is longer: on a busy machine a student of a test may say nothing for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect

from tests.browser.complaints import note_complaints
from tests.cli.program import GUARD, Place, wait_for
from tests.docs.markdown import commands_in
from tests.flows.people import Rlms, Student

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
AS_SHIPPED = 'SECRET_KEY="replace me"'
PATIENT = f"{AS_SHIPPED}, WEBLAB_TIMEOUT=90"
ADDRESS = re.compile(r"(?:  web +|Listening at: |Running on )(http://127\.0\.0\.1:\d+)")
FREE_PORT = {"run": ["--port", "0"], "web": ["--port", "0"]}
PATIENCE = 30_000.0  # ms that a browser's page may take to show something
FORM = "application/x-www-form-urlencoded"


class Program:
    """One terminal: a command of the README that goes on until it is ended."""

    def __init__(self, words: Sequence[str], place: Place):
        self.name = " ".join(words[:2])
        self._printed = Path(tempfile.mkdtemp(dir=place.folder.parent)) / "printed"
        with self._printed.open("wb") as printed:
            self.process = subprocess.Popen(
                words, cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def printed(self) -> str:
        return self._printed.read_text("utf-8", errors="replace")

    @property
    def port(self) -> int:
        """Where it serves; waits until it says so."""
        self.says(ADDRESS.pattern)
        found = ADDRESS.search(self.printed)
        assert found is not None
        return int(found[1].rpartition(":")[2])

    def says(self, pattern: str) -> None:
        """Wait until it has printed something."""

        def said() -> bool:
            ended = self.process.poll() is not None
            if re.search(pattern, self.printed):
                return True
            assert not ended, f"{self.name} ended with {self.process.returncode}\n{self.printed}"
            return False

        wait_for(said, lambda: f"{pattern!r} of {self.name} in\n{self.printed}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(GUARD)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} does not end after {number.name}\n{self.printed}") from None


class Scene:
    """One example, its terminals, and who uses it."""

    def __init__(self, name: str, place: Place):
        self.readme = EXAMPLES / name / "README.md"
        self.place = place
        self.folder = place.folder
        self.programs: list[Program] = []
        self.port = 0
        self.fails = False
        """Whether something fails on purpose, so that there are tracebacks."""
        shutil.copytree(
            EXAMPLES / name, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("instance", "__pycache__")
        )
        lab = (self.folder / "lab.py").read_text("utf-8")
        assert lab.count(AS_SHIPPED) == 1
        (self.folder / "lab.py").write_text(lab.replace(AS_SHIPPED, PATIENT), "utf-8")
        found = [str(Path(sys.executable).parent), place.environment["PATH"]]
        place.environment |= {"PATH": os.pathsep.join(found), "PYTHONUNBUFFERED": "1"}

    # -- its processes

    def start(self, command: str, *more: str) -> Program:
        """Start what the README says: the one command of it that begins so, at a free port. more: further options."""
        (words,) = (words for words in commands_in(self.readme) if " ".join(words).startswith(command))
        words = [word.replace("127.0.0.1:5000", "127.0.0.1:0") for word in words]
        program = Program([*words, *FREE_PORT.get(words[1], []), *more], self.place)
        self.programs.append(program)
        return program

    def run(self, *more: str) -> None:
        """Start `labkit run`, and wait until all of it is ready, its devices too."""
        program = self.start("labkit run", *more)
        program.says("Try it")
        self.port = program.port

    def labkit(self, *arguments: str) -> str:
        """Run a command of labkit to its end; what it printed."""
        done = self.place.labkit(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wait_devices(self) -> None:
        """Wait until every device is open and safe."""
        declared = list((self.folder / "devices").glob("*.toml"))

        def all_ready() -> bool:
            shown = json.loads(self.labkit("devices", "--json"))
            return len(shown) >= len(declared) and {device["condition"] for device in shown} == {"ok"}

        wait_for(all_ready, "the devices")

    def printed(self) -> str:
        """What all of its terminals show."""
        return "\n".join(f"== {program.name}\n{program.printed[-6000:]}" for program in self.programs)

    def end(self) -> None:
        """End everything as a service manager does, and see that it ends in order. Twice is fine."""
        for program in self.programs:
            code = program.end() if program.process.poll() is None else program.process.returncode
            assert code == 0, f"{program.name} ended with {code}"
            assert self.fails or "Traceback" not in program.printed, program.name

    # -- who uses it

    @property
    def rlms(self) -> Rlms:
        return Rlms(self.port)

    def student(self, name: str = "ada", *, length: float = 600.0, **client_data: Any) -> Student:
        """Have the RLMS send a student, who follows the link."""
        body = {
            "client_initial_data": client_data,
            "server_initial_data": {
                "request.username": name,
                "request.username.unique": f"{name}@university",
                "request.full_name": name.title(),
                "priority.queue.slot.length": length,
            },
            "back": f"http://127.0.0.1:{self.port}/labkit/ended",
        }
        status, answer, _ = self.rlms.ask("POST", "/weblab/sessions/", body)
        assert status == 200, answer
        return Student(self.port, answer["session_id"], answer["url"]).enter()

    def dispose(self, student: Student) -> None:
        """Have the RLMS end the session, and wait until that is done."""
        wait_for(lambda: self.rlms.dispose(student.session_id)["message"] in ("Deleted", "Not found"), "the ending")
        assert self.rlms.status(student.session_id) < 0


@contextlib.contextmanager
def scene(name: str) -> Iterator[Scene]:
    """An example's copy. Its processes are ended at the end; they must do that in order and leave nothing behind."""
    top = Path(tempfile.mkdtemp(prefix="lk-"))  # no deep folder, because the path of a socket is short
    (top / "t").mkdir()
    (top / name).mkdir()
    place = Place(top / name, top / "t")
    made = Scene(name, place)
    try:
        yield made
        made.end()
        place.wait_until_nothing_is_left()
    finally:
        print(made.printed())
        place.kill_all()
        shutil.rmtree(top, ignore_errors=True)


def submit(student: Student, path: str, **fields: str) -> tuple[int, Any, dict[str, str]]:
    """Send a form, as a page does."""
    student.headers["Content-Type"] = FORM
    return student.ask("POST", path, urlencode(fields).encode())


@contextlib.contextmanager
def page_of(browser: Browser, student: Student, path: str) -> Iterator[Page]:
    """A student's page in a real browser. Fails where the browser has complained, or a script of the page failed."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    home = f"http://127.0.0.1:{student.port}"
    context.add_cookies([{"name": name, "value": value, "url": home} for name, value in student.cookies.items()])
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    note_complaints(page, complaints)
    page.on("request", lambda request: complaints.extend([] if request.url.startswith(home) else [request.url]))
    try:
        page.goto(home + path)
        yield page
    finally:
        context.close()
        expect.set_options(timeout=None)
    assert not complaints, complaints
