"""A session's data has an end: what is more is refused, and what was kept before stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import NotStorableError
from labkit.testing.store import StoreServer
from labkit.users import MOST_DATA, CurrentUser, user_of
from tests.small_lab import SmallLab


@pytest.fixture
def user(tmp_path: Path, store_server: StoreServer) -> Iterator[CurrentUser]:
    with SmallLab(tmp_path, store_server.url, WEBLAB_NO_THREAD=True) as lab:
        found = user_of(lab.lab, lab.read(lab.start()))
        assert isinstance(found, CurrentUser)
        yield found


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
