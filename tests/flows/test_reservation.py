"""Fifty students at once, three identical benches: who gets one has it alone, in the store and at the ttys."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labkit.clock import moment_text
from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import Rlms, eventually
from tests.flows.visit import SAFE, dispose

BENCHES = ("bench-1", "bench-2", "bench-3")
STUDENTS = 50
ROUNDS = 3
NAME = re.compile(rb"# (\w+)\r")
Answers = dict[str, tuple[int, dict[str, Any]]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fifty_starts_at_once_on_three_benches_make_three_sessions(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab(benches=3).start(layout)
    for number in range(ROUNDS):
        seen = [len(board.received()) for board in lab.boards]
        answers = start_all(lab.rlms, [f"r{number}student{student}" for student in range(STUDENTS)])
        sessions = {name: answer["session_id"] for name, (status, answer) in answers.items() if status == 200}
        assert len(sessions) == 3
        until = assert_held_once(lab, list(sessions.values()))
        for name in answers.keys() - sessions.keys():
            assert_clear_refusal(*answers[name], until)
        wait_for_names(lab, seen)
        written = names_since(lab, seen)
        assert sorted(written) == sorted([name.encode()] for name in sessions)
        dispose_all(lab, sessions.values())


def names_since(lab: FlowLab, seen: list[int]) -> list[list[bytes]]:
    """The names that came to each board after so many bytes."""
    return [NAME.findall(board.received()[start:]) for board, start in zip(lab.boards, seen, strict=True)]


def wait_for_names(lab: FlowLab, seen: list[int]) -> None:
    """A write is done when its bytes are in the tty; the board reads them when it gets to it."""
    eventually(lambda: all(names_since(lab, seen)), what="a name at each board")


def start_all(rlms: Rlms, names: list[str]) -> Answers:
    """Start a session for each name, each from its own thread, all at once. Each writes its name to its board."""
    gate = threading.Barrier(len(names))

    def start(name: str) -> tuple[int, Any]:
        gate.wait(30)
        return rlms.start(name, client={"write": f"# {name}\r"})

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(start, names), strict=True))


def assert_held_once(lab: FlowLab, sessions: list[str]) -> dict[str, str]:
    """Each session has one bench, and each bench is held by one. Returns until when each bench is reserved."""
    records = [lab.sessions.touch(session, poll=False) for session in sessions]
    assert [record.state for record in records] == ["active"] * 3
    assert sorted(bench for record in records for bench in record.fences) == list(BENCHES)
    holds = {device.name: device for view in lab.benches() for device in view.devices}
    for record in records:
        (bench,) = record.fences
        device = holds.pop(f"{bench}/console")
        assert (device.hold, device.session) == ("reserved", record.session_id)
    assert not holds
    return {bench: moment_text(record.number("max_date")) for record in records for bench in record.fences}


def assert_clear_refusal(status: int, answer: dict[str, Any], until: dict[str, str]) -> None:
    """It names each bench and until when it is reserved, and nobody's name."""
    assert (status, answer["error"]) == (503, True)
    for bench, end in until.items():
        assert re.search(
            rf"{bench} is reserved by another session since \d\d:\d\d:\d\d UTC until {end}", answer["message"]
        )
    assert "student" not in answer["message"]


def dispose_all(lab: FlowLab, sessions: Any) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lab.rlms.dispose, sessions))
    for session in sessions:
        dispose(lab, session)
    lab.wait_free()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_students_that_come_while_others_go_never_meet_at_a_bench(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    """Twelve students in a hurry: between any two names a board was made safe, and no name comes twice."""
    lab = make_lab(benches=3).start(layout)
    started: list[str] = []

    def come_and_go(student: int) -> None:
        for visit in range(10):
            name = f"s{student}v{visit}"
            status, answer = lab.rlms.start(name, client={"write": f"# {name}\r"})
            if status == 200:
                started.append(name)
                lab.rlms.dispose(answer["session_id"])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(come_and_go, range(12)))
    lab.wait_free()
    assert len(started) >= 3
    written = []
    for board in lab.boards:
        received = board.received()
        written += NAME.findall(received)
        between = NAME.split(received)[2::2]
        assert all(SAFE in part for part in between)
        assert received.endswith(SAFE)
    assert sorted(written) == sorted(name.encode() for name in started)
