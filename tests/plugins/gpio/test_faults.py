"""Faults of the simulated chip: it is unplugged, hangs, is slow, or tells noise, as it is told to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin import FAULTS
from labkit_plugins.gpio import SimulatedGpio
from tests.plugins.gpio.conftest import FarEnd, OpenTwin, RecordingLink, options
from tests.toy import GUARD, wait_until


def test_fault_of_a_chip_that_nobody_simulates_is_refused(link: RecordingLink) -> None:
    with pytest.raises(ConnectionError, match=r"Nobody simulates 'bench-1/leds' at the moment"):
        SimulatedGpio(options(), link).inject("unplug")


def test_every_fault_is_known_and_normal_ends_it(twin: SimulatedGpio) -> None:
    for fault in FAULTS:
        twin.inject(fault)
    assert twin.ask("hello")["faults"] == []
    twin.close()
    twin.open()
    twin.make_safe()
    twin.health()


def test_unplugged_chip_is_offline_until_it_is_plugged(twin: SimulatedGpio, link: RecordingLink, far: FarEnd) -> None:
    twin.write("red", 1)
    twin.inject("unplug")
    link.wait_lost()
    assert far.lines()["red"]["level"] == 0  # it has no power
    twin.close()
    with pytest.raises(DeviceOfflineError, match="The simulated chip of 'bench-1/leds' is unplugged"):
        twin.open()
    twin.inject("plug")
    twin.open()
    assert twin.all() == {"red": 0, "green": 0, "button": 0}


def test_command_on_a_chip_that_hangs_is_ended_by_interrupt_and_is_well_afterwards(
    twin: SimulatedGpio, link: RecordingLink, far: FarEnd
) -> None:
    twin.inject("hang")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: twin.write("red", 1))
        far.drive("button", 0)
        assert not running.done()
        assert link.of("edges") == []
        wait_until(lambda: twin._interruptions._running, "the write to begin")
        twin.interrupt()
        with pytest.raises(InterruptedCallError, match="while it waited for its chip"):
            running.result(GUARD)
    twin.inject("normal")
    assert link.wait_edges(1)[0]["line"] == "button"
    assert twin.write("green", 1) == 1  # and the late answer to the first write is not taken for this one's
    assert twin.all() == {"red": 1, "green": 1, "button": 1}


def test_chip_that_hangs_can_be_closed_and_is_not_opened(twin: SimulatedGpio, monkeypatch: pytest.MonkeyPatch) -> None:
    twin.inject("hang")
    twin.close()
    with monkeypatch.context() as impatient:
        impatient.setattr("labkit_plugins.gpio.simulated._OPEN_TIMEOUT", 0.2)
        with pytest.raises(DeviceOfflineError, match=r"chip of 'bench-1/leds' did not answer within 0\.2 s"):
            twin.open()
    twin.inject("normal")
    twin.open()
    twin.make_safe()


def test_noise_is_told_as_what_it_is_and_ends_without_a_trace(twin: SimulatedGpio, link: RecordingLink) -> None:
    twin.inject("garbage")
    link.wait_edges(3)

    def becomes_unsafe() -> bool:
        try:
            twin.make_safe()
        except SafeStateError:
            return True
        return False

    wait_until(becomes_unsafe, "a level that is noise")
    twin.inject("normal")
    twin.make_safe()
    assert twin.all() == {"red": 0, "green": 0, "button": 0}
    assert link.losses == []


def test_slow_chip_does_what_it_is_asked(twin: SimulatedGpio, link: RecordingLink, far: FarEnd) -> None:
    twin.inject("slow")
    far.drive("button", 0)
    assert twin.write("red", 1) == 1
    assert [edge["level"] for edge in link.wait_edges(1)] == [1]


def test_edges_of_a_noisy_wire_cost_no_edge(open_twin: OpenTwin, link: RecordingLink) -> None:
    twin = open_twin({"counter": {"line": 1, "direction": "in"}})
    far = FarEnd(twin)
    for number in range(500):
        far.drive("counter", 1 - number % 2)
    assert [edge["seqno"] for edge in link.wait_edges(500)] == list(range(1, 501))
    far.control.close()
