"""Who uses the lab of a chaos run: an RLMS at its desk, and students who come, work, leave early, or never come.

Each user is a thread with a random generator of its own. What the RLMS asks, and what it is answered, goes to its log.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from socketio.exceptions import SocketIOError

from labkit.errors import StoreUnavailableError
from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.lines import line_of
from tests.chaos.record import Act, Asked
from tests.flows.people import Http, Page, Rlms, Student

PATIENCE = 60.0
"""Seconds for which the RLMS goes on asking for the end of one session; the judges see that it never came."""
NO_ANSWER = (OSError, http.client.HTTPException)
LENGTHS = (0.5, 7.0)


@dataclass(frozen=True, kw_only=True)
class Web:
    """One web process as its clients know it."""

    name: str
    port: int


@dataclass(kw_only=True)
class Desk:
    """The RLMS: its log, and what its next users bring with them. shift: how wrong its clock is, in seconds."""

    lab: ChaosLab
    webs: Sequence[Web]
    log: list[Asked] = field(default_factory=list)
    orders: deque[dict[str, str]] = field(default_factory=deque)
    """What hooks and tasks of the next sessions do wrong."""
    shift: float = 0.0
    acts: list[Act] = field(default_factory=list)
    """Lines that students sent from their pages, announced as those of the lab's own code are."""

    def note(self, what: str, **facts: Any) -> None:
        self.acts.append(Act(at=time.monotonic(), what=what, facts=facts))

    def ask(self, web: Web, what: str, method: str, path: str, body: Any = None, session: str = "") -> Asked:
        """Ask once, and write it down."""
        sent, status, answer = time.monotonic(), 0, None
        try:
            status, answer, _ = Rlms(web.port).ask(method, path, body, timeout=40.0)
        except (*NO_ANSWER, json.JSONDecodeError) as error:
            answer = repr(error)
        asked = Asked(
            sent=sent, answered=time.monotonic(), web=web.name, what=what, status=status, body=answer, session=session
        )
        if what != "dispose" or not asked.status:
            self.log.append(asked)
        return asked

    def dispose(self, web: Web, session: str) -> str:
        """Ask once for the end of a session, and write down how its bench is then. Returns what the answer says."""
        asked = self.ask(web, "dispose", "POST", f"/weblab/sessions/{session}", {"action": "delete"}, session)
        message = str(asked.body.get("message")) if isinstance(asked.body, dict) else ""
        if asked.status:
            why = self._why_not(session) if message == "Deleted" else ""
            self.log.append(dataclasses.replace(asked, out_of_service=why))
        return message

    def _why_not(self, session: str) -> str:
        """Why the session's bench is out of service now, '' where it isn't."""
        benches = [act.facts["bench"] for act in self.lab.acts_of(session) if act.what == "line"]
        try:
            return self.lab.out_of_service().get(benches[-1], "") if benches else ""
        except StoreUnavailableError:
            return ""


