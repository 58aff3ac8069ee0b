"""`labkit devices scan`: what it prints, with a lab, without one, and with one that is broken."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from labkit.commands.scan import as_object, failed
from labkit.devices.hardware import Looked
from tests.cli.conftest import place as place
from tests.cli.program import Place

DRIVERS = '''
"""Drivers that find what a test wants them to find."""

from labkit.plugin import Driver, DriverOptions, Found, Takes, hookimpl


class FanOptions(DriverOptions):
    slot: int

    def takes(self):
        return [Takes(what=f"slot {self.slot}", path=("slot",))]


class Fan(Driver[FanOptions]):
    kind = "fan"

    def open(self): ...
    def close(self): ...
    def make_safe(self): ...
    def interrupt(self): ...

    @classmethod
    def scan(cls):
        busy = {"trouble": "process 7 (fancontrol) has it open", "remedy": "End that program."}
        return [
            Found(path="/fans/1", title="Big [bold]fan", facts={"blades": "7"}, options={"slot": 1}),
            Found(path="/fans/2", title="Small fan", options={"slot": 2}, **busy),
        ]


class Pump(Fan):
    kind = "pump"

    @classmethod
    def scan(cls):
        raise PermissionError("the pumps are locked")


@hookimpl
def labkit_drivers():
    return [Fan, Pump]
'''
COOLER = '[cooler]\ndriver = "fan"\nslot = 1\n'


def found(place: Place) -> dict[str, dict[str, Any]]:
    """What the drivers of the test found, by path."""
    done = place.labkit("devices", "scan", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return {one["path"]: one for one in answer["found"] if one["kind"] == "fan"}


def test_everything_is_said_of_what_was_found(place: Place) -> None:
    place.write("drivers/fans.py", DRIVERS)
    place.write("devices/bench-1.toml", COOLER)
    done = place.labkit("devices", "scan")
    assert done.returncode == 0, done.stderr
    assert (
        "fan\n"
        "  /fans/1  Big [bold]fan\n"
        "      blades  7\n"
        "      declared as bench-1/cooler\n"
        "  /fans/2  Small fan\n"
        "      process 7 (fancontrol) has it open. End that program.\n"
    ) in done.stdout
    assert "serial" in done.stdout
    assert "The driver 'pump' could not look for hardware: PermissionError: the pumps are locked." in done.stderr


def test_json_says_it_to_programs(place: Place) -> None:
    place.write("drivers/fans.py", DRIVERS)
    place.write("devices/bench-1.toml", COOLER)
    done = place.labkit("devices", "--json", "scan")
    answer = json.loads(done.stdout)
    first, second = (one for one in answer["found"] if one["kind"] == "fan")
    assert first == {
        "kind": "fan", "path": "/fans/1", "title": "Big [bold]fan", "facts": {"blades": "7"}, "options": {"slot": 1},
        "trouble": "", "remedy": "", "declared": ["bench-1/cooler"],
    }  # fmt: skip
    assert (second["declared"], second["remedy"]) == ([], "End that program.")
    assert {"kind": "pump", "error": "PermissionError: the pumps are locked", "remedy": ""} in answer["failed"]


def test_missing_library_is_said_with_the_command_that_brings_it() -> None:
    error, remedy = "ModuleNotFoundError: No module named 'gpiod'", 'pip install "labkit[gpio]"'
    looks = [Looked(kind="gpio", error=error, remedy=remedy)]
    assert [*failed(looks)] == [f"The driver 'gpio' could not look for hardware: {error}. Run: {remedy}"]
    assert as_object(looks)["failed"] == [{"kind": "gpio", "error": error, "remedy": remedy}]


def test_bench_to_paste_has_what_is_not_declared_yet(place: Place) -> None:
    place.write("drivers/fans.py", DRIVERS)
    place.write("devices/bench-1.toml", COOLER)
    pasted = place.labkit("devices", "scan", "--toml").stdout
    tables = tomllib.loads(pasted)
    assert {name: table for name, table in tables.items() if table["driver"] == "fan"} == {
        "small-fan": {"driver": "fan", "slot": 2}
    }
    place.write("devices/bench-2.toml", pasted)
    assert found(place)["/fans/2"]["declared"] == ["bench-2/small-fan"]


def test_hardware_is_found_where_there_is_no_lab(place: Place) -> None:
    place.write("drivers/fans.py", DRIVERS)  # nobody's: only a lab's own drivers are loaded
    done = place.labkit("devices", "scan")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "serial" in done.stdout
    assert "fan" not in done.stdout.split()
    assert not (place.folder / "instance").exists()


def test_mistake_in_a_declaration_stops_nobody_from_looking(place: Place) -> None:
    place.write("drivers/fans.py", DRIVERS)
    place.write("devices/bench-1.toml", COOLER)
    place.write("devices/bench-2.toml", '[other]\ndriver = "fan"\nslot = "two"\n')
    assert found(place)["/fans/1"]["declared"] == ["bench-1/cooler"]
    assert "devices/bench-2.toml" in place.labkit("devices", "scan").stderr


def test_lab_that_cannot_be_imported_stops_nobody_from_looking(place: Place) -> None:
    place.write("lab.py", "import nothing_of_this_name\n")
    place.write("drivers/fans.py", DRIVERS)
    place.write("devices/bench-1.toml", COOLER)
    assert found(place)["/fans/1"]["declared"] == ["bench-1/cooler"]
    assert (
        "The lab itself can't be loaded. Importing 'lab' failed: No module named 'nothing_of_this_name'"
        in place.labkit("devices", "scan").stderr
    )


def test_json_and_toml_are_not_to_be_had_together(place: Place) -> None:
    done = place.labkit("devices", "scan", "--json", "--toml")
    assert done.returncode == 2
    assert "--json or --toml, not both" in done.stderr
