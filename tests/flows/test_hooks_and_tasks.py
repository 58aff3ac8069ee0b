"""`run_sync` in `on_start` and `on_dispose`, and what `on_dispose` submits: in every layout of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import eventually

IN_HOOKS = {"run_sync": True}


def said(lab: FlowLab, user: str) -> list[str]:
    return [act["line"] for act in lab.acts("said") if act["user"] == user]


def ran(lab: FlowLab) -> dict[str, dict[str, Any]]:
    """What `run_sync` gave in each hook."""
    return {act["hook"]: act for act in lab.acts("run_sync")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hooks_run_tasks_while_a_task_of_another_session_never_ends(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab(benches=2)
    if layout == "services":
        lab.loop(WEBLAB_TASK_THREADS_PROCESS=1)
        lab.web()
    else:
        lab.settings["WEBLAB_TASK_THREADS_PROCESS"] = 1
        lab.threaded_web()
    lab.wait_free()
    busy = lab.rlms.must_start("busy", length=600).enter()
    assert busy.ask("POST", "/drive?line=led&seconds=500")[0] == 200
    eventually(lambda: lab.acts("drove"), what="the endless task")
    ada = lab.rlms.must_start("ada", length=600, client=IN_HOOKS).enter()
    lab.rlms.dispose(ada.session_id)
    lab.wait_state(ada.session_id, "expired")
    assert said(lab, "ada") == ["run_sync in on_start", "run_sync in on_dispose", "submitted in on_dispose"]
    owner = lab.processes[0].pid  # the loop, or the web process that does everything
    assert {hook: (act["status"], act["result"]) for hook, act in ran(lab).items()} == {
        "on_start": ("done", owner), "on_dispose": ("done", owner)
    }  # fmt: skip
    assert busy.ask("GET", "/me")[1] == {"username": "busy", "active": True}
    (board,) = (board for board in lab.boards if b"# run_sync in on_start" in board.received())
    assert b"# submitted in on_dispose" in board.received()


def test_ending_does_the_whole_work_by_itself_where_nothing_else_runs(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab(benches=0)
    web = lab.web()
    ada = lab.rlms.must_start("ada", length=600, client={}).enter()
    lab.sessions.store_data(ada.session_id, {"client": IN_HOOKS}, [])
    assert lab.rlms.dispose(ada.session_id)["message"] in ("Deleted", "Deleting")
    lab.wait_state(ada.session_id, "expired")
    assert said(lab, "ada") == ["run_sync in on_dispose", "submitted in on_dispose"]
    assert ran(lab)["on_dispose"]["status"] == "done"
    assert web.poll() is None
