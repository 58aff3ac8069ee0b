"""CurrentUser: the data, the times, the lab's own user behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit import CurrentUser, ExpiredUser, get_weblab_user, weblab_user
from labkit.store.sessions import SessionState
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until

MakeLab = Callable[..., ActingLab]


def data(lab: ActingLab, session_id: str) -> dict[str, Any]:
    """The data as a new request reads it."""
    return dict(lab.inside(session_id, lambda: weblab_user.data))


@keeps("CurrentUser", "is who uses the lab now", "is an ExpiredUser when the session is over")
@pytest.mark.parametrize("how", ["time", "logout", "dispose"])
def test_current_user_becomes_an_expired_one_when_the_session_is_over(lab: ActingLab, how: str) -> None:
    kinds: list[type] = []
    lab.weblab.on_start(lambda client, server: kinds.append(type(get_weblab_user())))
    session_id = lab.start(length=0.05 if how == "time" else 60)
    if how != "time":
        kinds.append(lab.inside(session_id, lambda: type(get_weblab_user())))
    if how == "logout":
        lab.lab.sessions.exit(session_id)
    if how == "dispose":
        lab.dispose(session_id)
    wait_until(lambda: lab.state(session_id) is not SessionState.ACTIVE, "the end")
    assert set(kinds) == {CurrentUser}
    assert lab.inside(session_id, lambda: type(get_weblab_user())) is ExpiredUser


# -- data


@keeps("CurrentUser.data", "is an empty dict at first")
def test_data_is_a_dict_and_empty_at_first(still: ActingLab) -> None:
    found = still.inside(still.start(), lambda: weblab_user.data)
    assert isinstance(found, dict)
    assert found == {}


@keeps("CurrentUser.data", "is saved by itself after a view and after on_start")
def test_data_is_saved_after_on_start_and_after_views(still: ActingLab) -> None:
    still.weblab.on_start(lambda client, server: weblab_user.data.update(on_start=1))
    session_id = still.start()
    still.inside(session_id, lambda: weblab_user.data.update(view={"list": [1]}))
    assert data(still, session_id) == {"on_start": 1, "view": {"list": [1]}}
    still.inside(session_id, lambda: weblab_user.data["view"]["list"].append(2))
    assert data(still, session_id) == {"on_start": 1, "view": {"list": [1, 2]}}


@keeps("CurrentUser.data", "is stored at once by its store")
def test_data_is_there_as_soon_as_it_is_stored(still: ActingLab) -> None:
    session_id = still.start()

    def act() -> list[dict[str, Any]]:
        weblab_user.data["a"] = 1
        before = still.lab.sessions.data(session_id)
        weblab_user.data.store()
        return [before, still.lab.sessions.data(session_id)]

    assert still.inside(session_id, act) == [{}, {"a": 1}]


@keeps("CurrentUser.data", "is stored at once by its store")
def test_task_stores_data_by_hand(lab: ActingLab) -> None:
    @lab.weblab.task()
    def work() -> None:
        weblab_user.data["from"] = "task"
        weblab_user.data.store()

    session_id = lab.start()
    assert lab.inside(session_id, work.delay).join(GUARD).done
    assert data(lab, session_id) == {"from": "task"}


@keeps("CurrentUser.data", "two requests at once both keep what they changed")
def test_two_requests_at_once_keep_both_changes(still: ActingLab) -> None:
    session_id, both_have_read = still.start(), threading.Barrier(2)
    seen: list[dict[str, Any]] = []

    def change(key: str) -> None:
        seen.append(dict(weblab_user.data))
        both_have_read.wait(GUARD)
        weblab_user.data[key] = key
        both_have_read.wait(GUARD)

    students = [still.student(session_id) for _ in range(2)]
    threads = [
        threading.Thread(target=still.visit, args=(student, lambda key=key: change(key)))
        for student, key in zip(students, ("a", "b"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert seen == [{}, {}]
    assert data(still, session_id) == {"a": "a", "b": "b"}


@keeps("CurrentUser.update_data", "stores new data", "without any stores what was changed")
def test_update_data_stores_at_once(still: ActingLab) -> None:
    session_id = still.start()

    def act() -> list[dict[str, Any]]:
        weblab_user.data["changed"] = 1
        weblab_user.update_data()
        first = still.lab.sessions.data(session_id)
        weblab_user.update_data({"new": 2})
        second = still.lab.sessions.data(session_id)
        weblab_user.update_data(new_data={"newer": 3})
        return [first, second, still.lab.sessions.data(session_id)]

    assert still.inside(session_id, act) == [{"changed": 1}, {"new": 2}, {"newer": 3}]


# -- times


@keeps("CurrentUser.time_without_polling", "is the seconds since the last poll")
def test_time_without_polling_grows_until_a_poll(still: ActingLab) -> None:
    session_id = still.start()
    quiet = still.lab.user(session_id)
    at_first = quiet.time_without_polling
    assert at_first >= 0
    wait_until(lambda: quiet.time_without_polling > at_first + 0.05, "silence")
    seen = still.inside(session_id, lambda: weblab_user.time_without_polling)
    assert 0 <= seen < quiet.time_without_polling


@keeps("CurrentUser.time_left", "is the seconds that are left")
def test_time_left_is_what_is_left_of_the_slot(still: ActingLab) -> None:
    session_id = still.start(length=600)
    user = still.inside(session_id, get_weblab_user)
    at_first = user.time_left
    assert 0 < at_first <= 600
    wait_until(lambda: user.time_left < at_first, "some time to pass")
    assert 0 < still.inside(session_id, lambda: weblab_user.time_left) < at_first


@keeps("CurrentUser.time_left", "is 0 when the time has passed")
def test_time_left_is_never_below_zero(still: ActingLab) -> None:
    users: list[Any] = []
    still.weblab.on_start(lambda client, server: users.append(get_weblab_user()))
    still.start(length=0.05)
    (user,) = users
    assert type(user) is CurrentUser
    wait_until(lambda: user.time_left == 0, "the end of the time")
    assert user.time_left == 0


# -- the rest


@keeps("CurrentUser.to_expired_user", "gives an ExpiredUser with the same facts")
def test_current_user_makes_an_expired_one_of_itself(still: ActingLab) -> None:
    session_id = still.start(server={"request.full_name": "Ada Lovelace"})
    still.inside(session_id, lambda: weblab_user.data.update(a=1))
    user, expired = still.inside(session_id, lambda: [get_weblab_user(), weblab_user.to_expired_user()])
    assert type(expired) is ExpiredUser
    for fact in ("username", "username_unique", "full_name", "back", "session_id", "start_date", "max_date", "data"):
        assert getattr(expired, fact) == getattr(user, fact), fact
    assert (expired.active, expired.time_left) == (False, 0)


@keeps("CurrentUser.user", "is what the user_loader gives", "is one and the same person in each session")
def test_labs_own_user_is_the_same_in_each_session(still: ActingLab) -> None:
    database: dict[str, dict[str, str]] = {}

    @still.weblab.on_start
    def start(client_data: dict[str, Any], server_data: dict[str, Any]) -> None:
        database.setdefault(weblab_user.username_unique, {"name": weblab_user.username})

    assert callable(start)
    still.weblab.user_loader(database.get)
    server = {"request.username.unique": "ada@uni"}
    still.inside(still.start(server=server), lambda: weblab_user.user.update(folder="/ada"))
    assert still.inside(still.start(server=server), lambda: weblab_user.user) == {"name": "ada", "folder": "/ada"}
    other = {"request.username": "grace", "request.username.unique": "grace@uni"}
    assert still.inside(still.start(server=other), lambda: weblab_user.user) == {"name": "grace"}


@keeps("CurrentUser.active", "is true", "is false after logout")
def test_user_is_active_until_logout(still: ActingLab) -> None:
    session_id = still.start()
    user = still.inside(session_id, get_weblab_user)
    assert user.active
    still.lab.sessions.exit(session_id)
    assert not still.inside(session_id, lambda: weblab_user.active)
