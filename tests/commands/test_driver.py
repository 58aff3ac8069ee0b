"""`driver new`, `driver test`, `driver doc`, `plugins`: in an empty folder, and in one with drivers that are broken."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from labkit.contract.contract import RULES
from tests.cli.program import Place, a_place

HALF_A_DRIVER = """
import labkit_library_that_nobody_has
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A folder with nothing in it but what these tests make, one after another."""
    with a_place() as made:
        yield made


@pytest.fixture(scope="module")
def fan(place: Place) -> str:
    """What `driver new` says, when it has made a driver of two words."""
    made = place.labkit("driver", "new", "big-fan")
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_new_driver_is_three_files_and_the_next_steps(place: Place, fan: str) -> None:
    assert [line.split(":")[0] for line in fan.splitlines()[:3]] == [
        "made drivers/big_fan.py",
        "made drivers/big_fan.js",
        "made tests/test_big_fan.py",
    ]
    for step in ("labkit driver test big-fan", "labkit driver doc big-fan", 'driver = "big-fan"', "class Wire"):
        assert step in fan
    for path in place.folder.rglob("*.*"):
        assert "{{" not in path.read_text("utf-8"), path


def test_new_driver_keeps_the_contract_and_says_what_was_tried(place: Place, fan: str) -> None:
    tried = place.labkit("driver", "test", "big-fan")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "The driver contract on SimulatedBigFan" in tried.stdout
    assert "ok        notices that it was unplugged" in tried.stdout
    assert tried.stdout.rstrip().endswith("18 ok, 2 not tried")


def test_new_driver_is_never_written_over_another_one(place: Place, fan: str) -> None:
    known = place.labkit("driver", "new", "big-fan")
    assert known.returncode == 1
    assert known.stderr == (
        "Error: There is a driver 'big-fan' already, from drivers/big_fan.py. Choose another name.\n"
    )
    (place.folder / "drivers" / "pump.js").touch()
    there = place.labkit("driver", "new", "pump")
    assert there.returncode == 1
    assert "Nothing was made: drivers/pump.js exists already." in there.stderr
    assert not (place.folder / "drivers" / "pump.py").exists()


@pytest.mark.parametrize("name", ["Fan", "7up", "fan-", "import", "fan/../x", "serial"])
def test_name_that_no_driver_can_have_is_refused(place: Place, name: str) -> None:
    refused = place.labkit("driver", "new", name)
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith(("Error: A driver can't be called", "Error: There is a driver 'serial' already"))


def test_page_of_a_driver_has_its_options_commands_and_feeds(place: Place, fan: str) -> None:
    page = place.labkit("driver", "doc", "big-fan")
    assert page.returncode == 0
    for row in (
        "| `port` | `5025` | TCP port of the controller. |",
        "| `set_speed(percent: int)` | yes | Set the speed in percent; returns what the controller confirmed. |",
        "| `speed` | `int` | Speed in percent, each time that the controller confirmed a new one. |",
        "| `simulate` | `false` | Use the driver's simulated twin instead of the hardware. |",
    ):
        assert row in page.stdout.splitlines()
    assert page.stdout.count("| `safe` |") == 1


def test_unknown_driver_is_refused_with_the_nearest_one(place: Place, fan: str) -> None:
    refused = place.labkit("driver", "doc", "big-fun")
    assert refused.returncode == 2
    assert "There is no driver 'big-fun'. Did you mean big-fan?" in refused.stderr


def test_broken_driver_is_reported_rule_by_rule_and_fails_the_command(place: Place, fan: str) -> None:
    source = (place.folder / "drivers" / "big_fan.py").read_text("utf-8").replace("big-fan", "bad-fan")
    forgetful = source.replace('self._ask(f"SPEED {percent}")\n', "pass\n")
    assert forgetful != source
    place.write("drivers/bad_fan.py", forgetful)
    tried = place.labkit("driver", "test", "bad-fan", "--json", "--option", "safe = 30")
    assert tried.returncode == 1, tried.stdout + tried.stderr
    results = {result["rule"]: result for result in json.loads(tried.stdout)}
    assert list(results) == [rule.name for rule in RULES]
    broken = results["can-be-made-safe-in-any-state"]
    assert broken["outcome"] == "fail"
    assert "could not be confirmed" in broken["reason"]
    assert broken["says"]
    (place.folder / "drivers" / "bad_fan.py").unlink()


def test_options_that_the_driver_does_not_take_are_refused(place: Place, fan: str) -> None:
    wrong = place.labkit("driver", "test", "big-fan", "--option", "port = 0", "--option", "colour = 'red'")
    assert wrong.returncode == 2
    assert "port: Input should be greater than or equal to 1" in wrong.stderr
    assert "colour: Extra inputs are not permitted" in wrong.stderr
    nonsense = place.labkit("driver", "test", "big-fan", "--option", "port")
    assert nonsense.returncode == 2
    assert "'port' is no option" in nonsense.stderr


def test_real_hardware_is_asked_for_by_the_name_of_its_device(place: Place, fan: str) -> None:
    place.write("devices/bench-1.toml", '[fan]\ndriver = "big-fan"\nhost = "127.0.0.1"\nport = 1\n')
    try:
        unknown = place.labkit("driver", "test", "big-fan", "--real", "bench-1/pump")
        assert unknown.returncode == 2
        assert "There are: bench-1/fan." in unknown.stderr
        away = place.labkit("driver", "test", "big-fan", "--real", "bench-1/fan", "--json")
        assert away.returncode == 1
        results = {result["rule"]: result for result in json.loads(away.stdout)}
        assert "127.0.0.1:1 can't be reached" in results["opens-again-and-again"]["reason"]
        assert results["ends-a-command-that-is-interrupted"]["reason"] == (
            "Its commands are not called on real hardware unless that is asked for."
        )
    finally:
        (place.folder / "devices" / "bench-1.toml").unlink()


def test_rules_are_printed_with_what_they_check(place: Place) -> None:
    printed = place.labkit("driver", "test", "--rules")
    assert printed.returncode == 0
    for rule in RULES:
        assert rule.name.replace("-", " ") in printed.stdout
        assert rule.says in printed.stdout


def test_every_plugin_is_listed_and_a_broken_one_with_the_way_out(place: Place, fan: str) -> None:
    place.write("drivers/half.py", HALF_A_DRIVER)
    try:
        listed = place.labkit("plugins")
        assert listed.returncode == 0
        assert "serial  labkit " in listed.stdout
        assert "big_fan  drivers/big_fan.py\n  drivers: big-fan\n  panels: big-fan\n" in listed.stdout
        assert (
            "half  drivers/half.py\n  left out: ModuleNotFoundError: No module named 'labkit_library_that_nobody_has' "
            "(half.py, line 2).\n  Repair the file, or let its name begin with '_'; the lab runs on without it.\n"
        ) in listed.stdout
        plugins = {plugin["name"]: plugin for plugin in json.loads(place.labkit("plugins", "--json").stdout)}
        assert plugins["big_fan"] == {
            "name": "big_fan", "origin": "drivers/big_fan.py", "drivers": ["big-fan"], "panels": ["big-fan"],
            "hooks": ["labkit_drivers", "labkit_panels"], "error": None, "remedy": None,
        }  # fmt: skip
        assert "labkit_library_that_nobody_has" in plugins["half"]["error"]
        tried = place.labkit("driver", "test", "half")
        assert tried.returncode == 1
        assert "The plugin 'half' (drivers/half.py) was left out: ModuleNotFoundError" in tried.stderr
    finally:
        (place.folder / "drivers" / "half.py").unlink()


def test_broken_plugin_leaves_the_lab_running_and_is_said(place: Place, fan: str) -> None:
    place.write("drivers/half.py", HALF_A_DRIVER)
    place.write("devices/bench-1.toml", '[fan]\ndriver = "big-fan"\nsimulate = true\n')
    try:
        with place.running("run", "--port", "0") as run:
            run.says("Try it")
            assert "drivers/half.py is broken and was left out: ModuleNotFoundError" in run.err
            (device,) = json.loads(place.labkit("devices", "--json").stdout)
            assert (device["name"], device["kind"], device["condition"]) == ("bench-1/fan", "big-fan", "ok")
        checked = place.labkit("check")
        assert "plugin 'half' is broken and was left out" in checked.stdout
    finally:
        (place.folder / "drivers" / "half.py").unlink()
        (place.folder / "devices" / "bench-1.toml").unlink()
