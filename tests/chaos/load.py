"""Who uses the lab of a chaos run: an RLMS at its desk, and students who come, work, leave early, or never come.

Each user is a thread with a random generator of its own. What the RLMS asks, and what it is answered, goes to its log.
"""

from __future__ import annotations

import contextlib
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
ORDERED = (4.0, 7.0)
"""Seconds of a slot, and of one whose student has an order for the lab's code."""
ANSWER_SECONDS = 20.0
"""How long a page waits for the answer to a call: far longer than labkit waits for anything, or anything is stopped."""


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
    """What hooks and tasks of the next sessions do wrong, each with its number."""
    open_orders: set[str] = field(default_factory=set)
    """The numbers of those with which no session has started yet, nor has come as far as its hooks."""
    shift: float = 0.0
    shifted: int = 0
    """How many sessions it has asked for with a wrong clock."""
    again: int = 0
    """Starts in the calm that were told 503 while all was to come up again."""
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
        answered = time.monotonic()
        asked = Asked(
            sent=sent,
            answered=answered,
            web=web.name,
            what=what,
            status=status,
            body=answer,
            session=session,
            **self._looked(what, answer, session),
        )
        self.log.append(asked)
        return asked

    def _looked(self, what: str, answer: Any, session: str) -> dict[str, Any]:
        """What the store says right after an answer that says that a session is over, or that it will be."""
        message = answer.get("message") if what == "dispose" and isinstance(answer, dict) else ""
        if message == "Deleting":
            return {"noted": self.lab.wants_end(session)}
        over = what == "status" and isinstance(answer, dict) and answer.get("should_finish") == -1
        if message != "Deleted" and not over:
            return {}
        with contextlib.suppress(StoreUnavailableError):
            whys = self.lab.out_of_service()
            return {"out_of_service": whys.get(self.lab.bench_of(session), "") if whys else ""}
        return {}

    def dispose(self, web: Web, session: str) -> str:
        """Ask once for the end of a session. Returns what the answer says."""
        asked = self.ask(web, "dispose", "POST", f"/weblab/sessions/{session}", {"action": "delete"}, session)
        return str(asked.body.get("message")) if isinstance(asked.body, dict) else ""


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
        client: dict[str, str] = {}
        with contextlib.suppress(IndexError):  # another user was faster
            client = self._desk.orders.popleft()
        server: dict[str, Any] = {
            "request.username": self._name,
            "priority.queue.slot.length": self._random.uniform(*(LENGTHS if not client else ORDERED)),
        }
        if self._desk.shift or self._random.random() < 0.2:
            server["priority.queue.slot.start.timestamp"] = time.time() + self._desk.shift
        body = {"client_initial_data": client, "server_initial_data": server, "back": "http://rlms.invalid/back"}
        web = self._web()
        asked = self._desk.ask(web, "start", "POST", "/weblab/sessions/", body)
        self._desk.shifted += self._desk.shift != 0.0
        if client and (asked.status == 200 or self._lab.has_misbehaved(client["order"])):
            self._desk.open_orders.discard(client["order"])
        elif client and client["order"] in self._desk.open_orders:
            self._desk.orders.append(client)  # for the next one
        if asked.status != 200 or not isinstance(asked.body, dict):
            return None
        student = Student(web.port, str(asked.body["session_id"]), str(asked.body["url"]))
        student.headers |= {"X-Kind": client.get("task", ""), "X-Order": client.get("order", "")}
        return student

    # -- a student

    def _use(self, student: Student) -> None:
        """Be in the lab, until one leaves or is out; a tenth of the students who have no order never come."""
        comes = bool(student.headers["X-Order"]) or self._random.random() >= 0.1
        if not comes or self._try(student, "GET", urlsplit(student.url).path) != 302:
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
                self._try(student, "POST", "/line?size=9", b"")  # the page is still open, and its user clicks on
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
        """Send one line. The page is told what became of it, or it loses its connection."""
        token, answers, told = secrets.token_hex(6), list[dict[str, Any]](), threading.Event()
        self._desk.note("line", token=token, session=session, bench=bench, fence=fence, purpose="page")
        what = {"device": f"{bench}/console", "command": "write", "args": [line_of(token, 20)], "kwargs": {}}

        def take(answer: dict[str, Any]) -> None:
            answers.append(answer)
            told.set()

        until = time.monotonic() + ANSWER_SECONDS
        try:
            page.client.emit("call", what, callback=take)
            while not told.wait(0.05):
                if not page.client.connected:
                    raise OSError("the page has lost its connection")
                if time.monotonic() > until:  # nobody told it anything: the judge finds a line without an end
                    return
        except (SocketIOError, OSError) as error:
            self._desk.note("line failed", token=token, error=type(error).__name__, message=str(error))
            raise
        if answers[0]["ok"]:
            self._desk.note("line done", token=token)
        else:
            failure = answers[0]["error"]
            self._desk.note("line failed", token=token, error=failure["kind"], message=failure["message"])

    def _act(self, student: Student, number: int) -> bool:
        kind = student.headers.get("X-Kind", "") if number == 0 else ""
        order = student.headers.get("X-Order", "")
        if kind == "deaf":
            return self._try(student, "POST", f"/deaf?seconds=7&order={order}", b"") in (0, 200, 500)
        choice = self._random.random()
        if kind or choice < 0.25:
            return self._try(student, "POST", f"/work?kind={kind or 'fine'}&order={order}", b"") in (0, 200, 500, 503)
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
        """Ask for the end until it is done; some ask by the status in between, as an RLMS may."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._desk.dispose(self._web(), session) in ("Deleted", "Not found"):
                return
            if self._random.random() < 0.5:
                self._status(session)
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
