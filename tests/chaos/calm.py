"""After a round of faults: that a student gets in on each bench, sends a line, runs a task, and is disposed.

Used by the run when nothing is under way any more, so nothing may refuse it, but for a start by a process that has not
heard yet what time the store has now: an RLMS that is told 503 asks again, and is let in while all is to be up again.
What these sessions do is judged with all the rest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.load import NO_ANSWER, Desk, Web
from tests.flows.people import Student

SECONDS = 20.0
"""How long one of them may take for what needs no more than a moment, besides what the machine stood still."""
LENGTH = 600.0
AGAIN = 0.5
"""Seconds after which a start that was told 503 is asked for again."""


def visit_each_bench(lab: ChaosLab, desk: Desk, by: float) -> list[str]:
    """As many sessions at once as there are benches, so one on each. Returns what did not work.

    by: until when (`time.monotonic()`) a start may be told to come again.
    """
    visitors = [_Visitor(lab, desk, desk.webs[number % len(desk.webs)], by) for number in range(len(lab.benches))]
    with ThreadPoolExecutor(len(visitors)) as pool:
        for step in (_Visitor.come, _Visitor.use, _Visitor.leave):
            list(pool.map(step, visitors))
    complaints = [visitor.complaint for visitor in visitors if visitor.complaint]
    used = {lab.bench_of(visitor.session) for visitor in visitors}
    if not complaints and used != set(lab.benches):
        complaints.append(f"sessions were had on {', '.join(sorted(used))}")
    return complaints


class _Visitor:
    """One session, in three steps. complaint: what did not work, '' while all did."""

    def __init__(self, lab: ChaosLab, desk: Desk, web: Web, by: float):
        self._lab = lab
        self._desk = desk
        self._web = web
        self._by = by
        self._student: Student | None = None
        self.session = ""
        self.complaint = ""

    def come(self) -> None:
        facts = {"request.username": "visitor", "priority.queue.slot.length": LENGTH}
        body = {"client_initial_data": {}, "server_initial_data": facts, "back": "http://rlms.invalid/back"}
        asked = self._desk.ask(self._web, "start", "POST", "/weblab/sessions/", body)
        while asked.status == 503 and time.monotonic() < self._by:
            self._desk.again += 1
            time.sleep(AGAIN)
            asked = self._desk.ask(self._web, "start", "POST", "/weblab/sessions/", body)
        if asked.status == 200:
            self.session = str(asked.body["session_id"])
            self._student = Student(self._web.port, self.session, str(asked.body["url"]))
        else:
            self.complaint = f"a start at {self._web.name} was answered with {asked.status} {asked.body!r:.300}"

    def use(self) -> None:
        """Go in, send a line, run a task to its end."""
        if self._student is None:
            return
        self._ask("GET", urlsplit(self._student.url).path, 302)
        self._ask("POST", "/line?size=9", 200)
        task = str((self._ask("POST", "/work", 200) or {}).get("id"))
        if not self.complaint and not self._soon(lambda: self._lab.task_status(task) == "done"):
            status = self._lab.task_status(task) or "unknown"
            self.complaint = f"the task of session {self.session[:6]} is {status} after {SECONDS:.0f} s"

    def leave(self) -> None:
        if self.session and not self._soon(lambda: self._desk.dispose(self._web, self.session) == "Deleted"):
            self.complaint = f"session {self.session[:6]} was not disposed within {SECONDS:.0f} s"

    def _ask(self, method: str, path: str, fine: int) -> Any:
        """Ask for a page; returns what it says, None where that is not as it should be."""
        assert self._student is not None
        status, answer = 0, None
        with contextlib.suppress(*NO_ANSWER):
            body = b"" if method == "POST" else None
            status, answer, _ = self._student.ask(method, path, body, timeout=SECONDS)
        if status == fine:
            return answer
        self.complaint = self.complaint or f"{method} {path[:10]} was answered with {status} {answer!r:.300}"
        return None

    def _soon(self, check: Callable[[], bool]) -> bool:
        """Does it come true in time?"""
        began, still = time.monotonic(), self._lab.stood_still
        while not check():
            if time.monotonic() > began + SECONDS + 3 * (self._lab.stood_still - still):
                return False
            time.sleep(0.05)
        return True
