"""A visitor whose page is still open, and goes on clicking when its session is over. Used by the faults.

Nobody may hear it. While the store knows that the session is over, the web process refuses. A store that comes back
without its last moments shows the session again, and lets the click through: then it is the device's host that knows
of a later fence, and refuses it last thing before the driver.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.chaos.load import NO_ANSWER, Desk, Web
from tests.flows.people import Student

LENGTH = 30.0
"""Seconds of its slot: it is disposed long before."""
COME_SECONDS = 10.0
GO_SECONDS = 3.0
"""How long to try to get in, and to be out again; meanwhile other faults go on."""
CLICK_SECONDS = 0.03


class Visitor:
    """One session. name: as the RLMS calls it."""

    def __init__(self, desk: Desk, name: str):
        self._desk = desk
        self._name = name
        self._student: Student | None = None

    def come(self) -> bool:
        """Get a session, go in, and send a line. False: that did not work out in time, and it has none."""
        until = time.monotonic() + COME_SECONDS
        while self._student is None and time.monotonic() < until:
            for web in self._desk.webs:
                student = self._started(web)
                if student is not None:
                    inside = _asked(student, "GET", urlsplit(student.url).path) == 302
                    self._student = student if inside and _asked(student, "POST", "/line?size=9") == 200 else None
                    if self._student is None:
                        self._dispose(student.session_id, GO_SECONDS)
                    break
            time.sleep(0.03)
        return self._student is not None

    def _started(self, web: Web) -> Student | None:
        facts = {"request.username": self._name, "priority.queue.slot.length": LENGTH}
        body = {"client_initial_data": {}, "server_initial_data": facts, "back": "http://rlms.invalid/back"}
        asked = self._desk.ask(web, "start", "POST", "/weblab/sessions/", body)
        if asked.status != 200 or not isinstance(asked.body, dict):
            return None
        return Student(web.port, str(asked.body["session_id"]), str(asked.body["url"]))

    def go(self) -> None:
        """Be out, as the RLMS says so."""
        if self._student is not None:
            self._dispose(self._student.session_id, GO_SECONDS)

    def _dispose(self, session: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for web in self._desk.webs:
                if self._desk.dispose(web, session) in ("Deleted", "Not found"):
                    return
                time.sleep(0.02)

    @contextlib.contextmanager
    def clicking(self) -> Iterator[None]:
        """Inside the block its page sends lines, by all web processes at once, and minds no refusal."""
        over = threading.Event()
        threads = [threading.Thread(target=self._click, args=(web, over)) for web in self._desk.webs if self._student]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(60)

    def _click(self, web: Web, over: threading.Event) -> None:
        assert self._student is not None
        student = Student(web.port, self._student.session_id, self._student.url)
        student.cookies = dict(self._student.cookies)
        while not over.wait(CLICK_SECONDS):
            _asked(student, "POST", "/line?size=9")


def _asked(student: Student, method: str, path: str) -> int:
    """The status; 0 where no answer came."""
    try:
        return student.ask(method, path, b"" if method == "POST" else None, timeout=5.0)[0]
    except (*NO_ANSWER, json.JSONDecodeError):
        return 0
