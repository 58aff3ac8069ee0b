"""Declarations: what is read, and what is simulated. What is refused: test_refused_declarations."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.devices.declaration import BenchDeclaration, read_declarations
from labkit.devices.plugins import Plugins
from labkit.plugin import UsbMatch
from tests.devices.declared import (
    PLUGINS,
    Found,
    FoundTwin,
    Line,
    Pins,
    PinsOptions,
    Port,
    PortOptions,
    PortTwin,
    Write,
    problems_of,
)
from tests.devices.declared import write as write


def only(benches: list[BenchDeclaration]) -> BenchDeclaration:
    assert len(benches) == 1
    return benches[0]


# -- what is read --------------------------------------------------------------------------------------------------


def test_a_file_is_a_bench_and_its_tables_are_its_devices(write: Write) -> None:
    folder = write(
        bench_1="""\
[bench]
title = "Arduino bench 1"
features = ["uno", "camera", "uno"]
machine = "pi-3"

[console]
driver = "port"
match = { usb_serial = "7543" }
baudrate = 9600
[leds]
driver = "pins"
title = "The LEDs"
lines.red = 17
lines.button = { line = 22, direction = "in" }
"""
    )
    bench = only(read_declarations(folder, PLUGINS))
    assert (bench.name, bench.title, bench.machine) == ("bench-1", "Arduino bench 1", "pi-3")
    assert bench.features == ("camera", "uno")
    assert bench.file == folder / "bench-1.toml"
    console, leds = bench.devices
    assert (console.full_name, console.bench, console.name, console.kind) == (
        "bench-1/console",
        "bench-1",
        "console",
        "port",
    )
    assert (console.driver, console.line, leds.driver, leds.line) == (Port, 6, Pins, 10)
    assert console.options == PortOptions(match=UsbMatch(usb_serial="7543"), baudrate=9600)
    assert leds.options == PinsOptions(title="The LEDs", lines={"red": 17, "button": Line(line=22, direction="in")})


def test_the_bench_table_may_be_left_out(write: Write) -> None:
    bench = only(read_declarations(write(bench_1='[console]\ndriver = "port"\n'), PLUGINS))
    assert (bench.title, bench.features, bench.machine) == ("bench-1", (), None)


def test_a_folder_that_does_not_exist_holds_no_benches(tmp_path: Path) -> None:
    assert read_declarations(tmp_path / "devices", PLUGINS) == []


def test_digit_of_another_script_is_no_number_and_its_file_is_refused_by_its_name(write: Write) -> None:
    three = "\N{ARABIC-INDIC DIGIT THREE}"
    (problem,) = problems_of(write(**{three: "", "a": "", "bench_2": "", "7": ""}))
    assert problem.startswith(f"devices/{three}.toml:1:1: '{three}' can't be a bench's name")


def test_benches_come_in_natural_order(write: Write) -> None:
    names = ["bench-10", "bench-2", "bench-1", "arm", "bench-2b", "2nd"]
    folder = write(**dict.fromkeys(names, '[console]\ndriver = "port"\n'))
    found = [bench.name for bench in read_declarations(folder, PLUGINS)]
    assert found == ["2nd", "arm", "bench-1", "bench-2", "bench-2b", "bench-10"]


def test_what_editors_leave_behind_is_nobodys_bench(write: Write) -> None:
    folder = write(bench_1='[console]\ndriver = "port"\n')
    (folder / ".#bench-1.toml").symlink_to("nowhere")
    (folder / "bench-1.toml~").write_text("half a li")
    assert only(read_declarations(folder, PLUGINS)).name == "bench-1"


def test_a_file_of_a_windows_editor_is_read(write: Write) -> None:
    folder = write()
    (folder / "bench-1.toml").write_bytes(b'\xef\xbb\xbf[console]\r\ndriver = "port"\r\nboudrate = 1\r\n')
    assert problems_of(folder) == ["devices/bench-1.toml:3: [console] boudrate: unknown key. Did you mean baudrate?"]


@pytest.mark.parametrize("end", [b"\r", b"\r\r\n"])
def test_an_end_of_a_line_that_toml_does_not_know_is_a_mistake(write: Write, end: bytes) -> None:
    folder = write()
    (folder / "bench-1.toml").write_bytes(b"[console]" + end + b'driver = "port"' + end)
    (problem,) = problems_of(folder)
    assert problem.startswith("devices/bench-1.toml:1:")


# -- simulation ----------------------------------------------------------------------------------------------------


def test_simulate_in_a_device_takes_its_drivers_twin(write: Write) -> None:
    text = '[a]\ndriver = "port"\nsimulate = true\n[b]\ndriver = "port"\n'
    a, b = only(read_declarations(write(bench_1=text), PLUGINS)).devices
    assert (a.driver, a.kind, b.driver) == (PortTwin, "port", Port)


def test_simulate_of_the_whole_lab_takes_every_twin_and_options_say_so(write: Write) -> None:
    folder = write(bench_1='[a]\ndriver = "port"\nbaudrate = 300\n')
    (device,) = only(read_declarations(folder, PLUGINS, simulate=True)).devices
    assert (device.driver, device.options) == (PortTwin, PortOptions(baudrate=300, simulate=True))


def test_a_simulated_lab_needs_only_the_options_that_simulation_needs(write: Write) -> None:
    folder = write(bench_1='[a]\ndriver = "found"\n')
    plugins = Plugins(drivers={"found": Found})
    assert problems_of(folder, plugins) == ["devices/bench-1.toml:1: [a] say where it is, or simulate = true."]
    assert only(read_declarations(folder, plugins, simulate=True)).devices[0].driver is FoundTwin


def test_a_whole_lab_is_not_simulated_where_a_twin_is_missing(write: Write) -> None:
    folder = write(bench_1='[a]\ndriver = "port"\n\n[leds]\ndriver = "pins"\nlines = { red = 1 }\n')
    assert problems_of(folder, simulate=True) == [
        "devices/bench-1.toml:4: [leds] simulate: the driver 'pins' has no simulated twin. "
        "The whole lab was asked to be simulated."
    ]


def test_importing_the_reader_does_not_load_the_toml_parser() -> None:
    code = "import labkit.devices.declaration, labkit.devices.catalog, sys; sys.exit('tree_sitter' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60
    )
    assert done.returncode == 0
