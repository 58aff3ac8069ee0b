"""The clock of a chaos run's store can be moved: the server's own, by which all in it is timed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.chaos.store_clock import StoreClock
from tests.toy import wait_until


def test_a_store_whose_clock_jumps_goes_by_it(tmp_path: Path) -> None:
    clock = StoreClock(tmp_path)
    assert clock.moves, "this test needs a C compiler: apt install build-essential"
    with (
        StoreServer(environment=clock.environment) as server,
        contextlib.closing(Store(server.url, "lab")) as store,
    ):
        store.command("SET", "short", "1", "EX", 20)
        store.command("SET", "long", "1", "EX", 2000)
        there = []
        for seconds in (-600.0, 600.0, 0.0):
            clock.jump(seconds)
            wait_until(lambda jump=seconds: abs(told(store) - time.time() - jump) < 60, f"a jump of {seconds} s")
            there.append([store.command("EXISTS", key) for key in ("short", "long")])
        assert there == [[1, 1], [0, 1], [0, 1]]


def told(store: Store) -> float:
    """The time that scripts see."""
    return float(store.command("EVAL", "return redis.call('TIME')[1]", 0))
