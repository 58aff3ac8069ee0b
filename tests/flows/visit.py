"""A student at work: a page with a terminal open, a line that must stay the student's own, and what is left of it all.

The record at the far end of the tty is what each statement about a bench is held against.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import socketio.exceptions

from labkit.testing.board import BoardProcess
from tests.flows.harness import FlowLab
from tests.flows.people import Page, Student, eventually

SAFE = b"\x03halt\r"
"""What the benches of the harness are made safe with."""
BACK = "http://rlms.invalid/back"

_numbers = itertools.count(1)


class Visit:
    """One session of a student, its page, and its part of the board's record."""

    def __init__(self, lab: FlowLab, student: Student, name: str):
        self.lab = lab
        self.student = student
        self.page: Page | None = None
        self.number = next(_numbers)
        self.secret = f"secret-{name}-{self.number}"
        self.late = f"late-{name}-{self.number}"
        self.bench = next(iter(lab.sessions.touch(student.session_id, poll=False).fences))
        self.board = board_of(lab, self.bench)
        self.console = f"{self.bench}/console"

    @property
    def session_id(self) -> str:
        return self.student.session_id

    @property
    def seen(self) -> bytes:
        """What the page has shown."""
        return self.page.bytes() if self.page is not None else b""

    def work(self, page: Page) -> None:
        """Leave the board in a state that is not safe, and have it say something that nobody else may see."""
        self.page = page
        page.subscribe(self.console)
        line = f"led 1 on\recho {self.secret}\r".encode()
        assert page.write(self.console, line) == {"ok": True, "result": len(line)}
        page.wait_bytes(f"\r\n{self.secret}\r\n".encode())
        assert self.board.control("led?")["leds"]["1"]

    def assert_out(self, reason: str) -> None:
        """The user is out already: nothing that the browser tries gets in, and the page is told why."""
        line = f"echo {self.late}\r".encode()
        status, _, headers = self.student.ask("POST", "/write", line)
        assert (status, headers["Location"]) == (302, BACK)
        assert self.student.ask("GET", "/me")[1]["active"] is False
        assert self.student.ask("GET", "/labkit/")[2]["Location"] == "/labkit/ended"
        if self.page is not None:
            answer = refusal(self.page, self.console, line)
            told = answer or self.page.sessions[-1]  # a socket that is closed already was told before
            assert (told["state"], told["reason"]) in [("ending", reason), ("expired", reason)]
        again = self.student.socket()
        with pytest.raises(socketio.exceptions.ConnectionError), again:
            pytest.fail("a socket of a session that is over was let in")
        assert again.refusals[-1]["data"]["reason"] == reason

    def assert_over(self, reason: str, *, finished: str = "on_dispose done") -> None:
        """The ending is done: on_dispose ran, and the board is safe after everything of this session."""
        self.lab.wait_state(self.session_id, "expired")
        assert self.lab.sessions.touch(self.session_id, poll=False).reason == reason
        assert self.lab.rlms.status(self.session_id) == -1
        assert self.lab.rlms.dispose(self.session_id) == {"message": "Deleted", "finished": True, "should_finish": -1}
        assert [act["session"] for act in self.lab.acts("on_dispose")].count(self.session_id) == 1
        if finished:
            assert self.lab.acts()[-1]["what"] == finished
        assert self.own_record().endswith(SAFE)
        assert self.late.encode() not in self.board.received()
        assert not any(self.board.control("led?")["leds"].values())
        assert f'data-reason="{reason}"' in self.student.ask("GET", "/labkit/ended")[1]
        self.lab.wait_free(self.bench)

    def own_record(self) -> bytes:
        """What reached the board from this session's own line on."""
        received = self.board.received()
        return received[received.index(f"echo {self.secret}\r".encode()) :]

    def assert_next_gets_in(self) -> None:
        """The next student has the bench for itself: sees no byte of this session, whatever it asks for."""
        cursor = self.page.cursor if self.page is not None else None
        with visit(self.lab, "next") as following, following.student.socket() as page:
            assert following.bench == self.bench
            page.subscribe(self.console, cursor)
            status, answer, _ = following.student.ask("POST", "/ask?line=echo%20fresh&until=fresh%0D%0A%3E")
            assert status == 200
            for seen in (answer["got"].encode(), following.seen, page.bytes()):
                assert self.secret.encode() not in seen
            assert following.secret.encode() not in self.seen
            dispose(self.lab, following.session_id)
        following.assert_over("disposed")


@contextlib.contextmanager
def visit(lab: FlowLab, name: str, *, length: float = 600.0, client: dict[str, Any] | None = None) -> Iterator[Visit]:
    """A student who has come in, opened the page, and worked with the board; the page stays open in the block."""
    one = Visit(lab, lab.rlms.must_start(name, length=length, client=client).enter(), name)
    with one.student.socket() as page:
        one.work(page)
        yield one


def dispose(lab: FlowLab, session_id: str) -> None:
    """End a session as an RLMS does: ask again until it is done."""
    eventually(lambda: lab.rlms.dispose(session_id)["message"] == "Deleted", what="the end of the session")


def board_of(lab: FlowLab, bench: str) -> BoardProcess:
    return lab.boards[int(bench.rpartition("-")[2]) - 1]


def refusal(page: Page, device: str, line: bytes) -> dict[str, Any] | None:
    """What a socket is told that may not write (any more); None: it is closed already."""
    try:
        answer = page.write(device, line)
    except (socketio.exceptions.BadNamespaceError, socketio.exceptions.TimeoutError):
        return None
    assert not answer["ok"], answer
    assert answer["error"]["kind"] == "inactive"
    return answer
