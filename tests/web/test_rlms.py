"""The HTTP API that an RLMS calls: every answer of the reference, line by line.

What it is told while the store is away, or where labkit fails: test_rlms_troubles.py.
"""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest

from labkit import weblab_user
from labkit.store.sessions import SessionState
from tests.small_lab import CREDENTIALS, DELETED, DELETING, MakeLab, SmallLab
from tests.toy import wait_until

EVERY = [
    ("GET", "test", None),
    ("POST", "", {}),
    ("GET", "x/status", None),
    ("POST", "x", {"action": "delete"}),
    ("POST", "status/multiple", {"session_ids": ["x"]}),
]


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


# -- credentials


@pytest.mark.parametrize(("method", "path", "body"), EVERY[1:])
@pytest.mark.parametrize(
    "headers",
    [{}, basic("rlms:wrong"), basic("wrong:secret"), basic(":"), basic("rlms:"), {"Authorization": "Bearer secret"}],
)
def test_wrong_credentials_are_refused_everywhere(
    lab: SmallLab, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    answer = lab.rlms(method, path, body, headers=headers)
    assert (answer.status_code, answer.mimetype) == (401, "application/json")
    assert "seem to be" in answer.get_json()["message"]


def test_api_needs_no_credentials(lab: SmallLab) -> None:
    answer = lab.rlms("GET", "api", headers={})
    assert (answer.status_code, answer.get_json()) == (200, {"api_version": "1"})


def test_test_says_valid(lab: SmallLab) -> None:
    answer = lab.rlms("GET", "test")
    assert (answer.status_code, answer.get_json()) == (200, {"valid": True})


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "no username provided"),
        (basic("wrong:secret"), "wrong username provided"),
        (basic("rlms:wrong"), "wrong password provided"),
    ],
)
def test_test_says_what_is_wrong(lab: SmallLab, headers: dict[str, str], why: str) -> None:
    answer = lab.rlms("GET", "test", headers=headers)
    assert answer.status_code == 401
    assert answer.get_json() == {"valid": False, "error_messages": [f"Invalid credentials: {why}"]}


@pytest.mark.parametrize("name", ["ädä", "日本"])
def test_credentials_may_be_any_text(make: MakeLab, name: str) -> None:
    lab = make(WEBLAB_USERNAME=name, WEBLAB_PASSWORD=name)
    assert lab.rlms("GET", "test", headers=basic(f"{name}:{name}")).get_json() == {"valid": True}
    assert lab.rlms("GET", "test", headers=basic(f"{name}:x")).status_code == 401


@pytest.mark.parametrize(("method", "path", "body"), [*EVERY, ("GET", "api", None)])
def test_every_answer_is_json_whatever_was_sent(lab: SmallLab, method: str, path: str, body: Any) -> None:
    for headers in ({**CREDENTIALS, "Content-Type": "text/plain"}, {**CREDENTIALS, "Accept": "text/html"}):
        answer = lab.rlms(method, path, body, headers=headers)
        assert (answer.mimetype, answer.get_json() is not None) == ("application/json", True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 405),
        ("GET", "x", 405),
        ("PUT", "x", 405),
        ("POST", "x/status", 405),
        ("GET", "a/b/c", 404),
        ("DELETE", "", 405),
    ],
)
def test_what_nobody_asks_is_answered_in_json_too(lab: SmallLab, method: str, path: str, status: int) -> None:
    answer = lab.rlms(method, path)
    assert (answer.status_code, answer.get_json()["error"]) == (status, True)


# -- start


def test_start_gives_the_link_and_the_id(lab: SmallLab) -> None:
    answer = lab.post_start()
    facts = answer.get_json()
    assert answer.status_code == 200
    assert facts == {"url": f"http://localhost/callback/{facts['session_id']}", "session_id": facts["session_id"]}
    assert len(facts["session_id"]) == 43


