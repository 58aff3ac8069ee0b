"""A device that is being opened: it can be interrupted like one that is open, and nothing is left of what fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from labkit.devices.declaration import DeviceDeclaration
from labkit.errors import InterruptedCallError
from labkit.loop.device_link import open_device
from labkit.store.reservations import Blame, Condition
from tests.loop.runner_bench import Outlet, RunnerBench
from tests.toy import GUARD, Toy, ToyOptions, World, wait_until


class Waiting(Toy):
    """A toy that waits for its device when it is opened, as a good driver does, while the world has a gate 'answer'."""

    def open(self) -> None:
        if "answer" in self.world.gates:
            with self._blocked:
                self._blocking = True
                self.world.do("waits for an answer")
                assert self._blocked.wait_for(lambda: not self._blocking, GUARD)
            raise InterruptedCallError("interrupted")
        super().open()


def come_to_the_limit(bench: RunnerBench) -> None:
    now = bench.runner._occupation.now
    assert now is not None
    assert (now.what, now.until - now.started) == ("opening", pytest.approx(30.0))
    now.until = 0.0
    bench.runner.enforce()


def test_opening_that_takes_too_long_is_interrupted_and_the_devices_fault(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, driver=Waiting) as bench:
        bench.world.hold("answer")
        bench.runner.thread.start()
        bench.acts("waits for an answer")
        come_to_the_limit(bench)
        bench.condition(Condition.FAULTY)
        assert bench.port.reports[0][1].startswith("no answer: opening was ended, because its time is over")
        assert bench.runner.facts[3] is Blame.DEVICE
        assert not bench.runner.stuck
        del bench.world.gates["answer"]
        assert bench.ready(1).value is True
        assert bench.world.open_now == 1


def test_opening_that_is_deaf_to_its_interruption_is_the_drivers_fault(tmp_path: Path, impatient: None) -> None:
    with RunnerBench(tmp_path) as bench:
        gate = bench.world.hold("open")
        bench.runner.thread.start()
        bench.acts("open hangs")
        come_to_the_limit(bench)
        bench.condition(Condition.FAULTY)
        assert bench.runner.stuck
        assert bench.runner.facts[3] is Blame.DRIVER
        gate.set()
        bench.condition(Condition.OK)
        assert not bench.runner.stuck


def test_driver_that_failed_to_open_is_in_nobodys_hand(tmp_path: Path) -> None:
    with RunnerBench(tmp_path) as bench:
        bench.world.offline()
        bench.start()
        assert bench.runner._state.in_hand is None
        bench.world.failing.clear()
        bench.ready(1)
        assert bench.runner._state.in_hand is bench.toy


def open_toy(folder: Path, world: World, outlet: Outlet, hand: list[Any]) -> Any:
    declaration = DeviceDeclaration(
        bench="bench-1", name="toy", driver=Toy, kind="toy", options=ToyOptions(world=world.name), line=1
    )
    return open_device(declaration, folder, outlet, lambda reason: None, hand.append)


def test_driver_is_in_hand_before_it_is_opened(tmp_path: Path) -> None:
    world, hand = World(), list[Any]()
    gate = world.hold("open")
    thread = threading.Thread(target=open_toy, args=(tmp_path, world, Outlet([]), hand))
    thread.start()
    wait_until(lambda: "open hangs" in world.acts, "the opening")
    assert [type(driver) for driver in hand] == [Toy]
    gate.set()
    thread.join(GUARD)
    assert world.toys == hand


class NoThread(Outlet):
    """An outlet for whose thread the system has none left."""

    def opened(self, tell: Any) -> None:
        raise RuntimeError("can't start new thread")


def test_device_whose_feeds_can_not_begin_is_closed_again(tmp_path: Path) -> None:
    world, outlet = World(), NoThread([])
    with pytest.raises(RuntimeError, match="can't start new thread"):
        open_toy(tmp_path, world, outlet, [])
    assert world.acts == ["open", "close"]
    assert outlet.closed
