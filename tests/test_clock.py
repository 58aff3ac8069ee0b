"""Deadlines, with a clock that stands still."""

from __future__ import annotations

import time

import pytest

from labkit.clock import Clock, Deadline, moment_text


class Still(Clock):
    at = 100.0

    def boottime(self) -> float:
        return self.at


def test_deadline_comes_once_and_stays() -> None:
    clock = Still()
    deadline = Deadline(5, clock)
    assert (deadline.over, deadline.left()) == (False, 5.0)
    clock.at += 4
    assert (deadline.over, deadline.left()) == (False, 1.0)
    clock.at += 1
    assert (deadline.over, deadline.left()) == (True, 0.0)
    clock.at += 1000
    assert (deadline.over, deadline.left()) == (True, 0.0)


def test_wait_is_never_longer_than_asked() -> None:
    assert Deadline(5, Still()).left(2.0) == 2.0


def test_no_deadline_never_comes_and_no_wait_is_without_end() -> None:
    deadline = Deadline(None, Still())
    assert (deadline.over, deadline.left(), deadline.left(7.0)) == (False, 3600.0, 7.0)
    assert repr(deadline) == "<Deadline never>"


def test_deadline_of_no_time_is_over() -> None:
    assert Deadline(0, Still()).over
    assert Deadline(-1, Still()).over
    assert repr(Deadline(2, Still())) == "<Deadline in 2.000 s>"


def test_clock_is_the_machines() -> None:
    assert abs(Clock().now() - time.time()) < 60
    first = Clock().boottime()
    assert Clock().boottime() >= first


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "23:30:00 UTC"),
        (1, "00:30:00 UTC"),  # of the next day, and near enough to be meant
        (-11.9, "11:36:00 UTC"),
        (12, "2026-11-23 11:30:00 UTC"),
        (-12, "2026-11-22 11:30:00 UTC"),
        (-72, "2026-11-19 23:30:00 UTC"),
    ],
)
def test_moment_has_its_date_where_its_time_of_day_could_be_taken_for_another(hours: float, text: str) -> None:
    now = 1_795_390_200.0  # 2026-11-22 23:30:00 UTC
    assert moment_text(now + hours * 3600, now) == text


def test_moment_is_seen_from_the_machines_time() -> None:
    assert len(moment_text(time.time())) == len("13:02:28 UTC")
    assert len(moment_text(time.time() + 86_400)) == len("2026-11-22 13:02:28 UTC")