def test_scheme_shapes_only_the_link(make: MakeLab) -> None:
    lab = make(WEBLAB_SCHEME="https")
    assert lab.post_start().get_json()["url"].startswith("https://localhost/callback/")


def test_on_start_gets_what_was_sent_and_what_it_returns_is_the_data(make: MakeLab) -> None:
    lab, seen = make(), []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
        seen.append((client, server, weblab_user.username, weblab_user.active))
        return {"n": 1}

    session = lab.start(client={"a": [1]}, server={"unknown.key": {"b": 2}})
    client, server, name, _ = seen[0]
    assert (client, server["unknown.key"], name) == ({"a": [1]}, {"b": 2}, "ada")
    assert lab.lab.sessions.data(session) == {"n": 1}


def test_on_start_that_returns_nothing_leaves_the_data(make: MakeLab) -> None:
    lab = make()

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        weblab_user.data["mine"] = 1

    assert lab.lab.sessions.data(lab.start()) == {"mine": 1}


def test_failing_on_start_is_an_error_with_json_and_ends_the_session(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        raise RuntimeError("no water in the tank; password is hunter2")

    answer = lab.post_start()
    assert (answer.status_code, answer.mimetype, answer.get_json()["error"]) == (503, "application/json", True)
    assert "RuntimeError" in answer.get_json()["message"]
    assert "hunter2" not in answer.text
    lab.wait_free()


def test_on_start_that_exits_is_an_error_with_json_too(make: MakeLab) -> None:
    lab = make()

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        raise SystemExit("a library calls exit")

    answer = lab.post_start()
    assert (answer.status_code, answer.mimetype, answer.get_json()["error"]) == (503, "application/json", True)


def test_on_start_whose_data_can_not_be_stored_fails_the_start(make: MakeLab) -> None:
    lab = make()
    lab.weblab.on_start(lambda client, server: {"bad": object()})
    answer = lab.post_start()
    assert answer.status_code == 503
    assert "data['bad'] is of type object" in answer.get_json()["message"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b"\xff", b'{"server_initial_data": 1}', b"[" * 100_000, b"", b"{}"]
)
def test_malformed_start_is_a_400_with_json(lab: SmallLab, body: bytes) -> None:
    answer = lab.rlms("POST", "", body)
    assert (answer.status_code, answer.get_json()["error"]) == (400, True)


def test_malformed_key_is_named(lab: SmallLab) -> None:
    answer = lab.post_start(length="soon")
    assert answer.status_code == 400
    assert "priority.queue.slot.length" in answer.get_json()["message"]


