"""The way of one session over HTTP and a real socket, in both layouts, and each way in which it can end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import eventually

CONSOLE = "bench-1/console"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_go_both_ways_from_start_to_dispose(make_lab: Callable[..., FlowLab], layout: str) -> None:
    lab = make_lab().start(layout)
    student = lab.rlms.must_start(length=60).enter()
    with student.socket() as page:
        page.subscribe(CONSOLE)
        assert page.write(CONSOLE, b"led 1 on\r")["result"] == 9
        eventually(lambda: b"led 1 is on" in page.bytes(), what="the board's answer on the page")
        assert b"led 1 on\r" in lab.boards[0].received()
        assert 0 < lab.rlms.status(student.session_id) <= 5
        eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
        eventually(lambda: page.sessions[-1]["state"] in ("ending", "expired"), what="the page is told")
    assert lab.rlms.status(student.session_id) == -1
    assert lab.boards[0].received().endswith(b"halt\r")
    assert lab.boards[0].control("led?") is not None
    assert len(lab.acts("on_dispose")) == 1
    lab.wait_free()
