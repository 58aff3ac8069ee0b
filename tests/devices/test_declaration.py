"""Declarations: what is read, and the exact sentence for each mistake."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from labkit.devices.declaration import BenchDeclaration, check_declarations, read_declarations
from labkit.devices.plugins import BrokenPlugin, Plugins
from labkit.devices.problems import Problem
from labkit.errors import DeclarationError
from labkit.plugin import Driver, DriverOptions, UsbMatch


class Quiet:
    """The four methods that a driver must have."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def make_safe(self) -> None: ...
    def interrupt(self) -> None: ...


class PortOptions(DriverOptions):
    port: str | None = None
    match: UsbMatch | None = None
    baudrate: int = Field(default=115200, ge=50)
    parity: Literal["none", "even", "odd"] = "none"
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> "PortOptions":
        if self.port and self.match:
            raise ValueError("port and match are given, but only one of them can count")
        return self


class Port(Quiet, Driver[PortOptions]):
    kind = "port"


class PortTwin(Port):
    pass


Port.simulated = PortTwin


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    line: int
    direction: Literal["in", "out"] = "out"


class Serve(BaseModel):
    type: Literal["serve"]
    port: int


class Dial(BaseModel):
    type: Literal["dial"]
    number: tuple[int, int]


class PinsOptions(DriverOptions):
    lines: dict[str, int | Line]
    link: Serve | Dial | None = Field(default=None, discriminator="type")


class Pins(Quiet, Driver[PinsOptions]):
    kind = "pins"


class FoundOptions(DriverOptions):
    port: str | None = None

    @model_validator(mode="after")
    def _findable(self) -> "FoundOptions":
        if not self.port and not self.simulate:
            raise ValueError("say where it is, or simulate = true")
        return self


class FoundTwin(Quiet, Driver[FoundOptions]):
    kind = "found"


class Found(Quiet, Driver[FoundOptions]):
    kind = "found"
    simulated = FoundTwin


class FaultyOptions(DriverOptions):
    @model_validator(mode="before")
    @classmethod
    def _stumble(cls, data: dict[str, Any]) -> None:
        raise KeyError("nothing")


class Faulty(Quiet, Driver[FaultyOptions]):
    kind = "faulty"