def test_slot_that_is_over_makes_a_session_that_is_over(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    session = lab.start(length=60, server={"priority.queue.slot.start.timestamp": 1000})
    assert lab.status(session) == -1
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.read(session).reason == "time"
    lab.wait_free()


def test_second_start_is_a_503_that_names_the_bench_and_not_the_user(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    lab.start(server={"request.username": "grace"})
    answer = lab.post_start()
    assert answer.status_code == 503
    assert "bench-1 is reserved by another session since" in answer.get_json()["message"]
    assert "until" in answer.get_json()["message"]
    assert "grace" not in answer.text


def test_bench_that_can_not_be_made_ready_is_left_and_the_next_one_taken(make: MakeLab) -> None:
    lab = make(devices=["toy"], benches=2).up()
    lab.worlds["bench-1/toy"].failing["make_safe"] = RuntimeError("motor hot")
    assert list(lab.read(lab.start()).fences) == ["bench-2"]
    assert lab.benches()["bench-1"].devices[0].condition == "faulty"


def test_nothing_ready_is_a_503_that_says_why(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    lab.world.failing["make_safe"] = RuntimeError("motor hot")
    answer = lab.post_start()
    assert answer.status_code == 503
    assert "motor hot" in answer.get_json()["message"]


def test_undeclared_lab_without_devices_starts(lab: SmallLab) -> None:
    assert lab.read(lab.start()).fences == {}


# -- status


def test_status_asks_again_after_the_interval_or_the_time_left(make: MakeLab) -> None:
    lab = make().up()
    assert lab.status(lab.start(length=1000)) == 5.0
    lab = make(WEBLAB_POLL_INTERVAL=50).up()
    assert 0 < lab.status(lab.start(length=40)) <= 40.0


@pytest.mark.parametrize(("interval", "answer"), [(0.5, 0.5), (0, 0.0), (30, 30.0)])
def test_interval_can_be_set(make: MakeLab, interval: float, answer: float) -> None:
    lab = make(WEBLAB_POLL_INTERVAL=interval).up()
    assert lab.status(lab.start(length=1000)) == answer


def test_status_of_an_unknown_session_is_finished(lab: SmallLab) -> None:
    assert lab.status("nobody") == -1
    assert lab.status("%00<x>") == -1


def test_status_says_finished_as_soon_as_the_user_is_out(make: MakeLab) -> None:
    lab, gate = make(WEBLAB_AUTOCLEAN_THREAD=False), threading.Event()
    lab.weblab.on_dispose(lambda: gate.wait(20) and None)
    lab.client().get("/")
    timed, left = lab.start(length=0.05), lab.start()
    lab.lab.sessions.exit(left)
    assert lab.status(left) == -1
    wait_until(lambda: lab.status(timed) == -1, "the end")
    gate.set()


def test_asking_for_the_status_ends_nothing(make: MakeLab) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    lab.client().get("/")
    session = lab.start(length=0.01)
    wait_until(lambda: lab.status(session) == -1, "the end")
    assert lab.state(session) is SessionState.OVER


def test_first_status_that_sees_the_end_writes_it_once(make: MakeLab) -> None:
    lab = make().up()
    session = lab.start(length=0.05)
    lab.wait_state(session, SessionState.EXPIRED)
    for _ in range(3):
        assert lab.status(session) == -1
    (line,) = lab.lifecycle()
    facts = ("expiry_detected", "time_limit_reached", "status_time", "/weblab/sessions/<session_id>/status")
    assert (line["action"], line["reason"], line["source"], line["path"]) == facts
    assert session not in str(lab.log)
    assert "ada" not in str(lab.log)
    assert line["seconds_past_max_date"] >= 0
    assert line["experiment_id"] is None


def test_lifecycle_log_can_be_off(make: MakeLab) -> None:
    lab = make(WEBLAB_LOG_SESSION_LIFECYCLE=False).up()
    lab.dispose(lab.start())
    assert lab.lifecycle() == []


# -- status/multiple


def test_status_of_several(lab: SmallLab) -> None:
    session = lab.start(length=1000)
    answer = lab.rlms("POST", "status/multiple", {"session_ids": [session, "nobody"], "timeout": 5})
    assert (answer.status_code, answer.get_json()) == (200, {"status": {session: 5.0, "nobody": -1.0}})


def test_after_the_timeout_the_rest_is_absent(lab: SmallLab) -> None:
    answer = lab.rlms("POST", "status/multiple", {"session_ids": ["a", "b"], "timeout": 0})
    assert answer.get_json() == {"status": {}}


def test_no_ids_is_an_error_code(lab: SmallLab) -> None:
    answer = lab.rlms("POST", "status/multiple", {})
    assert answer.status_code == 200
    assert answer.get_json() == {
        "success": False,
        "error_code": "missing-parameters",
        "error_human": "Missing parameter: session_ids, a list of text.",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"session_ids": "abc"},
        {"session_ids": [1]},
        {"session_ids": ["a"], "timeout": "x"},
        {"session_ids": ["a"], "timeout": True},
    ],
)
def test_malformed_multiple_is_a_400(lab: SmallLab, body: Any) -> None:
    assert lab.rlms("POST", "status/multiple", body).status_code == 400


# -- dispose


def test_dispose_ends_the_session_and_says_so_as_often_as_asked(lab: SmallLab) -> None:
    session = lab.start()
    wait_until(lambda: lab.dispose(session) == DELETED, "the end")
    assert lab.dispose(session) == DELETED
    assert lab.status(session) == -1
    assert lab.read(session).reason == "disposed"


def test_dispose_looks_at_the_action_first_then_at_the_session(lab: SmallLab) -> None:
    session = lab.start()
    for path in (session, "nobody"):
        for body in ({"action": "fly"}, {}, None):
            answer = lab.rlms("POST", path, body)
            assert (answer.status_code, answer.get_json()) == (200, {"message": "Unknown op"})
    assert lab.dispose("nobody") == {"message": "Not found"}
    assert lab.state(session) is SessionState.ACTIVE


def test_long_ending_is_answered_at_once_and_status_asks_again(make: MakeLab) -> None:
    lab, gate = make().up(), threading.Event()
    lab.weblab.on_dispose(lambda: gate.wait(30) and None)
    session = lab.start()
    assert lab.dispose(session) == DELETING
    assert lab.status(session) == 2
    gate.set()
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.dispose(session) == DELETED
    assert [line["action"] for line in lab.lifecycle()] == ["disposed"]


def test_dispose_while_on_start_runs_comes_after_it(make: MakeLab) -> None:
    lab, begun, go_on = make().up(), threading.Event(), threading.Event()
    ids: list[str] = []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        ids.append(weblab_user.session_id)
        begun.set()
        assert go_on.wait(30)

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(lab.post_start()))
    thread.start()
    assert begun.wait(30)
    assert lab.dispose(ids[0])["message"] == "Deleting"
    assert lab.status(ids[0]) > 0
    go_on.set()
    thread.join(30)
    assert answers[0].status_code == 503
    lab.wait_state(ids[0], SessionState.EXPIRED)
    assert lab.read(ids[0]).reason == "disposed"


