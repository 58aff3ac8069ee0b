"""How much one session may ask of labkit's own routes: more is refused without asking the store, and nobody else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labkit.web import rates
from labkit.web.request_limits import BODY_BYTES
from tests.small_lab import MakeLab, SmallLab
from tests.web.standing_time import StandingTime

AT_ONCE = 5


@pytest.fixture
def lab(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> SmallLab:
    """A lab that takes five requests of a session at once, and no more: for it time stands still."""
    monkeypatch.setattr(rates, "BURST_SECONDS", AT_ONCE)
    monkeypatch.setattr(rates, "time", StandingTime())
    return make(LABKIT_MOST_REQUESTS=1).up()


def exhaust(student: FlaskClient, session: str) -> TestResponse:
    """Ask as much as is taken, and once more."""
    for _ in range(AT_ONCE):
        assert student.post(f"/callback/{session}/poll").status_code == 200
    return student.post(f"/callback/{session}/poll")


def test_one_request_too_many_is_a_429_that_says_when_to_come_again(lab: SmallLab) -> None:
    session = lab.start()
    answer = exhaust(lab.student(session), session)
    assert (answer.status_code, answer.mimetype) == (429, "application/json")
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert answer.get_json()["error"] is True
    assert "success" not in answer.get_json()  # false would mean that the session is over, to the page that polls


def test_refused_request_does_nothing_and_asks_the_store_for_nothing(
    lab: SmallLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = lab.start()
    student = lab.student(session)
    exhaust(student, session)
    before = lab.read(session).fields
    asked: list[str] = []
    touch = lab.lab.sessions.touch
    monkeypatch.setattr(lab.lab.sessions, "touch", lambda *args, **how: asked.append(args[0]) or touch(*args, **how))
    for path in ("poll", "logout", ""):
        assert student.get(f"/callback/{session}/{path}".rstrip("/")).status_code == 429
    assert asked == []
    assert lab.read(session).fields["state"] == before["state"] == "active"


def test_browser_that_asks_for_a_page_is_shown_one(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    exhaust(student, session)
    answer = student.get("/labkit/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert "Too many requests" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_link_to_try_again_leads_to_the_same_page_wherever_the_lab_is_mounted(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    exhaust(student, session)
    mounted, html = {"SCRIPT_NAME": "/labs/one"}, {"Accept": "text/html"}
    answer = student.get("/labkit/?a=1", headers=html, environ_overrides=mounted)
    assert (answer.status_code, 'href="?a=1"' in answer.text) == (429, True)


def test_nobody_else_is_refused(lab: SmallLab) -> None:
    flooding, session = lab.start(), lab.start()
    student = lab.student(session)
    exhaust(lab.student(flooding), flooding)
    assert student.post(f"/callback/{session}/poll").get_json() == {"success": True}
    assert [lab.status(flooding) for _ in range(20 * AT_ONCE)] == [5.0] * 20 * AT_ONCE  # the RLMS, for all its users
    for _ in range(20 * AT_ONCE):
        assert lab.client().get("/labkit/").status_code == 403  # a browser that is nobody's


def test_labs_own_routes_are_not_counted(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BURST_SECONDS", AT_ONCE)
    monkeypatch.setattr(rates, "time", StandingTime())
    lab = make(LABKIT_MOST_REQUESTS=1)
    lab.view("/own", lambda: "own")
    lab.up()
    session = lab.start()
    student = lab.student(session)
    exhaust(student, session)
    assert {student.get("/own").status_code for _ in range(20 * AT_ONCE)} == {200}


def test_no_limit_where_the_lab_wants_none(make: MakeLab) -> None:
    lab = make(LABKIT_MOST_REQUESTS=0).up()
    session = lab.start()
    student = lab.student(session)
    assert {student.get(f"/callback/{session}/poll").status_code for _ in range(400)} == {200}


def test_ordinary_page_with_all_that_it_loads_is_far_below_the_limit(make: MakeLab) -> None:
    lab = make().up()
    session = lab.start()
    student = lab.student(session)
    files = [path.name for path in Path(lab.app.blueprints["labkit"].static_folder or "").glob("*.js")]
    assert len(files) > 10
    for _ in range(5):  # reloaded five times in a moment
        assert student.get("/labkit/").status_code == 200
        assert {student.get(f"/labkit/static/{name}", buffered=True).status_code for name in files} == {200}


@pytest.mark.parametrize("path", ["poll", "logout"])
def test_body_that_is_too_long_is_refused_unread(lab: SmallLab, path: str) -> None:
    session = lab.start()
    answer = lab.student(session).post(f"/callback/{session}/{path}", data=b" " * (BODY_BYTES + 1))
    assert (answer.status_code, answer.get_json()["key"]) == (413, "body")
    assert lab.student(session).post(f"/callback/{session}/poll", data=b" " * BODY_BYTES).status_code == 200
