"""Which session the running code belongs to."""

from __future__ import annotations

import threading

import pytest

from labkit.context import BoundSession, Purpose, bind, bound_session, require_session, session_bound, unbind
from labkit.errors import NoContextError, WebLabError


def bound(name: str) -> BoundSession:
    return BoundSession(session_id=name, purpose=Purpose.REQUEST)


def test_session_is_bound_inside_the_block_only() -> None:
    assert bound_session() is None
    with session_bound(bound("a")) as outer:
        assert require_session() is outer
        with session_bound(bound("b")):
            assert require_session().session_id == "b"
        with session_bound(None):
            assert bound_session() is None
        assert require_session() is outer
    assert bound_session() is None


def test_without_a_session_the_error_says_what_to_do() -> None:
    with pytest.raises(NoContextError, match="should be a task") as error:
        require_session()
    assert isinstance(error.value, (WebLabError, RuntimeError))


def test_block_that_fails_unbinds() -> None:
    with pytest.raises(ZeroDivisionError), session_bound(bound("a")):
        _ = 1 / 0
    assert bound_session() is None


def test_each_thread_has_its_own() -> None:
    seen: list[BoundSession | None] = []
    with session_bound(bound("a")):
        thread = threading.Thread(target=lambda: seen.append(bound_session()))
        thread.start()
        thread.join(30)
    assert seen == [None]


def test_bind_and_unbind() -> None:
    token = bind(bound("a"))
    assert require_session().session_id == "a"
    unbind(token)
    assert bound_session() is None
