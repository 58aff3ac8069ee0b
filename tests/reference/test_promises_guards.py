"""The guards of views and of socket events: who gets in, and that the function does not run for anybody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit import socket_requires_active, socket_requires_login, weblab_user
from labkit.context import bound_session
from labkit.store.sessions import SessionState
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until


def user_whose(lab: ActingLab, end: str) -> str:
    """A session that is over: by its time, by logout, by the RLMS's dispose or, as far as it goes, by an ending."""
    session_id = lab.start(length=0.05 if end == "time" else 60)
    if end == "logout":
        lab.lab.sessions.exit(session_id)
    elif end == "dispose":
        lab.dispose(session_id)
    wait_until(lambda: lab.state(session_id) is not SessionState.ACTIVE, "the end")
    return session_id


# -- views


@keeps("requires_active", "lets an active user in")
@keeps("requires_login", "lets an active user in")
@pytest.mark.parametrize("guard", ["active", "login"])
def test_active_user_gets_in(still: ActingLab, guard: str) -> None:
    visit = still.visit(still.student(still.start()), lambda: weblab_user.username, guard=guard)
    assert visit.answer is not None
    assert (visit.answer.text, visit.result) == ("done", "ada")


@keeps("requires_active", "does not call the view for one who is not logged in")
@keeps("requires_login", "does not call the view for anybody else")
@pytest.mark.parametrize("guard", ["active", "login"])
@pytest.mark.parametrize("cookie", [None, "no-such-session"])
def test_visitor_without_a_session_does_not_get_in(still: ActingLab, guard: str, cookie: str | None) -> None:
    visitor = still.client()
    if cookie is not None:
        with visitor.session_transaction() as kept:
            kept["weblab_session_id"] = cookie
    visit = still.visit(visitor, guard=guard)
    assert visit.answer is not None
    assert (visit.answer.status_code, visit.ran) == (403, False)


@keeps("requires_active", "does not call the view when the time is over")
def test_active_view_does_not_run_when_the_time_is_over(still: ActingLab) -> None:
    student = still.student(user_whose(still, "time"))
    assert not still.visit(student, guard="active").ran


@keeps("requires_active", "does not call the view after logout")
def test_active_view_does_not_run_after_logout(still: ActingLab) -> None:
    session_id = still.start()
    student = still.student(session_id)
    assert still.visit(student, guard="active").ran
    still.lab.sessions.exit(session_id)
    assert not still.visit(student, guard="active").ran


@keeps("requires_login", "lets one in whose session is over")
@pytest.mark.parametrize("end", ["time", "logout", "dispose"])
def test_login_view_runs_for_a_user_whose_session_is_over(lab: ActingLab, end: str) -> None:
    student = lab.student(user_whose(lab, end))
    visit = lab.visit(student, lambda: [weblab_user.username, weblab_user.active], guard="login")
    assert visit.result == ["ada", False]


# -- socket events


@keeps("socket_requires_active", "lets an active user in")
@keeps("socket_requires_login", "lets in who is active or whose session is over")
@pytest.mark.parametrize("event", ["active", "login"])
def test_event_of_an_active_user_is_handled(still: ActingLab, event: str) -> None:
    page = still.page(still.student(still.start()))
    visit = still.emit(page, event, lambda: weblab_user.username)
    assert (visit.result, page.is_connected()) == ("ada", True)


@keeps("socket_requires_active", "disconnects anybody else, without calling the handler")
@keeps("socket_requires_login", "disconnects anybody else, without calling the handler")
@pytest.mark.parametrize("event", ["active", "login"])
def test_stranger_is_disconnected_and_the_handler_does_not_run(still: ActingLab, event: str) -> None:
    page = still.page(still.client())
    assert not still.emit(page, event).ran
    assert not page.is_connected()


@keeps("socket_requires_active", "disconnects anybody else, without calling the handler")
@keeps("socket_requires_login", "disconnects anybody else, without calling the handler")
@pytest.mark.parametrize("guard", [socket_requires_active, socket_requires_login])
def test_guard_of_the_connection_lets_only_users_connect(still: ActingLab, guard: Callable[..., Any]) -> None:
    connected: list[str] = []
    still.io.on_event("connect", guard(lambda *_: connected.append(weblab_user.username)))
    browsers = [still.client(), still.student(still.start())]
    pages = [still.io.test_client(still.app, flask_test_client=browser) for browser in browsers]
    assert [page.is_connected() for page in pages] == [False, True]
    assert connected == ["ada"]


@keeps("socket_requires_active", "disconnects anybody else, without calling the handler")
@keeps("socket_requires_login", "lets in who is active or whose session is over")
@pytest.mark.parametrize("end", ["time", "logout", "dispose"])
def test_user_whose_session_is_over_has_only_login_events(lab: ActingLab, end: str) -> None:
    page = lab.page(lab.student(user_whose(lab, end)))
    assert lab.emit(page, "login", lambda: weblab_user.username).result == "ada"
    assert page.is_connected()
    assert not lab.emit(page, "active").ran
    assert not page.is_connected()


@keeps("socket_requires_active", "sees in real time what became of the user")
def test_active_guard_sees_at_once_that_a_session_is_over(still: ActingLab) -> None:
    session_id = still.start()
    page = still.page(still.student(session_id))
    assert [still.emit(page, "active").ran for _ in range(2)] == [True, True]
    still.lab.sessions.exit(session_id)
    assert not still.emit(page, "active").ran
    assert not page.is_connected()


@keeps("socket_requires_active", "sees in real time what became of the user")
def test_active_guard_looks_anew_within_one_event(still: ActingLab) -> None:
    session_id = still.start()
    guarded = socket_requires_active(lambda: "ran")
    page = still.page(still.student(session_id))
    seen: list[Any] = []

    def send() -> None:
        visit = still.emit(page, "active", lambda: [guarded(), still.lab.sessions.exit(session_id), guarded()])
        seen.extend([visit.result, page.is_connected(), bound_session()])

    thread = threading.Thread(target=send)  # of its own: nothing of this session may be left in it
    thread.start()
    thread.join(GUARD)
    assert seen == [["ran", True, None], False, None]


@keeps("socket_requires_login", "sees in real time what became of the user")
def test_login_guard_sees_at_once_what_became_of_the_user(still: ActingLab) -> None:
    session_id = still.start()
    page = still.page(still.student(session_id))
    assert still.emit(page, "login", lambda: weblab_user.active).result is True
    still.lab.sessions.exit(session_id)
    assert still.emit(page, "login", lambda: weblab_user.active).result is False
    still.lab.store.command("DEL", still.lab.store.keys.of("session", session_id))
    assert not still.emit(page, "login").ran
    assert not page.is_connected()
