"""What labs rely on of users and their data: what of rlms.md is not proven beside them."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import pytest
from flask import jsonify
from flask_socketio import SocketIO

from labkit import CurrentUser, requires_login, socket_requires_active, weblab_user
from labkit.store.sessions import SessionState
from labkit.tasks import WebLabTask
from tests.reference.rlms_lab import MakeLab
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_lab import still_lab as still_lab
from tests.reference.rlms_table import proves
from tests.small_lab import SmallLab
from tests.toy import wait_until

FACTS = {
    "request.username": "ada",
    "request.username.unique": "ada@uni",
    "request.full_name": "Ada Lovelace",
    "request.locale": "en",
    "request.experiment_id.experiment_name": "uno",
    "request.experiment_id.category_name": "Boards",
}


def register(lab: SmallLab) -> dict[str, WebLabTask]:
    """A task that changes the user's data, and a view that submits it. Returns what was submitted, by name."""
    submitted: dict[str, WebLabTask] = {}

    @lab.weblab.task()
    def change(name: str, store: bool) -> str:
        weblab_user.data[name] = 1
        if store:
            weblab_user.data.store()
        return str(weblab_user.username)

    def submit(name: str, store: int) -> str:
        submitted[name] = change.delay(name, bool(store))
        return submitted[name].task_id

    lab.view("/change/<name>/<int:store>", requires_login(submit))
    return submitted


@proves("tasks may be run after a request")
def test_tasks_are_run_where_the_request_is_kept(still: SmallLab) -> None:
    submitted = register(still)
    session = still.start()
    with still.student(session) as student:
        student.get("/change/a/1")
        assert weblab_user.username == "ada"
        still.weblab.run_tasks()
        assert submitted["a"].retrieve().result == "ada"
        assert weblab_user.session_id == session


@proves("an expired user may submit tasks")
@pytest.mark.parametrize("state", [SessionState.OVER, SessionState.EXPIRED])
def test_expired_user_submits_a_task_in_a_view_for_those_who_were_in(still: SmallLab, state: SessionState) -> None:
    submitted = register(still)
    session = still.start()
    student = still.student(session)
    still.lab.sessions.exit(session)
    if state is SessionState.EXPIRED:
        still.weblab.clean_expired_users()
    assert still.state(session) is state
    assert student.get("/change/a/0").status_code == 200
    still.weblab.run_tasks()
    assert submitted["a"].retrieve().done


@proves("the user has all that is stated")
def test_user_has_all_that_labs_read(still: SmallLab) -> None:
    seen: dict[str, Any] = {}
    texts = ("username", "username_unique", "full_name", "locale", "back", "session_id", "experiment_name",
             "category_name", "experiment_id")  # fmt: skip
    others = ("last_poll", "max_date", "start_date", "exited", "request_client_data", "request_server_data",
              "time_left", "time_without_polling")  # fmt: skip
    still.view("/", lambda: (seen.update({name: getattr(weblab_user, name) for name in (*texts, *others)}), "ok")[1])
    session = still.start(server=FACTS, client={"a": [1]}, back="https://rlms.invalid/back", length=60)
    still.student(session).get("/")
    assert [seen[name] for name in texts] == [
        "ada", "ada@uni", "Ada Lovelace", "en", "https://rlms.invalid/back", session, "uno", "Boards", "uno@Boards",
    ]  # fmt: skip
    assert (seen["exited"], seen["request_client_data"]) == (False, {"a": [1]})
    assert seen["request_server_data"]["request.locale"] == "en"
    assert 0 < seen["time_left"] <= 60
    assert seen["time_without_polling"] >= 0


@proves("dates are seconds since 1970")
def test_dates_are_seconds_since_1970(still: SmallLab) -> None:
    before = time.time()
    user = still.lab.user(still.start(length=60))
    dates = (user.start_date, user.last_poll, user.max_date)
    assert [type(date) for date in dates] == [float] * 3
    assert before - 1 < user.start_date <= user.last_poll <= time.time() + 1
    assert user.max_date == pytest.approx(user.start_date + 60, abs=1e-3)