PLUGINS = Plugins(drivers={"port": Port, "pins": Pins, "faulty": Faulty})
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of a `devices` folder: `write(bench_1="...")` makes devices/bench-1.toml."""

    def write_files(**files: str) -> Path:
        folder = tmp_path / "devices"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name.replace('_', '-')}.toml").write_text(text)
        return folder

    return write_files


def only(benches: list[BenchDeclaration]) -> BenchDeclaration:
    assert len(benches) == 1
    return benches[0]


def problems_of(folder: Path, plugins: Plugins = PLUGINS, **how: bool) -> list[str]:
    with pytest.raises(DeclarationError) as refused:
        read_declarations(folder, plugins, **how)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


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


# -- mistakes ------------------------------------------------------------------------------------------------------

PORT = '[console]\ndriver = "port"\n'
PINS = '[leds]\ndriver = "pins"\n'

MISTAKES: dict[str, tuple[str, list[str]]] = {
    "a mistyped key": (
        '# bench\n[bench]\ntitle = "x"\n\n[console]\ndriver = "port"\nport = "/dev/x"\n\nboudrate = 9600\n',
        [":9: [console] boudrate: unknown key. Did you mean baudrate?"],
    ),
    "a key that is like none": (
        PORT + "xyzzy = 1\n",
        [":3: [console] xyzzy: unknown key. Known here: baudrate, match, parity, port, safe, simulate, title, words."],
    ),
    "a mistyped key of an inline table": (
        PORT + 'match = { usb_id = "2341:0043",\tusb_seriel = "7" }\n',
        [":3: [console] match.usb_seriel: unknown key. Did you mean usb_serial?"],
    ),
    "a mistyped key of a sub-table": (
        PORT + '[other]\ndriver = "port"\n[console.match]\nusb_seriel = "7"\n',
        [":6: [console] match.usb_seriel: unknown key. Did you mean usb_serial?"],
    ),
    "a mistyped dotted key": (
        PORT + 'match.usb_id = "2341:0043"\nmatch.usb_seriel = "7"\n',
        [":4: [console] match.usb_seriel: unknown key. Did you mean usb_serial?"],
    ),
    "a mistyped key of [bench]": (
        '[bench]\ntitel = "x"\n' + PORT,
        [":2: [bench] titel: unknown key. Did you mean title?"],
    ),
    "text for a number": (
        PORT + 'baudrate = "fast"\n',
        [':3: [console] baudrate: must be a whole number, not "fast".'],
    ),
    "a fraction for a whole number": (
        PORT + "baudrate = 9600.5\n",
        [":3: [console] baudrate: must be a whole number, not 9600.5."],
    ),
    "a number that is too small": (PORT + "baudrate = 10\n", [":3: [console] baudrate: must be at least 50, not 10."]),
    "a number for text": (PORT + "title = 3\n", [":3: [console] title: must be text in quotes, not 3."]),
    "text for yes or no": (
        PORT + 'simulate = "maybe"\n',
        [':3: [console] simulate: must be true or false, not "maybe".'],
    ),
    "a word that is not among the choices": (
        PORT + 'parity = "evn"\n',
        [":3: [console] parity: must be 'none', 'even' or 'odd', not \"evn\". Did you mean even?"],
    ),
    "a value for a table": (
        PORT + 'match = "/dev/ttyUSB0"\n',
        [':3: [console] match: must be a table, not "/dev/ttyUSB0".'],
    ),
    "a value for a list": (
        '[bench]\nfeatures = "uno"\n' + PORT,
        [':2: [bench] features: must be a list in brackets, not "uno".'],
    ),
    "a wrong item of a list": (
        PORT + 'words = [\n  "a",\n  2,\n]\n',
        [":5: [console] words[1]: must be text in quotes, not 2."],
    ),
    "an empty feature": (
        '[bench]\nfeatures = [""]\n',
        [':2: [bench] features[0]: must have 1 or more characters, not "".'],
    ),
    "what a driver's own check refuses": (
        PORT + 'match = { usb_id = "zz" }\n',
        [':3: [console] match.usb_id: must be vendor:product in hex, for example "2341:0043" (it is "zz").'],
    ),
    "two keys that exclude each other": (
        PORT + 'port = "/dev/x"\nmatch = { usb_serial = "7" }\n',
        [":1: [console] port and match are given, but only one of them can count."],
    ),
    "a missing key": ("\n" + PINS, [":2: [leds] lines: missing key; it has to be given."]),
    "a missing key that is there, mistyped": (
        PINS + "line = { red = 1 }\n",
        [":3: [leds] line: unknown key. Did you mean lines?"],
    ),
    "a missing key of an inline table": (
        PINS + 'lines = { red = 1,\n  button = { direction = "in" } }\n'.replace("\n  ", " "),
        [":3: [leds] lines.button.line: missing key; it has to be given."],
    ),
    "a value that fits no branch": (
        PINS + 'lines = { red = "a" }\n',
        [':3: [leds] lines.red: must be a whole number or a table, not "a".'],
    ),
    "a mistyped key in one branch": (
        PINS + "[leds.lines]\nred = 1\nbutton = { line = 2, directon = 'in' }\n",
        [":5: [leds] lines.button.directon: unknown key. Did you mean direction?"],
    ),
    "a table of an unknown type": (
        PINS + "lines = {}\nlink = { type = 'seve' }\n",
        [":4: [leds] link: needs one of 'serve', 'dial' as its 'type', not { type = \"seve\" }."],
    ),
    "a table without its type": (
        PINS + "lines = {}\nlink = {}\n",
        [":4: [leds] link: needs the key 'type', not {}."],
    ),
    "a wrong value in a table of one type": (
        PINS + "lines = {}\nlink = { type = 'serve', port = 'x' }\n",
        [':4: [leds] link.port: must be a whole number, not "x".'],
    ),
    "a list that is too short": (
        PINS + "lines = {}\n[leds.link]\ntype = 'dial'\nnumber = [1]\n",
        [":6: [leds] link.number[1]: missing key; it has to be given."],
    ),
    "no driver": (
        "[console]\nbaudrate = 9600\n",
        [":1: [console] driver: missing key; it has to be given. Known drivers: faulty, pins, port."],
    ),
    "driver mistyped": ('[console]\ndrvier = "port"\n', [":2: [console] drvier: unknown key. Did you mean driver?"]),
    "[bench] mistyped": ('[bnech]\ntitle = "x"\n' + PORT, [":1: [bnech] no driver is named here. Did you mean bench?"]),
    "a mistyped kind": (
        '[console]\ndriver = "prot"\n',
        [":2: [console] driver: there is no driver 'prot'. Known drivers: faulty, pins, port. Did you mean port?"],
    ),
    "a driver that is not text": ("[console]\ndriver = 3\n", [":2: [console] driver: must be text in quotes, not 3."]),
    "no twin": (
        PINS + "simulate = true\nlines = { red = 1 }\n",
        [":3: [leds] simulate: the driver 'pins' has no simulated twin. Take simulate out."],
    ),
    "a key before all tables": (
        'title = "x"\n' + PORT,
        [":1:1: title: stands outside of any table. Put it under [bench]."],
    ),
    "a list of tables": (
        "[[console]]\ndriver = 'port'\n",
        [":1: [console] is a list of tables. Write [console] once, in single brackets."],
    ),
    "a device's name": (
        '["Console 1"]\ndriver = "port"\n',
        [
            ":1: [Console 1] can't be a device's name: a name has small letters, digits, '-' and '_', begins with a "
            "letter or digit, and has at most 40 characters."
        ],
    ),
    "keys before all tables": (
        'driver = "port"\nbaudrate = 300\ntitle = "x"\n',
        [
            ":1:1: driver, baudrate and title: stand outside of any table. Put them under their device's table, which "
            "begins with its name in brackets: [console]."
        ],
    ),
    "the same device twice": (
        PORT + PORT,
        [
            ":3:2: [console] is declared twice in this file, the first time in line 1. "
            "Give one another name, or make them one table."
        ],
    ),
    "a key twice": (
        PORT + 'driver = "port"\n',
        [":3: [console] driver: is written twice in this table, the first time in line 2. Take one of them out."],
    ),
    "a key twice in an inline table": (
        PORT + 'match = { usb_serial = "1", usb_serial = "2" }\n',
        [
            ":3: [console] match.usb_serial: is written twice in this table, the first time in line 3. "
            "Take one of them out."
        ],
    ),
    "text without quotes": ("[console]\ndriver = port\n", [":2:10: not valid TOML: text has to stand in quotes."]),
    "true in capitals": (
        PORT + "simulate = True\n",
        [":3:12: not valid TOML: write true, in small letters and without quotes."],
    ),
    "no value": (PORT + "baudrate =\n", [":3:11: not valid TOML: there is no value here."]),
    "no TOML": ("[console]\ndriver: port\n", [":2:7: not valid TOML: Expected '=' after a key in a key/value pair."]),
    "a device that is called bench": (
        '[bench]\ndriver = "port"\nbaudrate = 300\n',
        [":2: [bench] driver: [bench] describes the bench and is no device. Give the device's table another name."],
    ),
    "an open text": (
        '[console]\ndriver = """port\n\n',
        [":2:1: not valid TOML: Unterminated string at the end of the file."],
    ),
    "a driver's own fault": (
        '[x]\ndriver = "faulty"\n',
        [
            ":1: [x] the driver 'faulty' could not check its options: KeyError: 'nothing'. "
            "This is a fault of the driver."
        ],
    ),
    "several at once, in the order of lines": (
        "[console]\nbuadrate = 1\ndriver = 'port'\nparity = 'x'\n[leds]\ndriver = 'pins'\n[bench]\nfeatures = 1\n",
        [
            ":2: [console] buadrate: unknown key. Did you mean baudrate?",
            ":4: [console] parity: must be 'none', 'even' or 'odd', not \"x\".",
            ":5: [leds] lines: missing key; it has to be given.",
            ":8: [bench] features: must be a list in brackets, not 1.",
        ],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_its_line_and_its_sentence(write: Write, mistake: str) -> None:
    text, expected = MISTAKES[mistake]
    assert problems_of(write(bench_1=text)) == [f"devices/bench-1.toml{line}" for line in expected]


def test_all_files_are_checked_though_one_is_not_toml(write: Write) -> None:
    folder = write(bench_10="[console]\nboudrate = 1\ndriver = 'port'\n", bench_2="[console\n", bench_3=PORT)
    assert problems_of(folder) == [
        "devices/bench-2.toml:1:9: not valid TOML: Expected ']' at the end of a table declaration.",
        "devices/bench-10.toml:2: [console] boudrate: unknown key. Did you mean baudrate?",
    ]
    checked = check_declarations(folder, PLUGINS)
    assert [bench.name for bench in checked.benches] == ["bench-3"]
    assert (checked.files, checked.devices, checked.warnings) == (3, 1, [])
    assert checked.problems[1] == Problem(
        file="devices/bench-10.toml",
        line=2,
        column=1,
        where="console",
        message="boudrate: unknown key.",
        suggestion="baudrate",
    )


@pytest.mark.parametrize("name", ["Bench 1", "_bench", "b" * 41, "bänk"])
def test_a_file_that_cannot_name_a_bench_is_refused(write: Write, name: str) -> None:
    folder = write()
    (folder / f"{name}.toml").write_text(PORT)
    assert problems_of(folder) == [
        f"devices/{name}.toml:1:1: '{name}' can't be a bench's name: a name has small letters, digits, '-' and '_', "
        "begins with a letter or digit, and has at most 40 characters. Rename the file."
    ]


def test_a_file_that_is_not_utf8_is_refused_with_its_line(write: Write) -> None:
    folder = write()
    (folder / "bench-1.toml").write_bytes(b"[bench]\n# B\xe4nk\n")
    assert problems_of(folder) == ["devices/bench-1.toml:2:4: not UTF-8 text. Save the file as UTF-8."]


def test_a_file_that_cannot_be_read_is_refused(write: Write) -> None:
    (write() / "bench-1.toml").mkdir()
    assert problems_of(write()) == ["devices/bench-1.toml:1:1: can't be read: Is a directory."]


def test_a_folder_given_relatively_is_shown_by_its_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(bench_1="[console]\n"))
    assert problems_of(Path("."))[0].startswith("devices/bench-1.toml:1: [console] driver: missing key")


