"""The mission in one test: a bench taken by hand, a unique task that drives it, and an end that takes it from both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.passed_time import bring_end_near
from tests.flows.people import Student, eventually
from tests.flows.visit import SAFE, dispose

BY_HAND: dict[str, Any] = {"acquire": {}}
OWN = b"# driven by ada\r"


@pytest.mark.parametrize("reason", ["time", "disposed"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_end_takes_the_bench_from_a_task_that_drives_it(
    make_lab: Callable[..., FlowLab], layout: str, reason: str
) -> None:
    lab = make_lab(settings={"LABKIT_ACQUIRE": False}).start(layout)
    ada = lab.rlms.must_start("ada", client=BY_HAND).enter()
    assert list(lab.sessions.touch(ada.session_id, poll=False).fences) == ["bench-1"]
    task = drive(ada, "# driven by ada")
    assert task["status"] in ("submitted", "running")
    eventually(lambda: len(lab.acts("drove")) >= 3, what="the task drives the console")
    second = drive(ada, "# driven twice")
    assert second["status"] == "failed"
    assert second["error"]["class"] == "AlreadyRunningError"
    status, refusal = lab.rlms.start("eve", client=BY_HAND)
    assert status == 503
    assert "bench-1 is reserved by another session since" in refusal["message"]

    if reason == "disposed":
        lab.rlms.dispose(ada.session_id)
    else:
        bring_end_near(lab.store, ada.session_id)
    eventually(lambda: lab.acts("drive failed"), what="the task's next call fails")
    failure = lab.acts("drive failed")[0]
    assert failure["error"] == "ReservationLostError"
    assert "another session" not in failure["message"]  # its own session's ending has the bench
    lab.wait_state(ada.session_id, "expired")
    assert lab.sessions.touch(ada.session_id, poll=False).reason == reason
    lab.wait_free()
    received = lab.boards[0].received()
    assert received.endswith(b"halt\r" + SAFE)  # what on_dispose wrote, and the force release
    assert received.count(OWN) - len(lab.acts("drove")) in (0, 1)  # the last may have been ended while it was written
    assert b"twice" not in received
    shown = ada.ask("GET", f"/task/{task['id']}")[1]
    assert (shown["status"], shown["error"]["class"]) == ("failed", "ReservationLostError")
    assert ada.ask("POST", "/report")[1] == {"status": "done", "result": "ada"}  # a late task, which needs no device

    following = lab.rlms.must_start("next", client=BY_HAND).enter()
    assert drive(following, "# driven by the next")["error"] is None
    received = lab.boards[0].wait_received(b"# driven by the next\r")
    assert OWN not in received[received.rindex(SAFE) :]
    dispose(lab, following.session_id)


def drive(student: Student, line: str) -> dict[str, Any]:
    status, task, _ = student.ask("POST", f"/drive?line={line.replace(' ', '%20').replace('#', '%23')}&seconds=60")
    assert status == 200
    return dict(task)
