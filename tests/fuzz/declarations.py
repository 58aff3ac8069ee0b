"""Files of `devices/` as nobody would write them: any text, and good declarations that were mutated. For the fuzz.

A check of such files raises nothing but its own error, which has all that is wrong, each with its file and line.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hypothesis import strategies as st

from labkit.commands.check import as_object
from labkit.commands.drawing import drawn
from labkit.devices.catalog import read_catalog
from labkit.devices.declaration import check_declarations
from labkit.devices.plugins import Plugins
from labkit.errors import DeclarationError
from labkit_plugins import camera, gpio, serial

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = [*serial.labkit_drivers(), *gpio.labkit_drivers(), *camera.labkit_drivers()]
PLUGINS = Plugins(drivers={driver.kind: driver for driver in DRIVERS})

RICH = """\
# a bench with something of everything
[bench]
title = "Bench 1"
features = ["uno", "camera"]
machine = "pi-3"

[console]
driver = "serial"
title = 'the board'
match = { usb_serial = "75435353038351015271", usb_id = "2341:0043" }
baudrate = 115_200
safe = { send = "\\u0015halt\\r", expect = "off" }

[leds]
driver = "gpio"
chip = "pinctrl-rp1"
safe = { red = 0, green = 0 }
[leds.lines]
red = 17
green = 27
button = { line = 22, direction = "in", pull = "up" }

[camera]
driver = "camera"
device = "/dev/video0"
simulate = true
"""
EXAMPLES = [path for path in (ROOT / "docs" / "examples").rglob("devices/*.toml") if "first-driver" not in path.parts]
GOOD = [RICH, *sorted({path.read_text("utf-8") for path in EXAMPLES})]

VALUES = [
    '""', "''", "0", "-1", "1e400", "inf", "-nan", "true", "[]", "{}", "[[]]", "{ a = 1, a = 2 }", "1979-05-27", "nan",
    "07:32:00", "1979-05-27T00:32:00+99:99", "9" * 400, "9" * 5000, "0x" + "f" * 50, '"' + "x" * 5000 + '"',
    '"\\ud800"', '"\\q"', '"\\u0000"', '"""a\nb"""', "'''", '{ env = "NOTHING" }', '{ file = "/nothing" }',
    "[" * 90 + "]" * 90, "[" * 3000 + "]" * 3000, "{ a = " * 60 + "1" + " }" * 60, "é", '"\u202e"', '"\U0001f984"',
    "[" * 45 + "]" * 45, "[" * 400 + "]" * 400, "1_", "0o8", "+", '["a", 1, {}]', "[1,,2]",
]  # fmt: skip
"""What may stand behind a `=`, and what may not."""
PIECES = [
    "[", "]", "[[", "]]", "{", "}", "=", ".", ",", '"', '"""', "'", "#", "\n", "\r", "\r\n", "\t", "\x00", "\x7f",
    "\ufeff", "\u2028", "é", "\U0001f984", "[bench]\n", "[[console]]\n", "[console.match]\n", "[a.b.c]\n",
    "[bench.x]\n", "a.b = 1\n", "driver = 1\n", 'driver = "serial"\n', "[__proto__]\n", "[console]\n", '"" = 1\n',
    "\\", " = ", f"{'a.' * 60}a = 1\n", f"[{'a.' * 700}a]\n", "safe = {}\n", "title",
]  # fmt: skip

texts = st.text(max_size=80) | st.lists(st.sampled_from([*PIECES, *VALUES, "a", " "]), max_size=20).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good declaration to which a few things have happened."""
    text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from([_cut, _put, _value, _key, _line]))(draw, text)
    return text


def _cut(draw: st.DrawFn, text: str) -> str:
    begin = draw(st.integers(0, len(text)))
    return text[:begin] + text[begin + draw(st.integers(1, 40)) :]


def _put(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(PIECES) | st.text(max_size=5)) + text[at:]


def _value(draw: st.DrawFn, text: str) -> str:
    places = list(re.finditer(r"=[ ]*[^\n]*", text))
    if not places:
        return text
    place = draw(st.sampled_from(places))
    return f"{text[: place.start()]}= {draw(st.sampled_from(VALUES))}{text[place.end() :]}"


def _key(draw: st.DrawFn, text: str) -> str:
    places = list(re.finditer(r"[\w-]+(?= *=|\])", text))
    if not places:
        return text
    place = draw(st.sampled_from(places))
    word = draw(st.sampled_from([*(one.group() for one in places), "x", "open", "9", "a b", "console"]))
    return text[: place.start()] + word + text[place.end() :]


def _line(draw: st.DrawFn, text: str) -> str:
    """Give a line to another place, too."""
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
    return "".join(lines)


def look(folder: Path, content: bytes) -> str:
    """Read a bench with this content. Returns 'taken' or 'refused'; fails where anything else comes of it."""
    devices = folder / "devices"
    devices.mkdir(exist_ok=True)
    (devices / "bench-1.toml").write_bytes(content)
    checked = check_declarations(devices, PLUGINS, machine="pi-3")
    lines = len(re.split(b"\r\n|\n|\r", content)) + 1
    for finding in checked.findings:
        assert finding.file == "devices/bench-1.toml"
        assert 1 <= finding.line <= lines, (finding.line, lines, str(finding))
        assert re.match(rf"devices/bench-1.toml:{finding.line}:(\d+:)? ", str(finding)), str(finding)
        assert len(finding.message) < 2000, finding.message
        assert drawn(finding)
        assert as_object(finding)["line"] == finding.line
    problems: list[str] = []
    try:
        read_catalog(devices, PLUGINS, machine="pi-3")
    except DeclarationError as error:
        problems = error.problems
    assert problems == [str(problem) for problem in checked.problems]
    if problems:
        return "refused"
    tomllib.loads(content.decode("utf-8-sig"))
    return "taken"
