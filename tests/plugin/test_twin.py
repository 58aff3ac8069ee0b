"""Twins without a program of their own: each fault reaches an idle, a blocked and a closed one."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError, InterruptedCallError
from labkit.plugin import DriverOptions, Twin, commands_of, faults
from labkit.plugin import twin as twin_module
from labkit.plugin.faults import FaultListener
from labkit.plugin.twin import SLOW_SECONDS
from tests.left_behind import nothing_left_behind
from tests.plugin.simulated_fan import Saying, SimulatedFan
from tests.plugin.simulated_fan import fan as fan
from tests.plugin.simulated_fan import link as link
from tests.plugin.simulated_fan import make as make
from tests.toy import GUARD


class OnlySimulated(Twin):
    """A twin without a driver under it."""

    def open(self) -> None:
        self.simulate("open")


def test_twin_without_faults_does_as_it_is_told(fan: SimulatedFan) -> None:
    fan.make_safe()
    assert fan.say() == b"rrrr" * 8
    assert fan.injected() == frozenset()


def test_mixin_adds_no_command_and_leaves_the_drivers_methods_in_place(fan: SimulatedFan, link: Any) -> None:
    assert list(commands_of(SimulatedFan)) == ["say"]
    fan.interrupt()
    fan.close()
    assert link.interrupted
    assert link.closed


def test_twin_without_a_driver_under_it_can_be_closed_and_interrupted(link: Any) -> None:
    twin = OnlySimulated(DriverOptions(), link)
    twin.open()
    twin.interrupt()
    twin.close()
    twin.close()


def test_unplug_of_an_idle_device_is_noticed_at_once_and_plug_brings_it_back(
    fan: SimulatedFan, make: Callable[[], SimulatedFan], link: Any
) -> None:
    make().inject("unplug")
    assert link.was_lost.wait(GUARD)
    assert link.losses == ["The simulated 'bench-1/fan' is unplugged. Plug it in: labkit sim plug bench-1/fan"]
    with pytest.raises(DeviceOfflineError, match="The simulated 'bench-1/fan' is unplugged"):
        fan.say()
    fan.close()
    with pytest.raises(DeviceOfflineError):
        fan.open()
    make().inject("plug")
    fan.open()
    assert fan.say() == b"rrrr" * 8


def test_unplug_ends_a_command_that_hangs(fan: SimulatedFan, make: Callable[[], SimulatedFan]) -> None:
    make().inject("hang")
    saying = Saying(fan)
    assert saying.blocks()
    make().inject("unplug")
    assert isinstance(saying.wait(), DeviceOfflineError)


def test_hanging_command_goes_on_when_it_is_normal_again(fan: SimulatedFan, make: Callable[[], SimulatedFan]) -> None:
    make().inject("hang")
    saying = Saying(fan)
    assert saying.blocks()
    make().inject("normal")
    assert saying.wait() == b"rrrr" * 8


def test_interrupt_ends_a_hanging_command_and_leaves_no_mark(
    fan: SimulatedFan, make: Callable[[], SimulatedFan]
) -> None:
    fan.interrupt()
    make().inject("hang")
    saying = Saying(fan)
    error = saying.interrupt()
    assert isinstance(error, InterruptedCallError)
    assert "The say on 'bench-1/fan' was interrupted" in str(error)
    make().inject("normal")
    fan.interrupt()
    assert fan.say() == b"rrrr" * 8


def test_interrupt_returns_while_another_program_holds_the_faults(fan: SimulatedFan, link: Any) -> None:
    with (link.folder / "faults").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        saying = Saying(fan)
        assert saying.blocks()
        interrupting = threading.Thread(target=fan.interrupt, name="interrupting", daemon=True)
        interrupting.start()
        interrupting.join(GUARD)
        assert not interrupting.is_alive()
    assert saying.wait() == b"rrrr" * 8


def test_interrupt_that_comes_while_the_faults_are_looked_at_is_not_lost(
    fan: SimulatedFan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fan.inject("hang")
    read = fan._simulation.file.read

    def read_and_be_interrupted() -> frozenset[str]:
        faults = read()
        if threading.current_thread().name == "saying":
            fan.interrupt()
        return faults

    monkeypatch.setattr(fan._simulation.file, "read", read_and_be_interrupted)
    assert isinstance(Saying(fan).wait(), InterruptedCallError)


def test_open_that_could_start_no_thread_leaves_nothing(
    make: Callable[[], SimulatedFan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(listener: FaultListener) -> None:
        raise RuntimeError("can't start new thread")

    fan = make()
    with monkeypatch.context() as full, nothing_left_behind():
        full.setattr(FaultListener, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            fan.open()
    fan.open()
    assert fan.say() == b"rrrr" * 8


def test_hanging_twin_hangs_when_it_is_opened_too(make: Callable[[], SimulatedFan], fan: SimulatedFan) -> None:
    fan.close()
    fan.inject("hang")
    opening = threading.Thread(target=fan.open, daemon=True)
    opening.start()
    fan.inject("normal")
    opening.join(GUARD)
    assert fan.say() == b"rrrr" * 8


def test_slow_command_takes_its_time_and_can_be_interrupted(
    fan: SimulatedFan, make: Callable[[], SimulatedFan], monkeypatch: pytest.MonkeyPatch
) -> None:
    make().inject("slow")
    with monkeypatch.context() as slower:
        slower.setattr(twin_module, "SLOW_SECONDS", 3600.0)  # else it may be over before it is interrupted
        assert isinstance(Saying(fan).interrupt(), InterruptedCallError)
    assert SLOW_SECONDS < 5  # well within a call's time: it is slow, not lost
    assert Saying(fan).wait() == b"rrrr" * 8


def test_garbage_is_noise_of_the_same_type_and_length(fan: SimulatedFan, make: Callable[[], SimulatedFan]) -> None:
    make().inject("garbage")
    assert len(fan.say()) == 32
    assert fan.say() != b"rrrr" * 8
    assert len(fan.garbled("twelve chars")) == 12
    assert fan.garbled("twelve chars") != "twelve chars"
    assert any(fan.garbled(7) != 7 for _ in range(5))
    assert [type(fan.garbled(value)) for value in (7, 7.5, True)] == [int, float, bool]


def test_open_and_close_leave_no_thread_and_no_descriptor(
    make: Callable[[], SimulatedFan], fan: SimulatedFan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_JOIN_SECONDS", GUARD)  # a thread may be late with its end
    fan.close()
    with nothing_left_behind():
        for _ in range(50):
            fan.open()
            fan.open()
            fan.say()
            fan.close()
            fan.close()
        fan.inject("unplug")
        for _ in range(10):
            with pytest.raises(DeviceOfflineError):
                fan.open()


def test_twin_may_be_closed_by_who_hears_that_it_is_lost(link: Any) -> None:
    closed = threading.Event()

    def lost(reason: str) -> None:
        fan.close()
        closed.set()

    link.lost = lost
    fan = SimulatedFan(DriverOptions(), link)
    with nothing_left_behind():
        fan.open()
        (listener,) = (thread for thread in threading.enumerate() if thread.name == "twin:bench-1/fan")
        fan.inject("unplug")
        assert closed.wait(GUARD)
        listener.join(GUARD)
