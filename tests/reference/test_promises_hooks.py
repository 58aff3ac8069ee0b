"""What a lab registers for the way of a session, and how users who should be gone are put out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit import weblab_user
from labkit.store.sessions import SessionState
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import wait_until

MakeLab = Callable[..., ActingLab]
SERVER = {"request.full_name": "Ada Lovelace", "request.username.unique": "ada@uni", "request.locale": "en"}


def is_over(lab: ActingLab, session_id: str) -> bool:
    return lab.state(session_id) is not SessionState.ACTIVE


def overdue(lab: ActingLab) -> str:
    """A session whose time is over, and that nobody has ended."""
    session_id = lab.start(length=0.05)
    wait_until(lambda: is_over(lab, session_id), "the end of the time")
    assert lab.state(session_id) is SessionState.OVER
    return session_id


def note_disposed(lab: ActingLab) -> list[str]:
    """The ids of those for whom on_dispose has run."""
    disposed: list[str] = []

    @lab.weblab.on_dispose
    def dispose() -> None:
        disposed.append(weblab_user.session_id)

    assert callable(dispose)
    return disposed


# -- on_start, on_dispose


@keeps(
    "WebLab.on_start",
    "calls the function when a user comes",
    "gives it what the RLMS's client said, and what its server said, as dicts",
)
def test_on_start_gets_what_client_and_server_said(still: ActingLab) -> None:
    calls: list[tuple[Any, Any]] = []

    @still.weblab.on_start
    def start(client_data: dict[str, Any], server_data: dict[str, Any]) -> None:
        calls.append((client_data, server_data))

    assert callable(start)
    still.start(client={"level": 3}, server={**SERVER, "something.else": [1, {"a": None}]})
    ((client, server),) = calls
    assert (type(client), type(server), client) == (dict, dict, {"level": 3})
    assert (server["request.username"], server["something.else"]) == ("ada", [1, {"a": None}])
    still.start()
    assert len(calls) == 2


@keeps("WebLab.on_start", "weblab_user in it has what the server said")
def test_on_start_finds_the_user_in_weblab_user(still: ActingLab) -> None:
    seen: list[Any] = []
    still.weblab.on_start(
        lambda client, server: seen.append((weblab_user.username, weblab_user.full_name, weblab_user.locale))
    )
    still.start(server=SERVER)
    assert seen == [("ada", "Ada Lovelace", "en")]


@keeps("WebLab.on_dispose", "calls the function, without parameters, when a user has to go")
@keeps("WebLab.clean_expired_users", "RLMS's dispose ends a user without it")
def test_on_dispose_runs_when_the_rlms_disposes_of_a_user(lab: ActingLab) -> None:
    disposed = note_disposed(lab)
    session_id = lab.start()
    assert disposed == []
    lab.dispose(session_id)
    lab.wait_state(session_id, SessionState.EXPIRED)
    assert disposed == [session_id]


# -- clean_expired_users


@keeps("WebLab.clean_expired_users", "ends those whom no dispose ended")
def test_clean_expired_users_ends_who_is_over_and_nobody_else(still: ActingLab) -> None:
    disposed = note_disposed(still)
    over, live = overdue(still), still.start()
    still.weblab.clean_expired_users()
    assert (still.state(over), still.state(live), disposed) == (SessionState.EXPIRED, SessionState.ACTIVE, [over])


@keeps("WebLab.clean_expired_users", "ends those of before a restart")
def test_clean_expired_users_ends_those_whom_a_restart_left_behind(make: MakeLab) -> None:
    before = make(WEBLAB_NO_THREAD=True)
    session_id = overdue(before)
    before.weblab.close()
    after = make(WEBLAB_NO_THREAD=True, WEBLAB_REDIS_BASE=before.app.config["WEBLAB_REDIS_BASE"])
    disposed = note_disposed(after)
    after.weblab.clean_expired_users()
    assert (after.state(session_id), disposed) == (SessionState.EXPIRED, [session_id])


@keeps("WebLab.clean_expired_users", "is a command")
def test_clean_expired_users_is_a_command_of_the_app(still: ActingLab) -> None:
    session_id = overdue(still)
    done = still.app.test_cli_runner().invoke(args=["weblab", "clean-expired-users"])
    assert done.exit_code == 0, done.output
    assert still.state(session_id) is SessionState.EXPIRED


@keeps("WebLab.clean_expired_users", "is done by a thread by default")
def test_thread_ends_users_by_itself(lab: ActingLab) -> None:
    disposed = note_disposed(lab)
    session_id = lab.start(length=0.05)
    lab.wait_state(session_id, SessionState.EXPIRED)
    assert disposed == [session_id]


# -- user_loader


@keeps("WebLab.user_loader", "makes weblab_user.user what the function gives", "calls it with the unique name")
def test_user_loader_gives_the_labs_own_user(still: ActingLab) -> None:
    people = {"ada@uni": object()}

    @still.weblab.user_loader
    def loader(username_unique: str) -> Any:
        return people[username_unique]

    assert callable(loader)
    assert still.inside(still.start(server=SERVER), lambda: weblab_user.user) is people["ada@uni"]


@keeps("WebLab.user_loader", "function may use weblab_user")
def test_user_loader_may_ask_who_the_user_is(still: ActingLab) -> None:
    still.weblab.user_loader(lambda unique: {"key": unique, "name": weblab_user.full_name})
    user = still.inside(still.start(server=SERVER), lambda: weblab_user.user)
    assert user == {"key": "ada@uni", "name": "Ada Lovelace"}


@keeps("WebLab.user_loader", "without one weblab_user.user is None")
def test_without_a_user_loader_there_is_no_user(still: ActingLab) -> None:
    assert still.inside(still.start(), lambda: weblab_user.user) is None
