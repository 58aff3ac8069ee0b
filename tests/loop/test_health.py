"""A device is looked at when it is opened and between sessions; a look gives way, and harms nobody."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from labkit.errors import DeviceOfflineError, InterruptedCallError
from labkit.loop.upkeep import OPEN_SECONDS
from labkit.store.reservations import Blame, Condition
from tests.loop.runner_bench import RunnerBench
from tests.toy import GUARD, Toy, wait_until

OFTEN = 0.001


class Patient(Toy):
    """A toy whose `health` writes itself down; with the world's gate 'health' it blocks, as a good driver does."""

    def health(self) -> None:
        self.world.do("health")
        if "health" in self.world.gates:
            with self._blocked:
                self._blocking = True
                self.world.do("health blocks")
                assert self._blocked.wait_for(lambda: not self._blocking, GUARD)
            raise InterruptedCallError("interrupted")
        if "health" in self.world.failing:
            raise self.world.failing["health"]


class Deaf(Toy):
    """A toy whose `health` hears no interrupt."""

    def health(self) -> None:
        self._pass("health")


def test_device_is_looked_at_after_it_was_opened_and_made_safe(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient) as bench:
        bench.start()
        assert bench.world.acts == ["open", "safe", "health"]
        assert bench.runner.condition is Condition.OK


def test_device_that_fails_its_look_is_not_given_out_until_it_passes(tmp_path: Path, eager: None) -> None:
    with RunnerBench(tmp_path, driver=Patient) as bench:
        bench.world.failing["health"] = RuntimeError("the motor draws 3 A")
        bench.start()
        assert bench.port.reports[0][0] is Condition.FAULTY
        assert "RuntimeError: the motor draws 3 A" in bench.port.reports[0][1]
        assert bench.runner.facts[3] is Blame.DRIVER
        assert bench.ask("write", "x").error == "DeviceFaultyError"
        bench.world.failing.clear()
        bench.condition(Condition.OK)  # by itself: opened, made safe, looked at
        assert bench.world.acts[-3:] == ["open", "safe", "health"]


def test_free_device_is_looked_at_again_and_again(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN) as bench:
        bench.start()
        wait_until(lambda: bench.world.count("health") > 3, "more looks")
        assert bench.world.count("open") == 1
        assert len(bench.port.reports) == 1  # nothing has changed, so nobody is told anything


def test_device_in_use_is_not_looked_at(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN) as bench:
        bench.start()
        assert bench.ready(3).value is True
        looks = bench.world.count("health")
        for number in range(20):
            assert bench.ask("write", number, fence=3).value == number
        assert bench.world.count("health") == looks
        bench.runner.follow("releasing", 4)
        bench.dealt(4)
        assert bench.world.count("health") == looks
        bench.runner.follow("none", 0)
        wait_until(lambda: bench.world.count("health") > looks, "a look")


def test_device_without_a_health_of_its_own_is_never_woken_for_it(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, health_interval=OFTEN) as bench:
        bench.start()
        assert bench.runner._due()[1] >= 3600


def test_device_is_looked_at_only_at_its_opening_where_the_interval_is_0(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient) as bench:
        bench.start()
        assert bench.world.count("health") == 1
        assert bench.runner._due()[1] >= 3600


def test_look_gives_way_to_a_session_and_is_no_failure(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN) as bench:
        bench.start()
        bench.world.hold("health")
        bench.acts("health blocks")
        assert bench.ready(3).value is True
        assert bench.ask("write", "mine", fence=3).value == "mine"
        assert {row[0] for row in bench.port.reports} == {Condition.OK}
        assert bench.world.count("open") == 1


def test_look_does_not_begin_where_somebody_wants_the_device_already(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient) as bench:
        bench.start()
        bench.runner._upkeep.look(0, lambda: True)
        assert bench.world.count("health") == 1  # that of the opening
        bench.runner._upkeep.look(0, lambda: False)
        assert bench.world.count("health") == 2


