"""What an RLMS asks and is answered: what of rlms.md is not proven beside the routes themselves."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from labkit import WebLab, current_task_stopping, weblab_user
from labkit.settings import SETTINGS, read_settings
from labkit.store.sessions import SessionState
from labkit.tasks import WebLabTask
from tests.reference.rlms_lab import MakeLab
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_lab import running_lab as running_lab
from tests.reference.rlms_lab import still_lab as still_lab
from tests.reference.rlms_table import proves
from tests.small_lab import CREDENTIALS, SmallLab
from tests.toy import wait_until

# -- names


@proves("the lists of tasks are properties", "sync is store, and anonymous is is_anonymous")
def test_names_that_the_reference_has_otherwise(lab: SmallLab) -> None:
    assert isinstance(WebLab.tasks, property)
    assert isinstance(WebLab.running_tasks, property)
    assert WebLabTask.sync is WebLabTask.store
    session = lab.start()
    for user in (lab.lab.user(session), lab.lab.user("nobody")):
        assert user.anonymous is user.is_anonymous


@proves("join can ask the task to stop")
def test_join_asks_the_task_to_stop(make: MakeLab) -> None:
    lab = make()

    @lab.weblab.task()
    def work() -> str:
        wait_until(lambda: bool(current_task_stopping), "the stop")
        return "stopped"

    lab.view("/work", lambda: work.delay().join(timeout=30, stop=True).result)
    assert lab.student(lab.up().start()).get("/work").text == "stopped"


# -- requests


@proves("a body is JSON whatever its Content-Type says")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", None])
def test_content_type_does_not_count(still: SmallLab, kind: str | None) -> None:
    body = {"server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 5}}
    headers = {**CREDENTIALS, **({"Content-Type": kind} if kind else {})}
    assert still.rlms("POST", "", body, headers=headers).status_code == 200


@proves("successes are 200")
def test_every_success_is_a_200(still: SmallLab) -> None:
    session = still.start()
    asked: list[tuple[str, str, Any]] = [
        ("GET", "api", None), ("GET", "test", None), ("GET", f"{session}/status", None),
        ("POST", "status/multiple", {"session_ids": [session]}), ("POST", session, {"action": "delete"}),
    ]  # fmt: skip
    assert {still.rlms(*request).status_code for request in asked} == {200}
    assert still.post_start().status_code == 200


@proves("a slot may be a fraction of a second")
@pytest.mark.parametrize("length", [0.1, "0.1"])
def test_slot_of_a_tenth_of_a_second(still: SmallLab, length: Any) -> None:
    record = still.read(still.start(length=length))
    assert record.number("max_date") - record.number("start_date") == pytest.approx(0.1, abs=1e-4)


@proves("settings may be fractions of a second")
def test_every_time_may_be_a_fraction() -> None:
    times = [setting for setting in SETTINGS if isinstance(setting.default, float)]
    assert {"WEBLAB_TIMEOUT", "WEBLAB_POLL_INTERVAL", "WEBLAB_TASK_EXPIRES"} < {setting.name for setting in times}
    settings = read_settings({setting.name: "0.25" for setting in times})
    assert {getattr(settings, setting.field) for setting in times} == {0.25}


# -- status


@proves("status is 0 only where the interval is")
def test_status_never_says_zero(make: MakeLab) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    session, told = lab.start(length=0.3), [1.0]
    while told[-1] != -1:
        told.append(lab.status(session))
    assert 0 not in told
    assert max(told[1:]) <= 0.3
    at_once = make(WEBLAB_POLL_INTERVAL=0)
    assert at_once.status(at_once.start()) == 0


@proves("status is -1 as soon as the user was silent too long", "silence counts whether the link was followed or not")
@pytest.mark.parametrize("follows", [True, False])
def test_silence_is_the_end(make: MakeLab, follows: bool) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False, WEBLAB_TIMEOUT=2.0)
    session = lab.start()
    if follows:
        lab.client().get(f"/callback/{session}")
    wait_until(lambda: lab.status(session) == -1, "the silence")
    assert (lab.state(session), lab.read(session).reason) == (SessionState.OVER, "inactivity")
    assert lab.read(session).number("max_date") > lab.read(session).now


@proves("status is -1 as soon as the user has logged out", "logout only marks the session")
def test_logout_is_the_end_at_once_and_ends_nothing(still: SmallLab) -> None:
    disposed: list[str] = []
    still.weblab.on_dispose(lambda: disposed.append(weblab_user.username))
    session = still.start()
    assert still.student(session).post(f"/callback/{session}/logout").get_json() == {"success": True}
    assert still.status(session) == -1
    assert (still.state(session), disposed) == (SessionState.OVER, [])


@proves("logout wakes the reaper")
def test_logout_is_followed_by_the_ending(lab: SmallLab) -> None:
    session = lab.start()
    lab.student(session).post(f"/callback/{session}/logout")
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.read(session).reason == "logout"


@proves("status is -1 while labkit ends the session itself")
def test_status_during_an_ending_that_nobody_asked_for(make: MakeLab) -> None:
    lab, gate = make().up(), threading.Event()
    lab.weblab.on_dispose(lambda: gate.wait(30) and None)
    session = lab.start(length=0.05)
    lab.wait_state(session, SessionState.ENDING)
    assert lab.status(session) == -1
    gate.set()
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.status(session) == -1


@proves("no answer to a dispose has data")
def test_dispose_never_answers_with_data(make: MakeLab) -> None:
    lab, gate = make().up(), threading.Event()
    lab.weblab.on_dispose(lambda: gate.wait(30) and {"data": 1})
    session = lab.start()
    answers = [lab.dispose(session), lab.dispose("nobody")]
    gate.set()
    lab.wait_state(session, SessionState.EXPIRED)
    answers += [lab.dispose(session), lab.rlms("POST", session, {"action": "x"}).get_json()]
    assert [answer["message"] for answer in answers] == ["Deleting", "Not found", "Deleted", "Unknown op"]
    assert "data" not in json.dumps(answers)


# -- what is sent


@proves("the reservation's id reaches on_start by either name")
@pytest.mark.parametrize("key", ["weblab_reservation_id", "reservation_id"])
def test_id_of_the_reservation_reaches_on_start(still: SmallLab, key: str) -> None:
    seen: list[Any] = []
    still.weblab.on_start(lambda client, server: seen.append(server[key]))
    still.start(server={key: "r-1"})
    assert seen == ["r-1"]


@proves("full name, category, locale and back may be null")
def test_what_may_be_null(still: SmallLab) -> None:
    keys = ("request.full_name", "request.experiment_id.category_name", "request.locale")
    user = still.lab.user(still.start(server=dict.fromkeys(keys), back=None))
    assert (user.full_name, user.category_name, user.locale, user.back, user.experiment_id) == (None,) * 5


# -- who does the work


@proves("without threads and loop run_tasks does the work")
def test_run_tasks_works_in_the_caller(still: SmallLab) -> None:
    seen: list[threading.Thread] = []

    @still.weblab.task()
    def work() -> None:
        seen.append(threading.current_thread())

    still.view("/work", lambda: work.delay().task_id)
    student = still.student(still.start())
    assert len(student.get("/work").text) == 43
    assert seen == []
    still.weblab.run_tasks()
    assert seen == [threading.current_thread()]


@proves("silence counts from the end of on_start")
def test_silence_counts_from_the_end_of_on_start(make: MakeLab) -> None:
    lab, ended = make(WEBLAB_TIMEOUT=60, WEBLAB_NO_THREAD=True), []

    @lab.weblab.on_start
    def start(client: Any, server: Any) -> None:
        ended.append(lab.read("nobody").now)

    record = lab.read(lab.start())
    assert record.number("last_poll") >= ended[0]
    assert record.number("last_poll") > record.number("created")


@proves("no ending begins while on_start runs")
def test_on_start_that_outlasts_its_slot_is_not_disturbed(make: MakeLab) -> None:
    lab, acts = make().up(), []
    lab.weblab.on_dispose(lambda: acts.append("on_dispose"))

    @lab.weblab.on_start
    def start(client: Any, server: Any) -> None:
        session = weblab_user.session_id
        over = lab.read(session).number("max_date") + 2.0  # the reaper looks every second
        wait_until(lambda: lab.read(session).now > over, "the end of the slot")
        acts.append(str(lab.state(session)))

    answer = lab.post_start(length=0.05)
    assert answer.status_code == 200
    lab.wait_state(answer.get_json()["session_id"], SessionState.EXPIRED)
    assert acts == ["starting", "on_dispose"]


@proves("on_start runs in the process that got the request")
def test_on_start_runs_where_the_request_came(lab: SmallLab) -> None:
    threads: list[threading.Thread] = []

    @lab.weblab.on_start
    def start(client: Any, server: Any) -> None:
        threads.append(threading.current_thread())

    lab.start()
    assert threads == [threading.current_thread()]


@proves("an ending is the loop's where one is")
def test_ending_is_carried_out_where_the_endings_are(make: MakeLab) -> None:
    web = make(WEBLAB_NO_THREAD=True)
    loop = make(WEBLAB_REDIS_BASE=web.app.config["WEBLAB_REDIS_BASE"])
    ran: list[str] = []
    web.weblab.on_dispose(lambda: ran.append("web"))
    loop.weblab.on_dispose(lambda: ran.append("loop"))
    session = web.start()
    loop.up()
    wait_until(lambda: web.dispose(session)["message"] == "Deleted", "the end")
    loop.weblab.close()
    session = web.start()
    wait_until(lambda: not web.lab.processes.with_role("endings"), "the end of the loop")
    wait_until(lambda: web.dispose(session)["message"] == "Deleted", "the end")
    assert ran == ["loop", "web"]


@proves("the reaper ends what the RLMS never disposes of")
@pytest.mark.parametrize("why", ["time", "inactivity"])
def test_session_that_nobody_asks_for_is_ended(make: MakeLab, why: str) -> None:
    lab = make(WEBLAB_TIMEOUT=0.1 if why == "inactivity" else 0).up()
    session = lab.start(length=0.1 if why == "time" else 60)
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.read(session).reason == why
