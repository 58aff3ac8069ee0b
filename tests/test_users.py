"""Users: current, expired, anonymous; their data; who the code runs for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from labkit import (
    AnonymousUser,
    CurrentUser,
    ExpiredUser,
    NoContextError,
    WebLab,
    WebLabNotInitializedError,
    WebLabUser,
    get_weblab_user,
    weblab_user,
)
from labkit.context import BoundSession, Purpose, session_bound
from labkit.errors import NotStorableError
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab


@pytest.fixture
def lab(tmp_path: Path, store_server: StoreServer) -> Iterator[SmallLab]:
    with SmallLab(tmp_path, store_server.url, WEBLAB_AUTOCLEAN_THREAD=False) as lab:
        yield lab.up()


FACTS = {
    "request.username.unique": "ada@uni",
    "request.full_name": "Ada Lovelace",
    "request.locale": "en",
    "request.experiment_id.experiment_name": "uno",
    "request.experiment_id.category_name": "Boards",
}


def inside(lab: SmallLab, session: str, purpose: Purpose = Purpose.REQUEST) -> Any:
    return lab.lab.entered(BoundSession(session_id=session, purpose=purpose))


def test_current_user_has_all_that_labs_read(lab: SmallLab) -> None:
    session = lab.start(server=FACTS, client={"a": 1}, length=60)
    with inside(lab, session):
        user = get_weblab_user()
        assert isinstance(user, (CurrentUser, WebLabUser))
        assert (user.active, user.is_anonymous, user.anonymous, user.exited) == (True, False, False, False)
        assert (user.username, user.username_unique, user.full_name) == ("ada", "ada@uni", "Ada Lovelace")
        assert (user.experiment_name, user.category_name, user.experiment_id) == ("uno", "Boards", "uno@Boards")
        assert (user.back, user.locale, user.session_id) == ("http://rlms.invalid/b", "en", session)
        assert user.request_client_data == {"a": 1}
        assert user.request_server_data["request.locale"] == "en"
        assert 0 < user.time_left <= 60
        assert 0 <= user.time_without_polling < 60
        assert user.start_date < user.max_date
        assert abs(user.last_poll - time.time()) < 60
        assert all(isinstance(date, float) for date in (user.start_date, user.max_date, user.last_poll))
        assert session in str(user)
        assert user.end_reason == ""


def test_expired_user_is_readable_and_does_not_change(lab: SmallLab) -> None:
    session = lab.start(server=FACTS)
    lab.lab.sessions.store_data(session, {"a": 1}, [])
    lab.lab.sessions.end(session, EndReason.DISPOSED)
    with inside(lab, session):
        user = get_weblab_user()
        assert isinstance(user, ExpiredUser)
        assert (user.active, user.is_anonymous, user.time_left, user.username) == (False, False, 0, "ada")
        assert (user.data, user.end_reason) == ({"a": 1}, "disposed")
        with pytest.raises(NotImplementedError):
            user.data = {}
        with pytest.raises(NotImplementedError):
            user.update_data({})
        user.data["b"] = 2
        user.save()
    assert lab.lab.sessions.data(session) == {"a": 1}


def test_user_of_an_ending_is_current(lab: SmallLab) -> None:
    session = lab.start()
    lab.lab.sessions.end(session, EndReason.DISPOSED)
    with inside(lab, session, Purpose.ENDING):
        assert isinstance(get_weblab_user(), CurrentUser)


def test_anonymous_user_has_no_data_and_says_so(lab: SmallLab) -> None:
    with lab.app.app_context():
        user = get_weblab_user()
    assert isinstance(user, AnonymousUser)
    assert (user.active, user.is_anonymous, user.anonymous, user.locale) == (False, True, True, None)
    assert user.data is not None
    uses: list[Callable[[], Any]] = [
        lambda: user.data["a"],
        lambda: user.data.get("a"),
        lambda: len(user.data),
        lambda: "a" in user.data,
        lambda: list(user.data),
        lambda: bool(user.data),
        lambda: dict(user.data),
        lambda: user.data.update(a=1),
        lambda: user.data.pop("a"),
    ]
    for use in uses:
        with pytest.raises(TypeError, match="anonymous user has no data"):
            use()
    with pytest.raises(TypeError):
        user.data["a"] = 1


def test_user_is_the_same_object_in_one_context_unless_asked(lab: SmallLab) -> None:
    session = lab.start()
    with inside(lab, session):
        assert get_weblab_user() is get_weblab_user()
        assert get_weblab_user(cached=False) is not get_weblab_user()
        lab.lab.sessions.exit(session)
        assert weblab_user.active
        assert not get_weblab_user(cached=False).active


def test_bound_session_counts_more_than_the_cookie(lab: SmallLab) -> None:
    mine, other = lab.start(), lab.start(server={"request.username": "grace"})
    with lab.student(mine) as client:
        client.get("/nothing")
        assert weblab_user.username == "ada"
        with session_bound(BoundSession(session_id=other, purpose=Purpose.TASK)):
            assert weblab_user.username == "grace"
        assert weblab_user.username == "ada"


def test_data_is_written_key_by_key(lab: SmallLab) -> None:
    session = lab.start()
    one, two = lab.lab.user(session), lab.lab.user(session)
    one.data["a"], two.data["b"] = 1, 2
    one.save()
    two.save()
    assert lab.lab.sessions.data(session) == {"a": 1, "b": 2}
    one.data.retrieve()
    assert one.data == {"a": 1, "b": 2}
    assert not one.data.is_modified
    del one.data["a"]
    assert one.data.is_modified
    one.data.store_if_modified()
    assert lab.lab.sessions.data(session) == {"b": 2}


def test_change_deep_inside_is_a_change(lab: SmallLab) -> None:
    session = lab.start()
    user = lab.lab.user(session)
    user.data = {"list": [1, {"x": 1}], "other": 1}
    user.save()
    user.data["list"][1]["x"] = 2
    assert user.data.is_modified
    user.save()
    assert lab.lab.sessions.data(session) == {"list": [1, {"x": 2}], "other": 1}


def test_data_can_be_replaced(lab: SmallLab) -> None:
    session = lab.start()
    user = lab.lab.user(session)
    user.data["old"] = 1
    user.save()
    user.data = {"new": 1}
    user.save()
    assert lab.lab.sessions.data(session) == {"new": 1}
    user.update_data({"newer": 2})
    assert lab.lab.sessions.data(session) == {"newer": 2}
    user.data["more"] = 3
    user.update_data()
    assert lab.lab.sessions.data(session) == {"newer": 2, "more": 3}


def test_what_can_not_be_stored_is_named(lab: SmallLab) -> None:
    user = lab.lab.user(lab.start())
    user.data["pin"] = object()
    with pytest.raises(NotStorableError, match=r"data\['pin'\]"):
        user.save()


def test_user_loader_gives_the_labs_own_user(lab: SmallLab) -> None:
    session = lab.start(server=FACTS)
    assert lab.lab.user(session).user is None
    lab.weblab.user_loader(lambda name: f"row of {name}")
    assert lab.lab.user(session).user == "row of ada@uni"


def test_current_user_becomes_an_expired_one(lab: SmallLab) -> None:
    user = lab.lab.user(lab.start())
    expired = user.to_expired_user()
    assert isinstance(expired, ExpiredUser)
    assert expired.session_id == user.session_id


def test_time_left_runs(lab: SmallLab) -> None:
    user = lab.lab.user(lab.start(length=0.05))
    deadline = time.monotonic() + 30
    while user.time_left > 0:
        assert time.monotonic() < deadline
    assert user.time_left == 0


def test_app_without_a_weblab_says_so() -> None:
    app = Flask("bare")
    with app.app_context(), pytest.raises(WebLabNotInitializedError):
        get_weblab_user()
    with pytest.raises(NoContextError):
        get_weblab_user()
    assert WebLab().timeout == 15
