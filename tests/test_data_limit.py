"""A session's data has an end: what is more is refused, and what was kept before stays."""

from __future__ import annotations

import pytest

from labkit.errors import NotStorableError
from labkit.users import MOST_DATA, CurrentUser, user_of
from tests.small_lab import MakeLab


@pytest.fixture
def user(make: MakeLab) -> CurrentUser:
    lab = make(WEBLAB_NO_THREAD=True)
    found = user_of(lab.lab, lab.read(lab.start()))
    assert isinstance(found, CurrentUser)
    return found


def test_more_than_the_limit_is_refused_and_what_was_kept_stays(user: CurrentUser) -> None:
    user.data["notes"] = "x" * (MOST_DATA // 2)
    user.save()
    user.data["more"] = "y" * (MOST_DATA // 2)
    with pytest.raises(NotStorableError, match=r"4,000,0.. characters; at most 4,000,000"):
        user.save()
    user.data.retrieve()
    assert list(user.data) == ["notes"]


def test_what_is_taken_out_makes_room(user: CurrentUser) -> None:
    user.data["a"] = "x" * (MOST_DATA - 10)
    user.save()
    del user.data["a"]
    user.data["b"] = "y" * (MOST_DATA - 10)
    user.save()
    user.data.retrieve()
    assert list(user.data) == ["b"]
