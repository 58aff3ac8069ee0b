"""How soon a relay sends again."""

from __future__ import annotations

import threading
import time

from labkit.web.pace import LEAST, MOST, SHARE, Pace, rest_after
from tests.toy import wait_until


def test_rest_grows_with_what_a_round_took_within_bounds() -> None:
    assert rest_after(0.0) == rest_after(LEAST / SHARE) == LEAST
    assert LEAST < rest_after(0.002) < rest_after(0.003) < MOST
    assert rest_after(MOST / SHARE) == rest_after(10.0) == MOST


def test_a_round_takes_a_fifth_of_the_time_at_most_as_long_as_it_is_quick() -> None:
    for took in (0.0005, 0.001, 0.002, 0.004):
        assert took / (took + rest_after(took)) <= 0.2 + 1e-9


def test_what_a_round_only_waits_counts_for_nothing_and_what_it_works_counts() -> None:
    def rest_after_a_wait() -> float:
        pace = Pace()
        threading.Event().wait(MOST)
        return pace.rest()

    wait_until(lambda: rest_after_a_wait() < MOST)  # once is enough: one may be charged for what the machine does
    pace, until = Pace(), time.thread_time() + MOST
    while time.thread_time() < until:
        pass
    assert pace.rest() == MOST
