"""Who may come in: guards, the poll of each request, the session bound to a request, its data, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import jsonify

from labkit import (
    NoContextError,
    get_weblab_user,
    logout,
    poll,
    requires_active,
    requires_login,
    weblab_user,
)
from labkit.context import bound_session
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab
from tests.toy import wait_until

MakeLab = Callable[..., SmallLab]


class Views:
    """The views of the tests; `runs` counts those that ran."""

    def __init__(self, lab: SmallLab):
        self.runs: list[str] = []
        for view in (self.active, self.count, self.bad, self.fences, self.polls):
            lab.view(f"/{view.__name__}", requires_active(view))
        lab.view("/login", requires_login(self.login))
        lab.view("/free", self.free)
        lab.view("/bye", self.bye)
        self._lab = lab

    def free(self) -> Any:
        return jsonify(
            name=None if weblab_user.is_anonymous else weblab_user.username, bound=bound_session() is not None
        )

    def active(self) -> Any:
        self.runs.append("active")
        return jsonify(name=weblab_user.username)

    def login(self) -> Any:
        self.runs.append("login")
        return jsonify(active=weblab_user.active)

    def count(self) -> Any:
        weblab_user.data["count"] = weblab_user.data.get("count", 0) + 1
        return jsonify(weblab_user.data)

    def bad(self) -> Any:
        weblab_user.data["bad"] = object()
        return "ok"

    def polls(self) -> Any:
        poll()
        return "ok"

    def bye(self) -> Any:
        logout()
        logout()
        return "bye"

    def fences(self) -> Any:
        return jsonify(list(self._lab.weblab.devices))


@pytest.fixture
def views(lab: SmallLab) -> Views:
    return lab.views  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    return with_views(make)


def with_views(make: MakeLab, **options: Any) -> SmallLab:
    lab = make(**options)
    lab.views = Views(lab)  # type: ignore[attr-defined]
    return lab.up()


# -- requires_active


def test_active_user_gets_in(lab: SmallLab) -> None:
    student = lab.student(lab.start())
    assert student.get("/active").get_json() == {"name": "ada"}


def test_stranger_is_refused_and_the_view_does_not_run(lab: SmallLab, views: Views) -> None:
    answer = lab.client().get("/active")
    assert (answer.status_code, answer.text, views.runs) == (403, "Access forbidden", [])
    (line,) = lab.lifecycle()
    facts = ("protected_request_rejected", "anonymous_no_session_cookie", None, None)
    assert (line["action"], line["reason"], line["source"], line["session_id_hash"]) == facts


@pytest.mark.parametrize("how", ["time", "logout", "dispose"])
def test_user_who_is_out_is_sent_back_and_the_view_does_not_run(lab: SmallLab, views: Views, how: str) -> None:
    session = lab.start(length=0.3 if how == "time" else 60)
    student = lab.student(session)
    if how == "time":
        wait_until(lambda: lab.state(session) is not SessionState.ACTIVE, "the end")
    elif how == "logout":
        lab.lab.sessions.exit(session)
    else:
        lab.dispose(session)
    answer = student.get("/active")
    assert (answer.status_code, answer.location, views.runs) == (302, "http://rlms.invalid/b", [])


def test_user_who_came_from_nowhere_is_refused(lab: SmallLab) -> None:
    session = lab.start(back=None)
    student = lab.student(session)
    lab.lab.sessions.exit(session)
    assert student.get("/active").status_code == 403


def test_cookie_of_a_forgotten_session_is_refused(lab: SmallLab, views: Views) -> None:
    client = lab.client()
    with client.session_transaction() as cookie:
        cookie["weblab_session_id"] = "forgotten"
    assert client.get("/active").status_code == 403
    assert client.get("/login").status_code == 403
    assert views.runs == []
    assert {line["reason"] for line in lab.lifecycle()} == {"anonymous_session_not_found"}


@pytest.mark.parametrize("value", [17, "", None, ["x"], {"a": 1}])
def test_cookie_that_holds_no_id_is_nobodys(lab: SmallLab, value: Any) -> None:
    client = lab.client()
    with client.session_transaction() as cookie:
        cookie["weblab_session_id"] = value
    assert client.get("/active").status_code == 403
    assert client.get("/free").get_json() == {"name": None, "bound": False}


def test_session_that_still_starts_lets_nobody_in(make: MakeLab) -> None:
    lab = with_views(make)
    codes = []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        browser = lab.client()
        with browser.session_transaction() as cookie:
            cookie["weblab_session_id"] = weblab_user.session_id
        codes.append(browser.get("/active").status_code)

    lab.start()
    assert codes[0] != 200
    assert lab.views.runs == []  # type: ignore[attr-defined]


# -- requires_login


def test_login_is_for_active_and_expired_users(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    assert student.get("/login").get_json() == {"active": True}
    lab.lab.sessions.exit(session)
    assert student.get("/login").get_json() == {"active": False}
    lab.wait_state(session, SessionState.EXPIRED)
    assert student.get("/login").get_json() == {"active": False}
    assert lab.client().get("/login").status_code == 403


# -- what a refusal looks like


def test_refusal_can_be_a_template(make: MakeLab, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "no.html").write_text("not you, {{ 'stranger' if weblab_user.is_anonymous }}")
    lab = with_views(make, WEBLAB_UNAUTHORIZED_TEMPLATE="no.html")
    answer = lab.client().get("/active")
    assert (answer.status_code, answer.text) == (403, "not you, stranger")


def test_refusal_can_be_a_link(make: MakeLab) -> None:
    lab = with_views(make, WEBLAB_UNAUTHORIZED_LINK="https://rlms.invalid/")
    assert lab.client().get("/active").location == "https://rlms.invalid/"


# -- polls


def test_every_request_is_a_poll(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    for path in ("/free", "/active", "/no-such-page", "/callback/x/poll"):
        before = lab.read(session).number("last_poll")
        student.get(path)
        assert lab.read(session).number("last_poll") > before


def test_without_autopoll_only_poll_counts(make: MakeLab) -> None:
    lab = with_views(make, WEBLAB_AUTOPOLL=False)
    session = lab.start()
    student = lab.student(session)
    before = lab.read(session).number("last_poll")
    for path in ("/active", "/free"):
        student.get(path)
    assert lab.read(session).number("last_poll") == before
    student.get("/polls")
    assert lab.read(session).number("last_poll") > before


def test_request_after_the_silence_revives_nothing(make: MakeLab) -> None:
    lab = with_views(make, WEBLAB_TIMEOUT=0.2, WEBLAB_AUTOCLEAN_THREAD=False)
    session = lab.start()
    student = lab.student(session)
    wait_until(lambda: lab.state(session) is SessionState.OVER, "the silence")
    assert student.get("/active").status_code == 302
    assert lab.state(session) is SessionState.OVER


@pytest.mark.parametrize("path", ["/active", "/login", "/callback/{session}/poll"])
def test_one_round_trip_for_a_guarded_request(lab: SmallLab, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    session = lab.start()
    student, asked = lab.student(session), []
    store = lab.lab.store
    run, command = type(store).run, type(store).command
    here = flask.has_request_context
    monkeypatch.setattr(store, "run", lambda *a: (asked.append(a) if here() else None, run(store, *a))[1])
    monkeypatch.setattr(store, "command", lambda *a: (asked.append(a) if here() else None, command(store, *a))[1])
    assert student.get(path.format(session=session)).status_code == 200
    assert [row[0] for row in asked] == ["session_touch"]


def test_logout_of_lab_code(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    assert student.get("/bye").text == "bye"
    assert lab.status(session) == -1
    assert lab.client().get("/bye").text == "bye"


# -- data


def test_data_is_saved_after_a_view_where_it_was_modified(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    assert [student.get("/count").get_json() for _ in range(3)] == [{"count": 1}, {"count": 2}, {"count": 3}]
    assert lab.lab.sessions.data(session) == {"count": 3}


def test_data_that_can_not_be_stored_is_an_error(lab: SmallLab) -> None:
    lab.app.config["PROPAGATE_EXCEPTIONS"] = False
    student = lab.student(lab.start())
    assert student.get("/bad").status_code == 500


def test_user_stays_readable_after_the_request(lab: SmallLab) -> None:
    session = lab.start()
    with lab.student(session) as student:
        student.get("/active")
        assert weblab_user.username == "ada"
        assert weblab_user.session_id == session
    assert bound_session() is None


def test_user_needs_an_app(lab: SmallLab) -> None:
    with pytest.raises(NoContextError):
        get_weblab_user()


def test_devices_of_a_request_are_its_sessions(make: MakeLab) -> None:
    lab = with_views(make, devices=["toy"])
    student = lab.student(lab.start())
    assert student.get("/fences").get_json() == ["bench-1/toy"]


# -- the store goes away


def test_pages_without_a_guard_work_while_the_store_is_away(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url) as lab:
        views = Views(lab)
        lab.view("/plain", lambda: "plain")
        student = lab.up().student(lab.start())
        server.stop()
        assert student.get("/plain").text == "plain"
        for path in ("/active", "/login"):
            answer = student.get(path)
            assert (answer.status_code, answer.headers["Retry-After"], answer.headers["Cache-Control"]) == (
                503,
                "5",
                "no-store",
            )
        assert views.runs == []


def test_lab_without_a_secret_key_says_so_to_the_rlms_and_serves_its_pages(make: MakeLab) -> None:
    lab = with_views(make, SECRET_KEY=None)
    answer = lab.post_start()
    assert (answer.status_code, answer.mimetype) == (503, "application/json")
    assert "SECRET_KEY" in answer.get_json()["message"]
    assert lab.status("nobody") == -1
    assert lab.client().get("/free").status_code == 200
    assert lab.client().get("/active").status_code == 403
