"""The URLs of the user: callback, poll, logout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import weblab_user
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab

MakeLab = Callable[..., SmallLab]


def test_link_leads_to_the_initial_url_and_sets_only_flasks_session(lab: SmallLab) -> None:
    session, client = lab.start(), lab.client()
    answer = client.get(f"/callback/{session}")
    assert (answer.status_code, answer.location) == (302, "/lab")
    cookies = answer.headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["session"]
    with client.session_transaction() as flask_session:
        assert dict(flask_session) == {"weblab_session_id": session}


def test_name_of_the_id_can_be_set(make: MakeLab) -> None:
    lab = make(WEBLAB_SESSION_ID_NAME="mine")
    session = lab.start()
    with lab.student(session).session_transaction() as flask_session:
        assert dict(flask_session) == {"mine": session}


def test_link_may_be_followed_again_and_after_the_end(lab: SmallLab) -> None:
    session = lab.start(length=0.05)
    for _ in range(2):
        assert lab.client().get(f"/callback/{session}").status_code == 302
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.client().get(f"/callback/{session}").status_code == 302


@pytest.mark.parametrize("ended", [False, True])
def test_initial_url_sees_whose_link_is_followed_and_not_who_was_there_before(lab: SmallLab, ended: bool) -> None:
    """The browser of a class room still has the cookie of the student before."""
    seen: list[object] = []

    def initial_url() -> str:
        seen.append((weblab_user.session_id, weblab_user.active, dict(weblab_user.data)))
        weblab_user.data["came"] = True
        return "/lab"

    lab.lab.hooks.initial_url = initial_url
    before = lab.start()
    client = lab.student(before)
    if ended:
        lab.dispose(before)
    link = lab.start()
    assert client.get(f"/callback/{link}").status_code == 302
    assert lab.client().get(f"/callback/{link}").status_code == 302
    assert seen[-2:] == [(link, True, {}), (link, True, {"came": True})]


def test_head_changes_nothing(lab: SmallLab) -> None:
    session = lab.start()
    before = lab.read(session).number("last_poll")
    client = lab.client()
    assert client.head(f"/callback/{session}").status_code == 302
    with client.session_transaction() as flask_session:
        assert dict(flask_session) == {}
    student = lab.student(session)
    followed = lab.read(session).number("last_poll")
    assert followed > before
    student.head(f"/callback/{session}/poll")
    student.head(f"/callback/{session}/logout")
    student.head("/anything")
    assert (lab.state(session), lab.read(session).number("last_poll")) == (SessionState.ACTIVE, followed)


def test_unknown_id_is_forbidden(lab: SmallLab) -> None:
    answer = lab.client().get("/callback/nobody")
    assert (answer.status_code, answer.text) == (403, "Access forbidden")
    assert answer.headers.getlist("Set-Cookie") == []


def test_unknown_id_gets_the_refusal_that_is_set(make: MakeLab) -> None:
    lab = make(WEBLAB_UNAUTHORIZED_LINK="https://rlms.invalid/")
    answer = lab.client().get("/callback/nobody")
    assert (answer.status_code, answer.location) == (302, "https://rlms.invalid/")


@pytest.mark.parametrize("known", [True, False])
def test_lab_without_an_initial_url_says_so(make: MakeLab, known: bool) -> None:
    lab = make(hooks=False)
    answer = lab.client().get(f"/callback/{lab.start() if known else 'nobody'}")
    assert answer.status_code == 500
    assert "ERROR" in answer.text
    assert "weblab.initial_url" in answer.text


def test_process_without_a_secret_key_lets_nobody_in_and_says_so(tmp_path: Path, store_server: StoreServer) -> None:
    """The session was started by a process that has one."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with SmallLab(folders[0], store_server.url) as one:
        base = one.app.config["WEBLAB_REDIS_BASE"]
        with SmallLab(folders[1], store_server.url, SECRET_KEY=None, WEBLAB_REDIS_BASE=base) as two:
            answer = two.client().get(f"/callback/{one.up().start()}")
    assert (answer.status_code, "SECRET_KEY" in answer.text) == (503, True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_poll_counts(make: MakeLab, method: str) -> None:
    lab = make(WEBLAB_AUTOPOLL=False)
    session = lab.start()
    student = lab.student(session)
    before = lab.read(session).number("last_poll")
    answer = student.open(f"/callback/{session}/poll", method=method)
    assert (answer.status_code, answer.get_json()) == (200, {"success": True})
    assert lab.read(session).number("last_poll") > before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_logout_puts_the_user_out(lab: SmallLab, method: str) -> None:
    session = lab.start()
    answer = lab.student(session).open(f"/callback/{session}/logout", method=method)
    assert (answer.status_code, answer.get_json()) == (200, {"success": True})
    assert lab.status(session) == -1
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.read(session).reason == "logout"


@pytest.mark.parametrize("what", ["poll", "logout"])
def test_refusals_say_why(lab: SmallLab, what: str) -> None:
    session, other = lab.start(), lab.start()
    assert lab.client().get(f"/callback/{session}/{what}").get_json() == {
        "success": False,
        "reason": "Different session identifier",
    }
    assert lab.student(other).get(f"/callback/{session}/{what}").get_json()["reason"] == "Different session identifier"
    student = lab.student(session)
    lab.lab.sessions.exit(session)
    assert student.get(f"/callback/{session}/{what}").get_json() == {"success": False, "reason": "User inactive"}
    with student.session_transaction() as flask_session:
        flask_session["weblab_session_id"] = "forgotten"
    assert student.get(f"/callback/forgotten/{what}").get_json() == {"success": False, "reason": "Not found"}


def test_addresses_have_the_names_that_labs_use(lab: SmallLab) -> None:
    with lab.app.test_request_context():
        names = ("weblab_callback_url", "weblab_poll_url", "weblab_logout_url")
        made = [lab.app.url_for(name, session_id="x") for name in names]
    assert made == ["/callback/x", "/callback/x/poll", "/callback/x/logout"]


@pytest.mark.parametrize("url", ["/mylab/in", "mylab/in", "/mylab/in/", "mylab/in//"])
def test_callback_url_may_have_slashes(make: MakeLab, url: str) -> None:
    lab = make(WEBLAB_CALLBACK_URL=url)
    assert lab.post_start().get_json()["url"].startswith("http://localhost/mylab/in/")
    assert lab.client().get(f"/mylab/in/{lab.start()}").status_code == 302


def test_store_that_is_away_is_said(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url) as lab:
        session = lab.up().start()
        student = lab.student(session)
        server.stop()
        assert student.get(f"/callback/{session}").status_code == 503
        answer = student.get(f"/callback/{session}/poll")
        assert (answer.status_code, answer.get_json()["success"]) == (503, False)
