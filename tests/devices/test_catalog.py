"""The catalog: from a lab's folders to what its host publishes."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from labkit.devices.catalog import Catalog, catalog_of, read_catalog
from labkit.devices.declaration import read_declarations
from labkit.devices.plugins import Plugins, load_plugins
from labkit.errors import DeclarationError
from labkit.plugin import Driver, DriverOptions, Feed, command
from tests.devices.fan import FAN, HOOK


class PortOptions(DriverOptions):
    secret: str = ""


class Level(BaseModel):
    volts: float


class Port(Driver[PortOptions]):
    kind = "port"
    received = Feed(bytes, help="What the board says.")
    level = Feed(Level)

    def open(self) -> None: ...
    def close(self) -> None: ...
    def make_safe(self) -> None: ...
    def interrupt(self) -> None: ...

    @command(panel=True, timeout=2.0)
    def write(self, data: bytes, end: bytes = b"\r\n", mark: bytes = b"\xff") -> int:
        """Send bytes to the board.

        More is said here, which nobody publishes.
        """
        return len(data + end + mark)

    @command
    def reset(self) -> None: ...


def catalog(folder: Path, **files: str) -> Catalog:
    devices = folder / "devices"
    devices.mkdir()
    for name, text in files.items():
        (devices / f"{name.replace('_', '-')}.toml").write_text(text)
    plugins = Plugins(drivers={"port": Port})
    return catalog_of(read_declarations(devices, plugins), plugins)


def test_published_says_what_a_bench_has_and_never_its_options(tmp_path: Path) -> None:
    text = """\
[bench]
title = "Board 1"
features = ["uno", "camera"]
[console]
driver = "port"
title = "The board"
secret = "s3cret"
[spare]
driver = "port"
"""
    published = catalog(tmp_path, bench_1=text).published("bench-1")
    console = published["devices"]["console"]
    assert (published["title"], published["features"]) == ("Board 1", ["camera", "uno"])
    assert list(published["devices"]) == ["console", "spare"]
    assert (console["kind"], console["title"]) == ("port", "The board")
    assert published["devices"]["spare"]["title"] == "spare"
    assert console["feeds"] == {
        "received": {"type": "bytes", "help": "What the board says."},
        "level": {"type": "state", "help": ""},
    }
    assert {**console["commands"]["write"], "schema": None} == {
        "panel": True,
        "timeout": 2.0,
        "help": "Send bytes to the board.",
        "schema": None,
    }
    assert console["commands"]["reset"]["panel"] is False
    assert "s3cret" not in json.dumps(published)


def test_published_is_plain_json(tmp_path: Path) -> None:
    published = catalog(tmp_path, bench_1='[console]\ndriver = "port"\n').published("bench-1")
    assert json.loads(json.dumps(published)) == published


def test_a_command_that_takes_bytes_has_a_schema_with_the_defaults_that_json_can_say(tmp_path: Path) -> None:
    published = catalog(tmp_path, bench_1='[console]\ndriver = "port"\n').published("bench-1")
    schema = published["devices"]["console"]["commands"]["write"]["schema"]
    assert schema["required"] == ["data"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["data"] == {"type": "string", "format": "binary", "title": "Data"}
    assert schema["properties"]["end"]["default"] == "\r\n"
    assert "default" not in schema["properties"]["mark"]


def test_an_unknown_bench_is_named_with_the_known_ones(tmp_path: Path) -> None:
    benches = catalog(tmp_path, bench_10="", bench_2="")
    with pytest.raises(KeyError, match=r"There is no bench 'bench-3'. Known: bench-2, bench-10."):
        benches.published("bench-3")


def test_a_machine_hosts_its_own_benches_and_those_of_no_machine(tmp_path: Path) -> None:
    benches = catalog(tmp_path, any="", here='[bench]\nmachine = "pi-3"\n', there='[bench]\nmachine = "pi-4"\n')
    assert [bench.name for bench in benches.for_machine("pi-3")] == ["any", "here"]
    assert [bench.name for bench in benches.for_machine("pi-5")] == ["any"]


TWIN = """
class Twin(Fan):
    @command
    def stick(self) -> None: ...

Fan.simulated = Twin
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "devices").mkdir()
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "fan.py").write_text(FAN + TWIN + HOOK)
    (tmp_path / "devices" / "bench-1.toml").write_text('[fan]\ndriver = "fan"\npin = 4\n')
    return tmp_path


def test_a_lab_with_a_driver_of_its_own_is_loaded_from_its_two_folders(lab: Path) -> None:
    loaded = read_catalog(lab / "devices", load_plugins(lab / "drivers"))
    (fan,) = loaded.benches["bench-1"].devices
    assert fan.driver is loaded.plugins.drivers["fan"]
    assert list(loaded.published("bench-1")["devices"]["fan"]["commands"]) == ["turn"]


def test_a_simulated_lab_publishes_its_twins_under_the_drivers_kind(lab: Path) -> None:
    loaded = read_catalog(lab / "devices", load_plugins(lab / "drivers"), simulate=True)
    fan = loaded.published("bench-1")["devices"]["fan"]
    assert (fan["kind"], list(fan["commands"])) == ("fan", ["turn", "stick"])


def test_a_lab_without_folders_has_no_benches(tmp_path: Path) -> None:
    assert dict(read_catalog(tmp_path / "devices", load_plugins(tmp_path / "drivers")).benches) == {}


def test_a_lab_whose_driver_is_broken_does_not_start_and_says_why(lab: Path) -> None:
    (lab / "drivers" / "fan.py").write_text("import no_such_library\n" + FAN + TWIN + HOOK)
    with pytest.raises(DeclarationError) as refused:
        read_catalog(lab / "devices", load_plugins(lab / "drivers"))
    (problem,) = refused.value.problems
    assert problem.startswith("devices/bench-1.toml:2: [fan] driver: there is no driver 'fan'. Known drivers: ")
    assert problem.endswith(
        "Plugin 'fan' (drivers/fan.py) may bring it but is broken: "
        "ModuleNotFoundError: No module named 'no_such_library' (fan.py, line 1)."
    )
