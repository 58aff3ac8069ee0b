"""The store goes away in the middle of a session, and comes back."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import eventually


@pytest.mark.parametrize("layout", LAYOUTS)
def test_devices_are_made_safe_while_the_store_is_away_and_the_session_goes_on_afterwards(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab(append_only=True, settings={"LABKIT_SAFE_AFTER": 2}).start(layout)
    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    student = lab.rlms.start_in_the_end("ada", length=300, client={"write": "led 1 on\r"}).enter()
    before = len(lab.boards[0].wait_received(b"led 1 on\r"))
    lab.store_server.stop(signal.SIGKILL)
    assert lab.rlms.start("bob")[0] == 503
    assert lab.rlms.status(student.session_id) == 2  # an error would mean "finished" to an RLMS
    answer = lab.rlms.dispose("somebody-elses")
    assert (answer["message"], answer["finished"]) == ("Deleting", False)
    status, page, headers = student.ask("GET", "/labkit/")
    assert (status, headers["Cache-Control"]) == (503, "no-store")
    assert "can&#39;t reach its store" in page
    eventually(lambda: b"halt\r" in lab.boards[0].received()[before:], what="the board was made safe")
    lab.store_server.start()
    eventually(lambda: student.ask("POST", "/write", b"led 2 on\r")[0] == 200, what="the session goes on")
    assert lab.sessions.touch(student.session_id, poll=False).state == "active"
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    lab.wait_free()


def test_a_store_that_lost_everything_leaves_no_device_held_and_no_student_inside(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab().start("services")
    student = lab.rlms.must_start("ada", length=300).enter()
    lab.store.command("FLUSHALL")
    lab.wait_free()
    assert student.ask("POST", "/write", b"late\r")[0] == 403
    assert lab.rlms.status(student.session_id) == -1
    assert lab.rlms.dispose(student.session_id) == {"message": "Not found"}
    lab.rlms.must_start("bob", client={"write": "# bob\r"})
    received = lab.boards[0].wait_received(b"# bob\r")
    assert b"late" not in received