@pytest.mark.parametrize("what", ["fence", "stop", "rest", "unplugged"])
def test_look_gives_way_to_whatever_comes(tmp_path: Path, what: str, eager: None) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN) as bench:
        bench.start()
        bench.world.hold("health")
        bench.acts("health blocks")
        if what == "fence":
            bench.runner.raise_fence(5)
            wait_until(lambda: bench.world.count("health blocks") > 1, "the next look")
            assert bench.runner.condition is Condition.OK
        elif what == "stop":
            assert bench.stop() == []
        elif what == "rest":
            bench.runner.rest("in maintenance: new motor")
            bench.condition(Condition.OFFLINE)
        else:
            bench.world.gates.pop("health")
            bench.toy.link.lost("pulled out")
            wait_until(lambda: bench.world.count("open") == 2, "the second opening")


def test_look_that_finds_the_device_gone_makes_it_offline_until_it_is_back(tmp_path: Path, eager: None) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN) as bench:
        bench.start()
        bench.world.failing["health"] = DeviceOfflineError("no answer at address 0x40")
        bench.condition(Condition.OFFLINE)
        assert bench.port.reports[-1][1] == "no answer at address 0x40"
        assert bench.runner.facts[3] is Blame.DEVICE
        bench.world.failing.clear()
        bench.condition(Condition.OK)


def test_look_that_takes_too_long_is_ended_and_is_the_devices_fault(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Patient, health_interval=OFTEN, safe_seconds=1.0) as bench:
        bench.start()
        bench.world.hold("health")
        bench.acts("health blocks")
        now = bench.runner._occupation.now
        assert now is not None
        assert now.until - now.started == pytest.approx(OPEN_SECONDS)  # or what is good enough there fails here
        now.until = 0.0
        bench.runner.enforce()
        bench.condition(Condition.FAULTY)
        assert bench.port.reports[-1][1].startswith("no answer: a look at its health was ended")
        assert bench.runner.facts[3] is Blame.DEVICE


def test_look_that_ignores_its_interruption_is_stuck_and_the_drivers_fault(tmp_path: Path, impatient: None) -> None:
    with RunnerBench(tmp_path, driver=Deaf, health_interval=OFTEN) as bench:
        bench.start()
        gate = bench.world.hold("health")
        bench.acts("health hangs")
        call = bench.call("write", "waits", fence=3)
        assert bench.answer(call).error == "DeviceFaultyError"
        assert bench.answer(call).blame == "driver"
        bench.condition(Condition.FAULTY)  # told after the answer; else the word of before would count as the next
        assert bench.runner.stuck
        bench.world.gates.clear()
        gate.set()
        bench.condition(Condition.OK)
        assert not bench.runner.stuck


def test_interrupt_that_came_too_early_for_the_driver_comes_again(tmp_path: Path) -> None:
    """The driver is only on its way to where it blocks: the first interrupt finds nothing to end."""
    with RunnerBench(tmp_path) as bench:
        bench.start()
        toy, real, early = bench.toy, bench.toy.interrupt, threading.Event()

        def interrupt() -> None:
            real()
            early.set()

        def block_later(**_: object) -> None:
            bench.world.do("on its way")
            assert early.wait(GUARD)
            toy._blocking = True
            with toy._blocked:
                assert toy._blocked.wait_for(lambda: not toy._blocking, GUARD)
            raise InterruptedCallError("interrupted")

        toy.interrupt = interrupt  # type: ignore[method-assign]
        toy._pass = lambda what: block_later() if what == "hang" else None  # type: ignore[method-assign]
        call = bench.call("hang", fence=1)
        bench.acts("on its way")
        bench.runner.raise_fence(2)
        assert bench.answer(call).error == "ReservationLostError"
        assert not bench.runner.stuck
        assert bench.world.count("interrupt") >= 2
