"""The store is there and of no use: it hangs, it is full, it became a replica, it lets nobody write any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from labkit.store.connection import Store
from tests.flows.harness import FlowLab
from tests.flows.people import Student, eventually
from tests.store.refusing import REFUSALS, refusing


def see_that_all_are_told(lab: FlowLab, student: Student, disposed: str) -> None:
    """What everybody is answered while the store is of no use. All ask at once, for each answer may take long.

    disposed: the session whose end the RLMS asks for.
    """
    with ThreadPoolExecutor(8) as people:
        start = people.submit(lab.rlms.start, "bob")
        status = people.submit(lab.rlms.status, student.session_id)
        several = people.submit(
            lab.rlms.ask, "POST", "/weblab/sessions/status/multiple", {"session_ids": [student.session_id]}
        )
        dispose = people.submit(lab.rlms.dispose, disposed)
        page = people.submit(student.ask, "GET", "/labkit/")
        guarded = people.submit(student.ask, "POST", "/write", b"# never\r")
        public = people.submit(student.ask, "GET", "/about")
    code, answer = start.result()
    assert (code, answer["error"]) == (503, True)
    assert status.result() > 0  # an error, or a number below 0, would mean "finished" to an RLMS
    assert several.result()[1]["status"][student.session_id] > 0
    assert (dispose.result()["message"], dispose.result()["finished"]) == ("Deleting", False)
    assert page.result()[0] == 503
    assert "can&#39;t reach its store" in page.result()[1]
    assert guarded.result()[0] in (500, 503)  # 500: the view ran, and its call of the device failed
    assert public.result()[:2] == (200, "about this lab")


def see_that_it_goes_on(lab: FlowLab, student: Student, line: bytes) -> None:
    eventually(lambda: student.ask("POST", "/write", line)[0] == 200, what="the session goes on")
    lab.boards[0].wait_received(line)
    assert lab.sessions.touch(student.session_id, poll=False).state == "active"


def test_a_store_that_refuses_to_write_stops_nothing_for_good(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab(settings={"LABKIT_SAFE_AFTER": 3}).start("services")
    student = lab.rlms.start_in_the_end("ada", length=600, client={"write": "# begin\r"}).enter()
    lab.boards[0].wait_received(b"# begin\r")
    owner = Store(lab.store_server.url, "owner")
    for way in REFUSALS:
        before = len(lab.boards[0].received())
        with refusing(way, owner.command):
            see_that_all_are_told(lab, student, disposed=student.session_id)  # refused, so it changes nothing
            eventually(lambda: b"halt\r" in lab.boards[0].received()[before:], what=f"safe: {way}")  # noqa: B023 - now
        see_that_it_goes_on(lab, student, f"# after {way}\r".encode())
    owner.close()
    assert b"never" not in lab.boards[0].received()
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    lab.wait_free()


def test_a_store_that_hangs_stops_nothing_for_good(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab(benches=2, settings={"LABKIT_SAFE_AFTER": 2}).start("services")
    student = lab.rlms.start_in_the_end("ada", length=600, client={"write": "# begin\r"}).enter()
    lab.boards[0].wait_received(b"# begin\r")
    before = len(lab.boards[0].received())
    os.kill(lab.store_server.pid, signal.SIGSTOP)
    try:
        see_that_all_are_told(lab, student, disposed="somebody-elses")  # it is not refused, it only has to wait
        eventually(lambda: b"halt\r" in lab.boards[0].received()[before:], what="the board was made safe")
    finally:
        os.kill(lab.store_server.pid, signal.SIGCONT)
    see_that_it_goes_on(lab, student, b"# after\r")
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    lab.wait_free()  # also the bench of the start that was refused, and that the store may have heard of since
    assert b"never" not in lab.boards[0].received()
