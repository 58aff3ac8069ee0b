"""Buckets: so much a second, so much at once, each for itself, and forgotten when they are full again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labkit.web import rates
from labkit.web.rates import BURST_SECONDS, MOST_KEPT, Buckets
from tests.toy import GUARD
from tests.web.standing_time import StandingTime


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1e-4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingTime:
    clock = StandingTime()
    monkeypatch.setattr(rates, "time", clock)
    return clock


def test_so_much_at_once_and_then_so_much_a_second(clock: StandingTime) -> None:
    buckets = Buckets(10)
    assert [buckets.take("a") for _ in range(int(10 * BURST_SECONDS))] == [0.0] * int(10 * BURST_SECONDS)
    assert buckets.take("a") == about(0.1)
    clock.now += 0.05
    assert buckets.take("a") == about(0.05)
    clock.now += 0.05
    assert [buckets.take("a"), buckets.take("a")] == [0.0, about(0.1)]
    clock.now += 1000
    assert buckets.take("a", 10 * BURST_SECONDS) == 0.0
    assert buckets.take("a", 0.1) > 0


def test_what_is_refused_costs_nothing(clock: StandingTime) -> None:
    buckets = Buckets(1, at_once=5)
    assert buckets.take("a", 4) == 0.0
    assert [buckets.take("a", 2) for _ in range(100)] == [about(1.0)] * 100
    assert buckets.take("a", 1) == 0.0


def test_what_costs_more_than_a_bucket_holds_gets_all_of_it(clock: StandingTime) -> None:
    buckets = Buckets(1, at_once=5)
    assert buckets.take("a", 100) == 0.0
    assert buckets.take("a", 100) == about(5.0)


def test_each_has_a_bucket_of_its_own(clock: StandingTime) -> None:
    buckets = Buckets(1, at_once=1)
    assert [buckets.take("a"), buckets.take("b")] == [0.0, 0.0]
    assert buckets.take("a") > 0


def test_zero_is_no_limit(clock: StandingTime) -> None:
    buckets = Buckets(0)
    assert not any(buckets.take("a", 10**9) for _ in range(1000))
    assert repr(buckets) == "<Buckets 0 a second, 0 in use>"


def test_buckets_that_are_full_again_are_forgotten(clock: StandingTime) -> None:
    buckets = Buckets(1, at_once=2)
    for number in range(MOST_KEPT):
        buckets.take(str(number))
    clock.now += 10
    buckets.take("new")
    assert repr(buckets) == "<Buckets 1 a second, 1 in use>"
    for number in range(3 * MOST_KEPT):  # none of these is full: they are all kept
        buckets.take(str(number), 2)
    assert all(buckets.take(str(number)) for number in range(3 * MOST_KEPT))


def test_threads_that_take_at_once_get_no_more_than_there_is(clock: StandingTime) -> None:
    buckets, got = Buckets(1, at_once=100), []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait(GUARD)
        got.extend([buckets.take("a") for _ in range(50)])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert got.count(0.0) == 100