def test_a_broken_plugin_that_may_bring_the_driver_is_named_with_its_error(write: Write) -> None:
    broken = BrokenPlugin(name="scope", origin="drivers/scope.py", error="ModuleNotFoundError: No module named 'visa'.")
    other = BrokenPlugin(name="other", origin="drivers/other.py", error="SyntaxError: x.")
    plugins = Plugins(drivers={"port": Port}, broken=(broken, other))
    folder = write(bench_1='[a]\ndriver = "scope"\n[b]\ndriver = "prot"\n')
    assert problems_of(folder, plugins) == [
        "devices/bench-1.toml:2: [a] driver: there is no driver 'scope'. Known drivers: port. Plugin 'scope' "
        "(drivers/scope.py) may bring it but is broken: ModuleNotFoundError: No module named 'visa'.",
        "devices/bench-1.toml:4: [b] driver: there is no driver 'prot'. Known drivers: port. Did you mean port?",
    ]


def test_every_broken_plugin_is_named_where_no_known_driver_is_near(write: Write) -> None:
    broken = BrokenPlugin(name="visa", origin="drivers/visa.py", error="SyntaxError: x.")
    assert problems_of(write(bench_1='[a]\ndriver = "scope"\n'), Plugins(broken=(broken,))) == [
        "devices/bench-1.toml:2: [a] driver: there is no driver 'scope'. Known drivers: none. "
        "Plugin 'visa' (drivers/visa.py) may bring it but is broken: SyntaxError: x."
    ]


def test_importing_the_reader_does_not_load_the_toml_parser() -> None:
    code = "import labkit.devices.declaration, labkit.devices.catalog, sys; sys.exit('tree_sitter' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60
    )
    assert done.returncode == 0
