"""`sim FAULT DEVICE`: a simulated device of a running lab fails as it is told, and others are refused by name."""

from __future__ import annotations

import json
import signal

import pytest

from labkit import plugin
from labkit.commands import sim
from tests.cli.conftest import place as place
from tests.cli.program import BENCH, Place, wait_for

METER = '[meter]\ndriver = "serial"\nport = "/dev/nothing-here"\n'
OWN = """
from labkit.plugin import Driver, DriverOptions, Twin, command, hookimpl

class Fan(Driver[DriverOptions]):
    kind = "fan"
    def open(self): raise RuntimeError("the hardware was touched")
    def close(self): pass
    def make_safe(self): pass
    def interrupt(self): pass
    @command
    def speed(self) -> int:
        return 0

class SimulatedFan(Twin, Fan):
    def open(self): self.simulate("open")
    @command
    def speed(self) -> int:
        self.simulate("speed")
        return 7

class Lamp(Fan):
    kind = "lamp"

class SimulatedLamp(Lamp):
    def open(self): pass

Fan.simulated = SimulatedFan
Lamp.simulated = SimulatedLamp

@hookimpl
def labkit_drivers():
    return [Fan, Lamp]
"""


def condition(lab: Place, device: str) -> str:
    known = json.loads(lab.labkit("devices", "--json").stdout)
    return str({facts["name"]: facts["condition"] for facts in known}[device])


def wait_condition(lab: Place, device: str, expected: str) -> None:
    wait_for(lambda: condition(lab, device) == expected, f"{device} to be {expected}")


def test_command_knows_every_fault() -> None:
    assert tuple(sim.FAULTS) == plugin.FAULTS


def test_unplugged_device_is_offline_until_it_is_plugged(lab: Place) -> None:
    done = lab.labkit("sim", "unplug", "bench-1/console")
    assert (done.returncode, done.stdout) == (
        0,
        "bench-1/console is unplugged: offline until it is plugged in. Undo: labkit sim plug bench-1/console\n",
    )
    wait_condition(lab, "bench-1/console", "offline")
    assert lab.labkit("sim").stdout.startswith("bench-1/console  offline  unplug\n")
    done = lab.labkit("sim", "plug", "console")
    assert done.stdout == "bench-1/console is plugged in; its host opens it within a second or two.\n"
    wait_condition(lab, "bench-1/console", "ok")


def test_faults_add_up_and_normal_ends_them(lab: Place) -> None:
    assert lab.labkit("sim", "slow", "console").stdout == (
        "bench-1/console is slow. Undo: labkit sim normal bench-1/console\n"
    )
    lab.labkit("sim", "hang", "console")
    assert lab.labkit("sim").stdout == (
        "bench-1/console  ok       hang, slow\n\n"
        "Faults: unplug, plug, hang, garbage, slow, normal. For example: labkit sim unplug bench-1/console\n"
    )
    assert lab.labkit("sim", "normal", "console").stdout == "bench-1/console has no faults any more.\n"
    assert "ok       no faults" in lab.labkit("sim").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("unplug",), 2, "Say which device: labkit sim unplug bench-1/console"),
        (("unplug", "bench-1/consle"), 2, "There is no device 'bench-1/consle'. Did you mean bench-1/console?"),
        (("unplug", "zzz"), 2, "There is no device 'zzz'. Known: bench-1/console, bench-2/meter."),
        (
            ("unplug", "meter"),
            1,
            "bench-2/meter is hardware, which can't be made to fail from here. Simulated are: bench-1/console.",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    lab: Place, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = lab.labkit("sim", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"Error: {message}\n")


def test_unknown_fault_is_refused_with_the_known_ones(lab: Place) -> None:
    done = lab.labkit("sim", "burn", "console")
    assert done.returncode == 2
    assert "'burn' is not one of 'unplug', 'plug', 'hang', 'garbage', 'slow', 'normal'" in done.stderr


def test_device_of_another_machine_is_refused_with_its_name(lab: Place) -> None:
    done = lab.labkit("sim", "hang", "console", LABKIT_MACHINE="pi-9")
    assert done.returncode == 1
    assert "bench-1/console is simulated on machine " in done.stderr
    assert "Run this command there." in done.stderr


def test_nothing_that_runs_is_said(place: Place) -> None:
    place.write("devices/bench-1.toml", BENCH)
    done = place.labkit("sim", "hang", "console")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: Nothing runs here, so nothing is simulated. Start it: labkit run --simulate\n",
    )


def test_loop_simulates_what_is_declared_as_hardware_where_it_is_asked_to(place: Place) -> None:
    """The other terminal does not know of --simulate; drivers of a lab's own fail on demand where they are `Twin`s."""
    place.write("drivers/fan.py", OWN)
    place.write(
        "devices/bench-1.toml", '[meter]\ndriver = "serial"\nport = "/dev/nothing-here"\n[fan]\ndriver = "fan"\n'
    )
    place.write("devices/bench-2.toml", '[fan]\ndriver = "fan"\n[lamp]\ndriver = "lamp"\n')
    with place.running("web", "--port", "0") as web:
        web.says("Serving at ")
        url = web.err.partition("Serving at ")[2].split()[0]
        refused = place.labkit("fake", "new", "--url", url).stderr
        assert "There is no bench to reserve" in refused  # and the store is there from now on
        with place.running("loop", "--simulate") as loop:
            for device in ("bench-1/meter", "bench-1/fan", "bench-2/fan", "bench-2/lamp"):
                loop.says(f"device changed device={device} condition=ok")
            for device in ("meter", "bench-2/fan"):
                assert place.labkit("sim", "unplug", device).returncode == 0
            loop.says("device changed device=bench-1/meter condition=offline")
            loop.says("device changed device=bench-2/fan condition=offline")
            loop.says("reason=The simulated 'bench-2/fan' is unplugged. Plug it in: labkit sim plug bench-2/fan")
            assert place.labkit("sim", "unplug", "fan").stderr == (
                "Error: There are 2 devices 'fan': bench-1/fan, bench-2/fan. Say one.\n"
            )
            refused = place.labkit("sim", "hang", "lamp").stderr
            assert "bench-2/lamp can't fail on demand: its twin SimulatedLamp is no labkit.plugin.Twin." in refused
            place.labkit("sim", "normal", "bench-2/fan")
            wait_condition(place, "bench-2/fan", "ok")
            loop.end(signal.SIGTERM)
        done = place.labkit("sim", "hang", "bench-1/fan")
        assert (done.returncode, done.stderr) == (
            1,
            "Error: No loop runs that has bench-1/fan, so nobody simulates it. Start one: labkit loop\n",
        )


def test_lab_without_simulated_devices_says_how_to_have_some(place: Place) -> None:
    place.write("devices/bench-1.toml", METER)
    with place.running("loop") as loop:
        loop.says("device changed device=bench-1/meter condition=offline")
        assert place.labkit("sim").stdout == (
            "No device is simulated. To simulate all of them: labkit run --simulate\n"
        )
