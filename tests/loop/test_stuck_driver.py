"""A driver that does not come back: its device is faulty, and left alone until its thread does."""

from __future__ import annotations

from pathlib import Path

from labkit.store.reservations import Condition
from tests.loop.runner_bench import RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import wait_until


def test_command_that_ignores_its_interrupt_makes_the_device_faulty(bench: RunnerBench, impatient: None) -> None:
    bench.start()
    gate = bench.world.hold("hang")
    call = bench.call("hang", fence=1)
    waiting = bench.call("write", "waits", fence=1)
    bench.acts("hang hangs")
    bench.runner.raise_fence(2)
    bench.condition(Condition.FAULTY)
    assert bench.answer(call).error == "CallLostError"
    assert bench.answer(waiting).error == "DeviceFaultyError"
    assert bench.runner.stuck
    assert "hang hangs" in bench.port.reports[-1][1]
    assert bench.ask("write", "x", fence=2).error == "DeviceFaultyError"
    assert bench.world.open_now == 1  # neither closed nor reopened while the thread lives
    gate.set()
    bench.condition(Condition.OK)
    assert bench.world.acts[-3:] == ["close", "open", "safe"]
    assert not bench.runner.stuck
    assert len(bench.port.replies[call.id]) == 1
    assert "waits" not in bench.world.acts


def test_driver_whose_interrupt_hangs_is_stuck_too(bench: RunnerBench, impatient: None) -> None:
    bench.start()
    for what in ("hang", "interrupt"):
        bench.world.hold(what)
    call = bench.call("hang", fence=1)
    bench.acts("hang hangs")
    bench.runner.raise_fence(2)
    assert bench.answer(call).error == "CallLostError"
    bench.condition(Condition.FAULTY)


def test_release_of_a_stuck_device_is_dealt_with_and_the_device_stays_faulty(
    bench: RunnerBench, impatient: None
) -> None:
    bench.start()
    bench.world.hold("hang")
    bench.call("hang", fence=1)
    bench.acts("hang hangs")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.FAULTY
    assert bench.runner.follow("releasing", 3)
    assert bench.runner.dealt_with == 3


def test_making_safe_that_hangs_is_faulty(tmp_path: Path, impatient: None) -> None:
    with RunnerBench(tmp_path, safe_seconds=0.02) as bench:
        bench.start()
        bench.world.hold("make_safe")
        bench.runner.follow("releasing", 2)
        bench.acts("make_safe hangs")

        def given_up() -> bool:
            bench.runner.enforce()
            return bench.runner.stuck

        wait_until(given_up, "the limit")
        bench.dealt(2)
        assert bench.port.reports[-1][0] is Condition.FAULTY
        bench.world.gates["make_safe"].set()
        bench.condition(Condition.OK)
