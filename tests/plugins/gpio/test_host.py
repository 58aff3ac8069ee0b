"""The twin in a device's runner: what becomes of the device when its lines do not do what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.devices.declaration import DeviceDeclaration
from labkit.loop.device_link import OpenDevice, open_device
from labkit.store.reservations import Blame, Condition
from labkit_plugins.gpio import SimulatedGpio
from labkit_plugins.twins.control import Control
from tests.loop.runner_bench import Outlet, RunnerBench
from tests.plugins.gpio.conftest import RecordingLink, options
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD, wait_until


class GpioOutlet(Outlet):
    """Has what a device with feeds of frames needs, too."""

    def watched(self, feed: str) -> bool:
        return False

    def opened(self, tell: Callable[[str, bool], None]) -> None:
        pass


class GpioBench(RunnerBench):
    """A device runner with a GPIO twin in the place of the toy, and the far end of its wires."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.folder = folder
        self.declaration = DeviceDeclaration(
            bench="bench-1", name="leds", driver=SimulatedGpio, kind="gpio", options=options(), line=1
        )

    def _open(self, on_lost: Callable[[str], None], on_driver: Callable[[Any], None]) -> OpenDevice:
        return open_device(self.declaration, self.folder, GpioOutlet(self.heard), on_lost, on_driver)

    def far(self, request: str) -> None:
        with Control(self.folder / "control", GUARD) as control:
            control.ask(request)

    def reason(self) -> str:
        return str(self.runner.reason)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[GpioBench]:
    folder = tmp_path / "bench-1" / "leds"
    folder.mkdir(parents=True)
    with GpioBench(folder) as bench:
        yield bench.start()
    end_program(SimulatedGpio(options(), RecordingLink(folder)))


def test_device_works_under_its_host(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    assert bench.ready(1).value is True
    assert bench.ask("write", "red", 1).value == 1
    assert bench.ask("all", panel=True).value == {"red": 1, "green": 0, "button": 0}
    wait_until(lambda: (1, "levels", {"red": 1, "green": 0, "button": 0}) in bench.heard, "the confirmed level")


def test_read_of_a_page_is_not_among_its_commands(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    reply = bench.ask("read", "red", panel=True)
    assert (reply.error, "no command 'read' for its panel" in reply.message) == ("CommandError", True)


def test_output_that_does_not_become_safe_makes_the_device_faulty_until_it_does(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    bench.far("drive red 1")
    reply = bench.ready(1)
    bench.condition(Condition.FAULTY)
    assert reply.error == "DeviceFaultyError"
    assert bench.reason().startswith(
        "SafeStateError: 'bench-1/leds' is not safe: line 'red' (line 17 of chip simulated) "
    )
    assert "was set to 0 but reads back 1" in bench.reason()
    bench.far("release red")
    assert bench.ready(2).value is True
    bench.condition(Condition.OK)


def test_wrong_line_is_the_users_mistake_and_a_short_the_devices(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    wrong = bench.ask("write", "gren", 1)
    assert (wrong.error, wrong.blame) == ("CommandError", Blame.USER)
    assert "Did you mean green?" in wrong.message
    bench.far("drive red 0")
    short = bench.ask("write", "red", 1)
    assert (short.error, short.blame) == ("ReadBackError", Blame.DEVICE)


def test_unplugged_chip_is_offline_and_comes_back_by_itself(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    assert bench.ready(1).value is True
    bench.far("unplug")
    bench.condition(Condition.OFFLINE)
    assert bench.ask("write", "red", 1).error == "DeviceOfflineError"
    bench.far("plug")
    bench.condition(Condition.OK)
    assert bench.ask("write", "red", 1).value == 1


def test_pulse_of_a_session_that_is_over_goes_back(bench: GpioBench) -> None:
    bench.condition(Condition.OK)
    bench.ready(1)
    pulse = bench.call("pulse", "red", 10_000)
    wait_until(lambda: (1, "levels", {"red": 1, "green": 0, "button": 0}) in bench.heard, "the pulse to begin")
    bench.runner.follow("releasing", 2)
    assert bench.answer(pulse).error == "ReservationLostError"
    bench.dealt(2)
    assert bench.ask("all", fence=2).value == {"red": 0, "green": 0, "button": 0}
