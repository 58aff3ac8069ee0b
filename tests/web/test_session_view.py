"""What pages are shown of a session: its state, its devices, its tasks, and what an event without sense does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.store.sessions import SessionRecord, SessionState
from labkit.web.session_view import SessionView
from labkit.web.task_view import LINE, LINES

TASK = {"at": "1.5", "task": "t1", "name": "program"}


def record(**fields: str) -> SessionRecord:
    return SessionRecord(session_id="s", state=SessionState.ACTIVE, now=100.0, fields=fields)


def shown(view: SessionView) -> dict[str, Any]:
    return view.see(record(max_date="160.0", start_date="40.0", created="90.0"))[1]


def test_a_session_began_when_its_user_came_in_its_slot() -> None:
    assert shown(SessionView("s"))["started"] == 90.0


def test_progress_reaches_pages_as_numbers_and_text() -> None:
    view = SessionView("s")
    progress = json.dumps({"part": 0.25, "text": "writing"})
    assert view.hear("1-0", {**TASK, "progress": progress}) == (
        "task",
        {
            "task": "t1",
            "name": "program",
            "status": "running",
            "progress": {"part": 0.25, "text": "writing"},
            "log": [],
        },
    )


def test_a_log_reaches_pages_line_by_line_and_a_later_page_gets_the_last_ones() -> None:
    view = SessionView("s")
    for number in range(30):
        message = view.hear("1-0", {**TASK, "log": json.dumps(f"line {number}\nand more{'!' * 1000}")})
    assert message is not None
    assert message[1]["log"] == ["line 29", f"and more{'!' * (LINE - 8)}"]
    (task,) = shown(view)["tasks"]
    assert len(task["log"]) == LINES
    assert task["log"][-2] == "line 29"


def test_a_task_that_is_over_is_told_and_forgotten() -> None:
    view = SessionView("s")
    view.recall("1-0", {**TASK, "progress": json.dumps({"part": 2, "text": ""})})
    assert shown(view)["tasks"][0]["progress"]["part"] == 1.0
    message = view.hear("2-0", {**TASK, "status": "failed"})
    assert message is not None
    assert message[1]["status"] == "failed"
    assert shown(view)["tasks"] == []


@pytest.mark.parametrize("value", ["no JSON", "0.5", "{}", '{"part": "much"}', "[]", "null"])
def test_progress_without_sense_is_refused_and_passed(value: str) -> None:
    view = SessionView("s")
    with pytest.raises((ValueError, TypeError, KeyError)):
        view.hear("7-0", {**TASK, "progress": value})
    assert view.position == "7-0"


def test_a_device_that_was_given_back_is_not_recalled() -> None:
    view = SessionView("s")
    device = {"at": "1.0", "device": "bench-1/console", "condition": "offline", "reason": "unplugged"}
    view.recall("1-0", device)
    assert shown(view)["devices"] == [{**device, "at": 1.0}]
    view.recall("2-0", {**device, "hold": "none"})
    assert shown(view)["devices"] == []
