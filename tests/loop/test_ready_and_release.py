"""A session's first and last: its devices are made ready, and made safe again when they are given back."""

from __future__ import annotations

from pathlib import Path

from labkit.errors import SafeStateError
from labkit.store.reservations import Condition
from tests.loop.runner_bench import RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import Toy

# -- ready


def test_ready_makes_safe_and_gives_the_feeds_to_the_session(bench: RunnerBench) -> None:
    bench.start()
    bench.toy.received.emit(b"between sessions")
    assert bench.ready(3).value is True
    assert bench.world.acts == ["open", "safe", "safe"]
    bench.toy.received.emit(b"mine")
    bench.runner.raise_fence(4)
    bench.toy.received.emit(b"after")
    assert bench.heard == [(0, "received", b"between sessions"), (3, "received", b"mine"), (0, "received", b"after")]


def test_ready_opens_a_device_that_has_come_back(bench: RunnerBench) -> None:
    bench.world.offline()
    bench.start()
    bench.world.failing.clear()
    assert bench.ready(3).value is True


def test_ready_says_why_a_device_is_not(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    assert bench.ready(3).error == "DeviceFaultyError"
    bench.condition(Condition.FAULTY)


def test_ready_under_an_older_fence_touches_nothing(bench: RunnerBench) -> None:
    bench.start()
    bench.runner.raise_fence(5)
    before = list(bench.world.acts)
    assert bench.ready(4).error == "ReservationLostError"
    assert bench.world.acts == before


def test_feeds_go_to_nobody_once_a_call_shows_a_later_fence(bench: RunnerBench) -> None:
    bench.start()
    bench.ready(3)
    bench.ask("write", "x", fence=4)
    bench.toy.received.emit(b"after")
    assert bench.heard == [(0, "received", b"after")]


# -- release


def test_release_makes_safe_and_is_dealt_with(bench: RunnerBench) -> None:
    bench.start()
    bench.ready(1)
    assert not bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1] == (Condition.OK, "", 2)
    assert bench.world.count("safe") == 3
    assert bench.runner.follow("releasing", 2)  # told once more: nothing is done again
    bench.runner.follow("none", 0)
    assert bench.world.count("safe") == 3
    assert bench.runner.free


def test_release_interrupts_what_runs_and_ends_what_is_suspended(bench: RunnerBench) -> None:
    bench.start()
    suspended = bench.call("steps", "s", 10**9, fence=1)
    bench.acts(["s", 0])
    running = bench.call("block", fence=1)
    bench.acts("blocks")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert {bench.answer(call).error for call in (suspended, running)} == {"ReservationLostError"}
    assert bench.world.acts[-1] == "safe"


def test_release_reopens_a_device_that_is_not_safe(bench: RunnerBench) -> None:
    bench.start()

    def once(toy: Toy, original=Toy.make_safe) -> None:  # type: ignore[no-untyped-def]
        bench.world.failing.pop("make_safe", None)
        raise SafeStateError("only this time")

    bench.toy.make_safe = lambda: once(bench.toy)  # type: ignore[method-assign]
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.OK
    assert bench.world.acts[-3:] == ["close", "open", "safe"]


def test_release_of_a_device_that_can_not_be_made_safe_leaves_it_faulty(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.FAULTY


def test_new_host_deals_with_the_release_that_it_finds(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, hold=("releasing", 9)) as bench:
        bench.start()
        bench.dealt(9)
        assert bench.world.acts == ["open", "safe"]
        assert bench.runner.follow("releasing", 9)


def test_new_host_goes_on_with_the_session_that_it_finds(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, hold=("reserved", 9)) as bench:
        bench.start()
        bench.toy.received.emit(b"on we go")
        assert bench.heard == [(9, "received", b"on we go")]
        assert bench.ask("write", "old", fence=8).error == "ReservationLostError"
        assert bench.ask("write", "x", fence=9).value == "x"