@proves("data is not saved after a task, which is warned of", "data is saved by hand in a task")
@pytest.mark.parametrize("store", [False, True])
def test_data_that_a_task_changes_is_saved_by_hand(
    still: SmallLab, store: bool, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = register(still)
    session = still.start()
    still.student(session).get(f"/change/a/{int(store)}")
    still.weblab.run_tasks()
    assert submitted["a"].retrieve().done
    assert still.lab.sessions.data(session) == ({"a": 1} if store else {})
    warned = [record for record in caplog.records if record.levelno == logging.WARNING and "data" in record.message]
    assert len(warned) == int(not store)


@proves("data is saved after a socket's event")
def test_data_that_a_socket_changes_is_saved(still: SmallLab) -> None:
    io = SocketIO(still.app, async_mode="threading")

    @io.on("count")
    @socket_requires_active
    def count() -> None:
        weblab_user.data["count"] = weblab_user.data.get("count", 0) + 1

    session = still.start()
    page = io.test_client(still.app, flask_test_client=still.student(session))
    for _ in range(3):
        page.emit("count")
    assert still.lab.sessions.data(session) == {"count": 3}


@proves("a user as text has the session's id, a task's has its own")
def test_user_and_task_as_text(still: SmallLab) -> None:
    submitted = register(still)
    session = still.start()
    shown: list[str] = []
    still.weblab.on_dispose(lambda: shown.append(str(weblab_user)))
    with still.student(session) as student:
        student.get("/change/a/0")
        assert session in str(weblab_user)
    assert submitted["a"].task_id in repr(submitted["a"])
    still.lab.sessions.exit(session)
    assert session in str(still.lab.user(session))
    still.weblab.clean_expired_users()
    assert session in shown[0]
    assert session in str(still.lab.user(session))


@proves("logs hold neither")
def test_logs_hold_no_id(make: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes well or wrong: a start, tasks, a logout, a dispose, guards, endings."""
    lab = make()
    submitted = register(lab)

    @lab.weblab.task()
    def fail() -> None:
        raise ValueError("this task fails")

    failed: list[WebLabTask] = []
    lab.view("/fail", requires_login(lambda: (failed.append(fail.run_sync(timeout=30)), "ok")[1]))
    lab.view("/login", requires_login(lambda: jsonify(weblab_user.data)))
    lab.weblab.on_dispose(lambda: [][0])
    caplog.set_level(logging.DEBUG)
    sessions = [lab.up().start(server=FACTS) for _ in range(3)]
    students = [lab.student(session) for session in sessions]
    for student in students:
        for path in ("/change/a/0", "/fail", "/login", "/labkit/", "/nothing"):
            student.get(path)
    students[0].post(f"/callback/{sessions[0]}/logout")
    for session in sessions[:2]:
        lab.dispose(session)
        lab.status(session)
    for session in sessions[:2]:
        lab.wait_state(session, SessionState.EXPIRED)
    wait_until(lambda: submitted["a"].retrieve().finished, "the task")
    students[0].get("/login")
    lines = "\n".join([*lab.log, caplog.text])
    secrets = [*sessions, *(task.task_id for task in (*failed, *submitted.values()))]
    assert [secret for secret in secrets if secret in lines] == []
    assert "this task fails" in lines
    assert re.search(r"\bada\b", "\n".join(lab.log), re.IGNORECASE) is None  # which may be part of a session's hash


@proves("on_dispose has the current user, whose data is kept")
def test_on_dispose_has_the_current_user_and_may_change_its_data(still: SmallLab) -> None:
    kinds: list[type] = []

    @still.weblab.on_dispose
    def dispose() -> None:
        kinds.append(type(weblab_user._get_current_object()))
        weblab_user.data["result"] = 17

    session = still.start()
    still.lab.sessions.store_data(session, {"before": 1}, [])
    wait_until(lambda: still.dispose(session)["message"] == "Deleted", "the end")
    assert kinds == [CurrentUser]
    assert still.lab.user(session).data == {"before": 1, "result": 17}
