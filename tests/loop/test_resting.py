"""A device whose bench is in maintenance: made safe, closed, left alone, and opened again when that is over."""

from __future__ import annotations

import pytest

from labkit.errors import SafeStateError
from labkit.loop import device_state
from labkit.store.reservations import Blame, Condition
from tests.loop.runner_bench import RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import wait_until

WHY = "in maintenance: new motor"


def resting(bench: RunnerBench) -> None:
    bench.runner.rest(WHY)
    bench.condition(Condition.OFFLINE)


def test_device_is_made_safe_and_closed_and_says_why(bench: RunnerBench) -> None:
    bench.start()
    resting(bench)
    assert bench.world.acts == ["open", "safe", "safe", "close"]
    assert bench.runner.facts == (Condition.OFFLINE, WHY, 0, Blame.LAB)
    assert bench.ask("write", "x").message == f"Device 'bench-1/toy' is offline: {WHY}."


def test_device_that_rests_is_not_opened_again_by_itself(bench: RunnerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.0)
    bench.start()
    resting(bench)
    bench.toy.link.lost("pulled out by hand")
    assert bench.runner._due()[1] >= 3600
    assert bench.ask("write", "x").error == "DeviceOfflineError"
    assert bench.world.open_now == 0


def test_each_beat_may_say_it_again(bench: RunnerBench) -> None:
    bench.start()
    for _ in range(5):
        resting(bench)
    assert bench.world.count("close") == 1
    bench.runner.rest("in maintenance: old motor")
    wait_until(lambda: bench.port.reports[-1][1] == "in maintenance: old motor", "the other reason")
    assert bench.world.count("close") == 1


def test_device_is_opened_made_safe_and_ok_when_it_is_resumed(bench: RunnerBench) -> None:
    bench.start()
    resting(bench)
    bench.runner.resume()
    bench.condition(Condition.OK)
    assert bench.world.acts[-2:] == ["open", "safe"]
    assert [row[:2] for row in bench.port.reports][-2:] == [(Condition.OFFLINE, "being opened"), (Condition.OK, "")]
    bench.runner.resume()
    assert bench.ask("write", "x").value == "x"
    assert bench.world.count("open") == 2


def test_device_of_a_bench_that_was_claimed_in_maintenance_is_not_opened_at_all(bench: RunnerBench) -> None:
    bench.runner.rest(WHY)
    bench.start()
    assert bench.port.reports == [(Condition.OFFLINE, WHY, 0)]
    assert bench.world.acts == []
    bench.runner.resume()
    bench.condition(Condition.OK)


def test_resumed_before_it_rested_nothing_is_done(bench: RunnerBench) -> None:
    bench.start()
    gate = bench.world.hold("busy")
    call = bench.call("hang", "busy")
    bench.acts("busy hangs")
    bench.runner.rest(WHY)
    bench.runner.resume()
    gate.set()
    bench.answer(call)
    assert bench.ask("write", "x").value == "x"
    assert bench.world.acts.count("open") == 1


def test_session_that_got_the_device_meanwhile_has_it(bench: RunnerBench) -> None:
    """Maintenance was over before the host heard of it: the store gave the bench out."""
    bench.start()
    resting(bench)
    assert bench.ready(7).value is True
    assert bench.ask("write", "mine", fence=7).value == "mine"
    assert bench.runner.condition is Condition.OK


def test_device_that_can_not_be_made_safe_is_closed_and_says_so(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    resting(bench)
    reason = f"{WHY}; it could not be made safe before: SafeStateError: red reads back 1"
    assert bench.runner.facts == (Condition.OFFLINE, reason, 0, Blame.DEVICE)
    assert bench.world.open_now == 0


def test_host_that_stops_leaves_a_resting_device_as_it_is(bench: RunnerBench) -> None:
    bench.start()
    resting(bench)
    assert bench.stop() == []
    assert bench.world.acts == ["open", "safe", "safe", "close"]


def test_beat_that_was_under_way_when_a_session_got_the_device_does_not_free_it(bench: RunnerBench) -> None:
    """Its news is older than the call that made the device ready, and would have it closed under the session."""
    bench.start()
    assert bench.ready(7).value is True
    assert not bench.runner.follow("none", 6)
    assert not bench.runner.free
    bench.runner.follow("none", 7)
    assert bench.runner.free
