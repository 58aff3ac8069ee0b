"""Declarations that are refused: the exact sentence for each mistake."""

from pathlib import Path

import pytest

from labkit.devices.declaration import check_declarations
from labkit.devices.plugins import BrokenPlugin, Plugins
from labkit.devices.problems import Problem
from tests.devices.declared import PLUGINS, Port, Write, problems_of
from tests.devices.declared import write as write

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
    "a key of many letters before all tables": (
        "k" * 3000 + " = 1\n" + PORT,
        [
            f":1:1: {'k' * 57}...: stands outside of any table. Put it under its device's table, which begins with "
            "its name in brackets: [console]."
        ],
    ),
    "many keys before all tables": (
        "".join(f"k{number} = 1\n" for number in range(3000)),
        [
            ":1:1: k0, k1, k2, k3, k4, k5, k6, k7, k8 and 2991 more: stand outside of any table. Put them under their "
            "device's table, which begins with its name in brackets: [console]."
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