class User:
    """One user of the RLMS: a session after another until the load ends."""

    def __init__(self, lab: ChaosLab, desk: Desk, ending: threading.Event, seed: str):
        self._lab = lab
        self._desk = desk
        self._ending = ending
        self._random = random.Random(seed)
        self._name = seed.replace(" ", "-")
        self.thread = threading.Thread(target=self._live, name=f"user {seed}")

    def _live(self) -> None:
        while not self._ending.is_set():
            session = self._start()
            if session:
                self._use(session)
                self._dispose(session.session_id)
            else:
                self._ending.wait(self._random.uniform(0.1, 0.5))

    def _web(self) -> Web:
        return self._random.choice(self._desk.webs)

    def _start(self) -> Student | None:
        client = self._desk.orders.popleft() if self._desk.orders else {}
        server: dict[str, Any] = {
            "request.username": self._name,
            "priority.queue.slot.length": self._random.uniform(*LENGTHS),
        }
        if self._desk.shift or self._random.random() < 0.2:
            server["priority.queue.slot.start.timestamp"] = time.time() + self._desk.shift
        body = {"client_initial_data": client, "server_initial_data": server, "back": "http://rlms.invalid/back"}
        web = self._web()
        asked = self._desk.ask(web, "start", "POST", "/weblab/sessions/", body)
        if asked.status != 200 or not isinstance(asked.body, dict):
            if client and asked.status == 503 and "error" in asked.body and "bench" in str(asked.body).lower():
                self._desk.orders.append(client)  # it never came as far as its hooks
            return None
        student = Student(web.port, str(asked.body["session_id"]), str(asked.body["url"]))
        student.headers["X-Order"] = client.get("task", "")
        return student

    # -- a student

    def _use(self, student: Student) -> None:
        """Be in the lab, until one leaves or is out; a tenth of the students never come."""
        if self._random.random() < 0.1 or self._try(student, "GET", urlsplit(student.url).path) != 302:
            self._watch(student.session_id)
            return
        if self._random.random() < 0.3:
            with contextlib.suppress(SocketIOError, OSError, AssertionError):  # the page says so, and nobody repeats it
                self._use_page(student)
        actions = self._random.randint(1, 8)
        for number in range(actions):
            if self._ending.is_set() or not self._act(student, number):
                return
            if self._random.random() < 0.3 and self._status(student.session_id) < 0:
                return
            self._ending.wait(self._random.uniform(0.0, 0.6))
        if self._random.random() < 0.4:
            self._try(student, "POST", "/leave", b"")
        elif self._random.random() < 0.3:
            self._watch(student.session_id)

    def _use_page(self, student: Student) -> None:
        """Read what the board says, and send it lines, over the page's socket."""
        started = next(act for act in self._lab.acts_of(student.session_id) if act.what == "on_start")
        (bench, fence), *_ = started.facts["fences"].items()
        student.port = self._web().port
        with student.socket() as page:
            page.subscribe(f"{bench}/console")
            for _ in range(self._random.randint(1, 6)):
                self._send_from(page, student.session_id, bench, fence)
                self._ending.wait(self._random.uniform(0.0, 0.6))

    def _send_from(self, page: Page, session: str, bench: str, fence: int) -> None:
        token = secrets.token_hex(6)
        self._desk.note("line", token=token, session=session, bench=bench, fence=fence, purpose="page")
        what = {"device": f"{bench}/console", "command": "write", "args": [line_of(token, 20)], "kwargs": {}}
        try:
            answer = page.client.call("call", what, timeout=10)
        except (SocketIOError, OSError) as error:
            self._desk.note("line failed", token=token, error=type(error).__name__, message=str(error))
            raise
        if answer["ok"]:
            self._desk.note("line done", token=token)
        else:
            self._desk.note(
                "line failed", token=token, error=answer["error"]["kind"], message=answer["error"]["message"]
            )

    def _act(self, student: Student, number: int) -> bool:
        kind = student.headers.get("X-Order", "") if number == 0 else ""
        if kind == "deaf":
            return self._try(student, "POST", "/deaf?seconds=7", b"") in (0, 200, 500)
        choice = self._random.random()
        if kind or choice < 0.25:
            return self._try(student, "POST", f"/work?kind={kind or 'fine'}", b"") in (0, 200, 500, 503)
        size = 3000 if choice > 0.9 else self._random.randint(0, 60)
        return self._try(student, "POST", f"/line?size={size}", b"") in (0, 200, 500, 503)

    def _try(self, person: Http, method: str, path: str, body: bytes | None = None) -> int:
        """Ask by any web process; 0 where no answer came. It is never asked twice: a click is no request to repeat."""
        person.port = self._web().port
        try:
            return person.ask(method, path, body, timeout=20.0)[0]
        except (*NO_ANSWER, json.JSONDecodeError):
            return 0

    # -- the RLMS

    def _status(self, session: str) -> float:
        asked = self._desk.ask(self._web(), "status", "GET", f"/weblab/sessions/{session}/status", session=session)
        fine = asked.status == 200 and isinstance(asked.body, dict)
        return float(asked.body.get("should_finish", 0)) if fine else 0.0

    def _watch(self, session: str) -> None:
        """Ask for the status until the session is over."""
        until = time.monotonic() + 15.0
        while not self._ending.is_set() and time.monotonic() < until and self._status(session) >= 0:
            self._ending.wait(self._random.uniform(0.2, 1.0))

    def _dispose(self, session: str) -> None:
        """Ask for the end until it is done."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._desk.dispose(self._web(), session) in ("Deleted", "Not found"):
                return
            time.sleep(self._random.uniform(0.2, 0.6))


class Load:
    """Several users at once. Use it with `with`: at its end all have given their sessions back."""

    def __init__(self, lab: ChaosLab, desk: Desk, users: int, seed: str):
        self._ending = threading.Event()
        self._users = [User(lab, desk, self._ending, f"{seed} user {number}") for number in range(users)]

    def __enter__(self) -> Load:
        for user in self._users:
            user.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for user in self._users:
            user.thread.join(PATIENCE + 60.0)
        assert not any(user.thread.is_alive() for user in self._users), "a user of the load hangs"
