"""Who the code runs for: `get_weblab_user`, its two short names, and what the three kinds of user have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit import (
    AnonymousUser,
    CurrentUser,
    ExpiredUser,
    WebLabUser,
    get_weblab_user,
    socket_weblab_user,
    weblab_user,
)
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD


def kinds(lab: ActingLab) -> dict[type[Any], Callable[[Callable[[], Any]], Any]]:
    """The three kinds of user, and how something is done in a view of each."""
    current, expired = lab.start(), lab.start()
    lab.lab.sessions.exit(expired)
    return {
        CurrentUser: lambda act: lab.inside(current, act),
        ExpiredUser: lambda act: lab.inside(expired, act),
        AnonymousUser: lambda act: lab.visit(lab.client(), act).result,
    }


# -- get_weblab_user and its two short names


@keeps("get_weblab_user", "gives the current user")
def test_user_is_whose_request_it_is(still: ActingLab) -> None:
    for name in ("ada", "grace"):
        session_id = still.start(server={"request.username": name})
        user = still.inside(session_id, get_weblab_user)
        assert (user.username, user.session_id) == (name, session_id)


@keeps("get_weblab_user", "always gives one of the three kinds")
def test_user_is_one_of_three_kinds_and_never_none(still: ActingLab) -> None:
    for kind, inside in kinds(still).items():
        for cached in (True, False):
            assert type(inside(lambda cached=cached: get_weblab_user(cached))) is kind


@keeps("get_weblab_user", "gives the same object each time", "uncached gives a new one each time")
@keeps("weblab_user", "is the cached user")
@keeps("socket_weblab_user", "is a new user each time")
def test_cached_user_stays_as_it_is_and_the_other_is_fresh(still: ActingLab) -> None:
    session_id = still.start()

    def act() -> None:
        first = get_weblab_user()
        assert get_weblab_user(cached=True) is first
        assert weblab_user._get_current_object() is first
        for fresh in (lambda: get_weblab_user(cached=False), socket_weblab_user._get_current_object):
            assert len({id(first), id(one := fresh()), id(two := fresh())}) == 3, (one, two)
        still.lab.sessions.exit(session_id)
        assert (get_weblab_user().active, weblab_user.active) == (True, True)
        assert (get_weblab_user(cached=False).active, socket_weblab_user.active) == (False, False)

    still.inside(session_id, act)


@keeps("get_weblab_user", "uncached shows a long task what others have done")
def test_long_task_sees_news_in_an_uncached_user(lab: ActingLab) -> None:
    begun, changed = threading.Event(), threading.Event()

    @lab.weblab.task()
    def long_task() -> list[Any]:
        before = dict(weblab_user.data)
        begun.set()
        assert changed.wait(GUARD)
        return [before, dict(get_weblab_user(cached=False).data), get_weblab_user(cached=False).active]

    session_id = lab.start()
    task = lab.inside(session_id, long_task.delay)
    assert begun.wait(GUARD)
    lab.inside(session_id, lambda: weblab_user.data.update(level=2))
    changed.set()
    assert task.join(GUARD).result == [{}, {"level": 2}, True]


# -- what all have


@keeps("WebLabUser", "is what all three kinds are")
def test_all_kinds_are_users(still: ActingLab) -> None:
    for kind, inside in kinds(still).items():
        assert issubclass(kind, WebLabUser)
        assert inside(lambda: isinstance(get_weblab_user(), WebLabUser))


@keeps("WebLabUser.active", "tells who is active right now")
@keeps("CurrentUser.active", "is true")
@keeps("ExpiredUser.active", "is false")
@keeps("AnonymousUser.active", "is false")
def test_only_a_current_user_is_active(still: ActingLab) -> None:
    active = {kind: inside(lambda: weblab_user.active) for kind, inside in kinds(still).items()}
    assert active == {CurrentUser: True, ExpiredUser: False, AnonymousUser: False}


@keeps("WebLabUser.is_anonymous", "tells who was never a user")
@keeps("WebLabUser.anonymous", "is another name of is_anonymous")
@keeps("CurrentUser.is_anonymous", "is false")
@keeps("ExpiredUser.is_anonymous", "is false")
@keeps("AnonymousUser.is_anonymous", "is true")
@pytest.mark.parametrize("name", ["is_anonymous", "anonymous"])
def test_who_has_or_had_a_session_is_not_anonymous(still: ActingLab, name: str) -> None:
    anonymous = {kind: inside(lambda: getattr(weblab_user, name)) for kind, inside in kinds(still).items()}
    assert anonymous == {CurrentUser: False, ExpiredUser: False, AnonymousUser: True}
