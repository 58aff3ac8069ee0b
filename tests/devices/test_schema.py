"""The JSON Schema of a bench's file: its verdicts are the reader's, as far as a schema can say it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field

from labkit.devices.declaration import check_declarations
from labkit.devices.plugins import Plugins
from labkit.devices.schema import DIALECT, bench_schema
from labkit.plugin import Driver, DriverOptions, Secret
from labkit_plugins import gpio, serial
from tests.devices.test_mistakes import CASES, PLUGINS, SAID, Door


class Node(BaseModel):
    """A place in a tree."""

    name: str
    below: list[Node] = Field(default_factory=list)


class TreeOptions(DriverOptions):
    root: Node | None = None
    title: str = Field(default="oak", description="Its own title.")
    speed: Literal["slow", "fast"] = "slow"
    limits: tuple[int, int] = (0, 9)
    key: Secret | None = None
    start: bytes = b"\xff"


class Tree(Driver[TreeOptions]):
    """Something with options of every kind."""

    kind = "tree"


class Opaque:
    pass


class OpaqueOptions(DriverOptions):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    what: Opaque | None = None


class Strange(Driver[OpaqueOptions]):
    kind = "strange"


ALL = Plugins(drivers={**PLUGINS.drivers, "tree": Tree, "strange": Strange})
SCHEMA = bench_schema(ALL)


def complaints(text: str) -> list[str]:
    """What the schema says of a file."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]


def problems(folder: Path, text: str) -> list[str]:
    """What the reader says of it."""
    (folder / "bench-1.toml").write_text(text)
    return [str(problem) for problem in check_declarations(folder, ALL).problems]


def test_it_is_a_schema_of_its_dialect() -> None:
    assert SCHEMA["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


GOOD = [
    "",
    '[bench]\ntitle = "x"\nfeatures = ["uno", "camera"]\nmachine = "pi-3"\n',
    '[a]\ndriver = "serial"\nsimulate = true\n',
    '[a]\ndriver = "serial"\nport = "/dev/ttyS0"\ndtr = "keep"\nrts = false\nstopbits = 2\nwrite_timeout = 1\n',
    '[a]\ndriver = "serial"\nmatch.usb_id = "2341:0043"\nsafe = { send = "halt", expect = "ok", timeout = 1.5 }\n',
    '[a]\ndriver = "gpio"\nchip = "x"\nlines = { red = 17 }\nsafe.red = 1\n',
    '[a]\ndriver = "gpio"\nchip = "x"\n[a.lines]\nb = { line = 1, direction = "in", pull = "up", debounce = 5 }\n',
    '[a]\ndriver = "door"\npassword = "x"\nlogin = { user = "u", password = { env = "HOME" } }\n',
    '[a]\ndriver = "tree"\nroot = { name = "x", below = [{ name = "y", below = [] }] }\nlimits = [1, 2]\n',
    '[a]\ndriver = "strange"\n',
]
BAD = [
    'title = "x"\n',
    "[a]\n",
    '[a]\ndriver = "nothing"\n',
    "[a]\ndriver = 3\n",
    '[bench]\nfeatures = [""]\n',
    '[bench]\nfeatures = "uno"\n',
    '[a]\ndriver = "serial"\n',
    '[a]\ndriver = "serial"\nport = "COM3"\n',
    '[a]\ndriver = "serial"\nsimulate = true\nstopbits = 3\n',
    '[a]\ndriver = "serial"\nsimulate = true\ndtr = "off"\n',
    '[a]\ndriver = "serial"\nsimulate = true\nreset = { ms = 0 }\n',
    '[a]\ndriver = "gpio"\nchip = "x"\n',
    '[a]\ndriver = "gpio"\nchip = "x"\nlines = { red = { direction = "out" } }\n',
    '[a]\ndriver = "gpio"\nchip = "x"\nlines = { red = 17 }\nsafe = { red = 2 }\n',
    '[a]\ndriver = "door"\npassword = 3\n',
    '[a]\ndriver = "door"\npassword = { env = "A", file = "b" }\n',
    '[a]\ndriver = "door"\npassword = {}\n',
    '[a]\ndriver = "tree"\nroot = {}\n',
    '[a]\ndriver = "tree"\nlimits = [1]\n',
    '[a]\ndriver = "tree"\nspeed = "fats"\n',
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_reader_takes_is_good(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text) == []
    assert complaints(text) == []


@pytest.mark.parametrize("text", BAD)
def test_what_the_reader_refuses_is_bad(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text) != []
    assert complaints(text) != []


ONLY_THE_READER = {
    "a usb serial twice",
    "a usb device that another match may mean, too",
    "a gpio line twice across benches",
    "a port twice on one bench",
    "a line twice within a device",
    "unknown key in safe",
    "safe for an input",
    "missing secret variable",
    "missing secret file",
    "no twin",
    "a file whose name breaks the rule",
    "files that differ in case",
}
"""What is no matter of one file's keys and types."""
ALLOWED = {"/dev/ttyUSB0", "a secret that stands in the file"}


NO_TABLES = [name for name, parts in CASES.items() if re.search("not valid TOML|twice in this|not UTF-8", parts[SAID])]
"""Where an editor says that it is no TOML, before it asks a schema."""


@pytest.mark.parametrize("name", [name for name in CASES if name not in NO_TABLES])
def test_a_mistake_is_one_for_the_schema_too_where_it_can_tell(name: str) -> None:
    found = [text for head, body in CASES[name].items() if head != SAID for text in complaints(body)]
    assert bool(found) == (name not in ONLY_THE_READER | ALLOWED), found


def test_a_mistake_is_said_at_its_key() -> None:
    (complaint,) = complaints('[console]\ndriver = "serial"\nsimulate = true\nboudrate = 1\n')
    assert complaint.startswith("$.console: ")
    assert "'boudrate' was unexpected" in complaint


def test_editors_get_help_defaults_and_choices() -> None:
    keys = SCHEMA["$defs"]["serial"]["properties"]
    assert keys["driver"] == {"const": "serial", "description": (serial.SerialPort.__doc__ or "").split("\n")[0]}
    assert keys["baudrate"]["default"] == 115200
    assert keys["parity"]["enum"] == ["none", "even", "odd", "mark", "space"]
    assert SCHEMA["$defs"]["tree"]["properties"]["title"]["description"] == "Its own title."
    assert keys["match"]["properties"]["usb_id"]["description"] == 'Vendor and product id in hex, "2341:0043".'
    for driver in (*serial.labkit_drivers(), *gpio.labkit_drivers(), Door):
        keys = SCHEMA["$defs"][driver.kind]["properties"]
        assert set(keys) == {"driver", *driver.Options.model_fields}


def test_no_table_takes_unknown_keys() -> None:
    def open_tables(schema: Any, path: str = "") -> list[str]:
        if not isinstance(schema, dict):
            return [found for part in schema for found in open_tables(part, path)] if isinstance(schema, list) else []
        mine = [path] if "properties" in schema and schema.get("additionalProperties", True) is True else []
        return mine + [found for key, part in schema.items() for found in open_tables(part, f"{path}/{key}")]

    assert [path for kind in ("serial", "gpio") for path in open_tables(SCHEMA["$defs"][kind], kind)
            if "/anyOf" not in path] == []  # fmt: skip


def test_there_is_no_null_and_no_reference_below_a_driver() -> None:
    text = str({kind: SCHEMA["$defs"][kind] for kind in ALL.drivers})
    assert "'null'" not in text
    assert "$ref" not in text
