"""ExpiredUser and AnonymousUser: whose session is over, and who never had one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit import AnonymousUser, ExpiredUser, get_weblab_user, weblab_user
from labkit.store.sessions import SessionState
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import wait_until

MakeLab = Callable[..., ActingLab]
SERVER = {
    "request.username.unique": "ada@uni",
    "request.full_name": "Ada Lovelace",
    "request.locale": "en",
    "request.experiment_id.experiment_name": "uno",
    "request.experiment_id.category_name": "Boards",
}
FACTS = (
    "username", "username_unique", "full_name", "locale", "back", "session_id", "experiment_name", "category_name",
    "experiment_id", "request_client_data", "request_server_data", "start_date", "max_date", "last_poll",
)  # fmt: skip


def put_out(lab: ActingLab, session_id: str) -> None:
    """End a session to the last step, here."""
    lab.lab.sessions.exit(session_id)
    lab.weblab.clean_expired_users()
    assert lab.state(session_id) in (SessionState.EXPIRED, SessionState.UNKNOWN)


@pytest.fixture
def expired(still: ActingLab) -> str:
    """The session of a user who has been put out; its data is {'kept': [1]}."""
    session_id = still.start(server=SERVER)
    still.inside(session_id, lambda: weblab_user.data.update(kept=[1]))
    put_out(still, session_id)
    return session_id


# -- expired


@keeps("ExpiredUser", "is who has been put out")
@keeps("ExpiredUser.time_left", "is 0")
@keeps("ExpiredUser.active", "is false")
@keeps("ExpiredUser.is_anonymous", "is false")
def test_user_who_was_put_out_is_expired(still: ActingLab, expired: str) -> None:
    user = still.inside(expired, get_weblab_user)
    assert type(user) is ExpiredUser
    assert (user.time_left, user.active, user.is_anonymous) == (0, False, False)


@keeps("ExpiredUser", "has the fields of a CurrentUser")
def test_expired_user_has_the_facts_that_it_had(still: ActingLab) -> None:
    session_id = still.start(server=SERVER, client={"level": 3})
    before = still.inside(session_id, lambda: {fact: getattr(weblab_user, fact) for fact in FACTS})
    student = still.student(session_id)
    put_out(still, session_id)
    user = still.visit(student, get_weblab_user).result
    after = {fact: getattr(user, fact) for fact in FACTS}
    assert after.pop("last_poll") >= before.pop("last_poll")
    assert after == before
    assert (user.full_name, user.experiment_id) == ("Ada Lovelace", "uno@Boards")
    assert user.time_without_polling >= 0


@keeps("ExpiredUser", "has the fields of a CurrentUser")
def test_expired_user_still_has_the_labs_own_user(still: ActingLab, expired: str) -> None:
    still.weblab.user_loader(lambda unique: f"row of {unique}")
    assert still.inside(expired, lambda: weblab_user.user) == "row of ada@uni"


@keeps("ExpiredUser", "is kept for WEBLAB_EXPIRED_USERS_TIMEOUT, an hour by default")
def test_expired_user_is_kept_for_an_hour(still: ActingLab, expired: str) -> None:
    left = still.lab.store.command("TTL", still.lab.store.keys.of("session", expired))
    assert 3500 < left <= 3600


@keeps("ExpiredUser", "is kept for WEBLAB_EXPIRED_USERS_TIMEOUT, an hour by default")
def test_expired_user_is_forgotten_after_the_time_that_is_set(make: MakeLab) -> None:
    lab = make(WEBLAB_NO_THREAD=True, WEBLAB_EXPIRED_USERS_TIMEOUT=1)
    session_id = lab.start()
    student = lab.student(session_id)
    put_out(lab, session_id)
    wait_until(lambda: lab.visit(student, get_weblab_user).result.is_anonymous, "the user to be forgotten")


@keeps("ExpiredUser.data", "is an empty dict at first")
def test_data_of_an_expired_user_who_had_none_is_empty(still: ActingLab) -> None:
    session_id = still.start()
    put_out(still, session_id)
    found = still.inside(session_id, lambda: weblab_user.data)
    assert (isinstance(found, dict), found) == (True, {})


@keeps("ExpiredUser.data", "has what was there", "can't be changed")
def test_data_of_an_expired_user_is_for_reading(still: ActingLab, expired: str) -> None:
    def change() -> dict[str, Any]:
        with pytest.raises(NotImplementedError):
            weblab_user.data = {"other": 1}
        found = dict(weblab_user.data)
        weblab_user.data["more"] = 2
        return found

    assert still.inside(expired, change) == {"kept": [1]}
    assert still.inside(expired, lambda: dict(weblab_user.data)) == {"kept": [1]}


@keeps("ExpiredUser.update_data", "raises")
@pytest.mark.parametrize("arguments", [{}, {"value": None}, {"value": {"a": 1}}])
def test_update_data_of_an_expired_user_raises(still: ActingLab, expired: str, arguments: dict[str, Any]) -> None:
    def act() -> None:
        with pytest.raises(NotImplementedError):
            weblab_user.update_data(**arguments)

    still.inside(expired, act)


# -- anonymous


@keeps("AnonymousUser", "is who has no session")
@keeps("AnonymousUser.active", "is false")
@keeps("AnonymousUser.is_anonymous", "is true")
@keeps("AnonymousUser.locale", "is None")
@pytest.mark.parametrize("cookie", [None, "no-such-session"])
def test_visitor_without_a_session_is_anonymous(still: ActingLab, cookie: str | None) -> None:
    visitor = still.client()
    if cookie is not None:
        with visitor.session_transaction() as kept:
            kept["weblab_session_id"] = cookie
    user = still.visit(visitor, get_weblab_user).result
    assert type(user) is AnonymousUser
    assert (user.active, user.is_anonymous, user.locale) == (False, True, None)


@keeps("AnonymousUser.data", "raises where it is used as a dict")
@pytest.mark.parametrize(
    "use",
    [
        lambda data: data["a"],
        lambda data: data.get("a"),
        lambda data: data.update(a=1),
        lambda data: data.__setitem__("a", 1),
        lambda data: list(data),
        lambda data: data.keys(),
        lambda data: data.items(),
        lambda data: data.values(),
        lambda data: data.copy(),
        lambda data: {**data},
        lambda data: "a" in data,
        len,
        bool,
        dict,
    ],
    ids=[
        "item",
        "get",
        "update",
        "set",
        "list",
        "keys",
        "items",
        "values",
        "copy",
        "unpack",
        "in",
        "len",
        "bool",
        "dict",
    ],
)
def test_data_of_an_anonymous_user_raises_where_it_is_used(still: ActingLab, use: Callable[[Any], Any]) -> None:
    def act() -> None:
        assert weblab_user.data is not None
        with pytest.raises(TypeError):
            use(weblab_user.data)

    assert still.visit(still.client(), act).ran
