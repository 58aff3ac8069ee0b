"""How many pages one web process takes, and what becomes of those that are too many."""

from __future__ import annotations

import contextlib
import threading

import pytest

from labkit.web.places import Places
from tests.toy import GUARD, wait_until


def test_every_page_has_a_place_where_there_is_no_limit() -> None:
    places = Places(0)
    with contextlib.ExitStack() as pages:
        assert all(pages.enter_context(places.one()) for _ in range(1000))
        assert not places.full
        assert repr(places) == "<Places 1000 of any number>"


def test_a_place_is_free_again_when_its_page_has_gone() -> None:
    places = Places(1)
    with places.one() as found, places.one() as second:
        assert (found, second, places.full) == (True, False, True)
    assert not places.full


def test_a_place_is_free_again_where_its_page_failed() -> None:
    places = Places(1)

    def fail() -> None:
        with places.one():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not places.full


@pytest.mark.parametrize(
    ("most", "threads", "expected"), [(0, 256, 224), (0, 2, 1), (0, 9, 8), (500, 16, 14), (5, 256, 5), (-1, 16, 14)]
)
def test_there_are_never_more_places_than_threads_leave_room_for(most: int, threads: int, expected: int) -> None:
    places = Places(most)
    places.fit_into(threads)
    with contextlib.ExitStack() as pages:
        found = [pages.enter_context(places.one()) for _ in range(threads + 1)]
    assert found.count(True) == expected


def test_of_pages_that_come_at_once_no_more_than_there_are_places_get_one() -> None:
    places, found, ready, leave = Places(7), [], threading.Barrier(40), threading.Event()

    def come() -> None:
        ready.wait(GUARD)
        with places.one() as one:
            found.append(one)
            leave.wait(GUARD)

    pages = [threading.Thread(target=come) for _ in range(40)]
    for page in pages:
        page.start()
    wait_until(lambda: len(found) == 40, "all of them")
    leave.set()
    for page in pages:
        page.join(GUARD)
    assert found.count(True) == 7
    assert not places.full