def test_failing_on_dispose_stops_nothing(make: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    lab = make(devices=["toy"]).up()

    @lab.weblab.on_dispose
    def dispose() -> None:
        raise RuntimeError("pump stuck")

    session = lab.start()
    wait_until(lambda: lab.dispose(session) == DELETED, "the end")
    lab.wait_free()
    assert "pump stuck" in caplog.text
    assert session not in caplog.text


def test_dispose_is_logged_once_as_disposed(lab: SmallLab) -> None:
    session = lab.start()
    wait_until(lambda: lab.dispose(session) == DELETED, "the end")
    lab.status(session)
    (line,) = lab.lifecycle()
    facts = ("disposed", "unknown_expiry", "dispose_user", "POST", "active")
    assert (line["action"], line["reason"], line["source"], line["method"], line["status"]) == facts


def test_process_without_threads_does_the_work_itself(make: MakeLab) -> None:
    lab, seen = make(WEBLAB_NO_THREAD=True), []
    lab.weblab.on_dispose(lambda: seen.append(weblab_user.username))
    session = lab.start()
    wait_until(lambda: lab.dispose(session) == DELETED, "the end")
    assert seen == ["ada"]


# -- addresses


@pytest.mark.parametrize("url", ["/foo", "foo", "/foo/", "foo/"])
def test_base_url_may_have_slashes(make: MakeLab, url: str) -> None:
    lab = make(WEBLAB_BASE_URL=url)
    assert lab.client().get("/foo/weblab/sessions/api").get_json() == {"api_version": "1"}
    assert lab.client().get("/foo/weblab/sessions/api/").get_json() == {"api_version": "1"}


@pytest.mark.parametrize("path", ["", "?"])
def test_start_may_lack_the_last_slash(lab: SmallLab, path: str) -> None:
    answer = lab.app.test_client().post(
        "/weblab/sessions" + path,
        json={"server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 5}},
        headers=CREDENTIALS,
    )
    assert answer.status_code == 200
