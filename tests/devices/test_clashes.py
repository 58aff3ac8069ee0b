"""What shows only beside other devices and files: hardware that two take, doubts, secrets, names in another case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from labkit.devices.catalog import read_catalog
from labkit.devices.declaration import check_declarations, read_declarations
from labkit.devices.plugins import Plugins, load_plugins
from labkit.errors import DeclarationError
from labkit.plugin import Doubt, Driver, DriverOptions, OptionError, Secret, Takes
from labkit_plugins.camera import Camera
from labkit_plugins.serial import SerialPort
from tests.devices.declared import Quiet


class Channel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    limit: int = 0

    @model_validator(mode="after")
    def _limited(self) -> Channel:
        OptionError.raise_all([OptionError("is too high.", path=("limit",))] if self.limit > 9 else [])
        return self


class BoxOptions(DriverOptions):
    box: str = "a"
    number: int | None = None
    channels: dict[str, int | Channel] = Field(default_factory=dict)
    password: Secret | None = None
    raises: str = ""

    def takes(self) -> Sequence[Takes]:
        if self.raises == "takes":
            raise KeyError(self.raises)
        if self.number is not None:
            return [Takes(what=f"box {self.number}")]
        return [
            Takes(what=f"channel {n} of box {self.box}", path=("channels", name)) for name, n in self.channels.items()
        ]

    def doubts(self) -> Sequence[Doubt]:
        if self.raises == "doubts":
            raise KeyError(self.raises)
        return [Doubt(message="may be any box. Say which.", path=("box",))] if self.box == "any" else ()


class BoxTwin(Quiet, Driver[BoxOptions]):
    kind = "box"


class Box(Quiet, Driver[BoxOptions]):
    kind = "box"
    simulated = BoxTwin


PLUGINS = Plugins(drivers={"box": Box})
USB_PLUGINS = Plugins(drivers={"serial": SerialPort, "camera": Camera})
HINT = "If the two benches are on different machines, name the machine of each in its [bench]."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "devices").mkdir()
    return tmp_path / "devices"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def box(device: str, text: str) -> str:
    return f'[{device}]\ndriver = "box"\n{text}\n'


def said(folder: Path, **how: Any) -> list[str]:
    return [str(finding) for finding in check_declarations(folder, PLUGINS, **how).findings]


# -- hardware that two devices take


def test_second_one_is_told_who_takes_it_already(folder: Path) -> None:
    write(folder, "bench-1", box("one", "channels = { red = 1 }"))
    write(folder, "bench-2", box("two", "channels = { blue = 2, pump = 1 }"))
    sentence = (
        "devices/bench-2.toml:3: [two] channels.pump: channel 1 of box a is taken already by bench-1/one "
        f"(devices/bench-1.toml:3). {HINT}"
    )
    assert said(folder) == [sentence]
    with pytest.raises(DeclarationError) as refused:
        read_declarations(folder, PLUGINS)
    assert refused.value.problems == [sentence]


def test_every_further_one_is_told_of_the_first(folder: Path) -> None:
    write(folder, "bench-1", box("one", "number = 1") + box("two", "number = 1") + box("three", "number = 1"))
    assert said(folder) == [
        "devices/bench-1.toml:4: [two] box 1 is taken already by bench-1/one (devices/bench-1.toml:1).",
        "devices/bench-1.toml:7: [three] box 1 is taken already by bench-1/one (devices/bench-1.toml:1).",
    ]


def test_a_device_may_not_take_something_twice_itself(folder: Path) -> None:
    write(folder, "bench-1", box("one", "channels.red = 1\nchannels.blue = 1"))
    assert said(folder) == [
        "devices/bench-1.toml:4: [one] channels.blue: channel 1 of box a is taken already by channels.red "
        "(devices/bench-1.toml:3)."
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("pi-1", "pi-2", ""),
        ("pi-1", "pi-1", "box 1 is taken already by bench-1/one (devices/bench-1.toml:3)."),
        ("pi-1", None, f"box 1 is taken already by bench-1/one (devices/bench-1.toml:3). {HINT}"),
        (None, "pi-1", f"box 1 is taken already by bench-1/one (devices/bench-1.toml:1). {HINT}"),
    ],
)
def test_two_machines_may_have_the_same(folder: Path, first: str | None, second: str | None, expected: str) -> None:
    for name, machine in (("bench-1", first), ("bench-2", second)):
        write(folder, name, (f'[bench]\nmachine = "{machine}"\n' if machine else "") + box("one", "number = 1"))
    assert [finding.message for finding in check_declarations(folder, PLUGINS).findings] == (
        [expected] * bool(expected)
    )


def test_simulated_devices_take_nothing_and_raise_no_doubt(folder: Path) -> None:
    write(folder, "bench-1", box("one", "number = 1") + box("two", 'number = 1\nbox = "any"\nsimulate = true'))
    assert said(folder) == []
    write(folder, "bench-2", box("one", 'number = 1\nbox = "any"'))
    assert len(said(folder)) == 2
    assert said(folder, simulate=True) == []


def test_device_of_a_file_with_mistakes_counts(folder: Path) -> None:
    write(folder, "bench-1", box("one", "number = 1") + box("two", "numbr = 2"))
    write(folder, "bench-2", box("one", "number = 1"))
    assert [line.partition(" ")[0] for line in said(folder)] == ["devices/bench-1.toml:6:", "devices/bench-2.toml:1:"]


def test_file_that_is_asked_for_is_checked_beside_the_others(folder: Path) -> None:
    one = write(folder, "bench-1", box("one", "number = 1") + box("bad", "numbr = 1"))
    write(folder, "bench-2", box("one", "number = 1") + box("bad", "numbr = 1"))
    checked = check_declarations(folder, PLUGINS, only=[one])
    assert [(finding.line, finding.message) for finding in checked.findings] == [
        (1, f"box 1 is taken already by bench-2/one (devices/bench-2.toml:1). {HINT}"),
        (6, "numbr: unknown key."),
    ]
    assert (checked.files, checked.devices) == (1, 1)


@pytest.mark.parametrize(
    ("method", "what"), [("takes", "say which hardware it takes"), ("doubts", "look at its options")]
)
def test_driver_that_raises_when_it_is_asked_is_named(folder: Path, method: str, what: str) -> None:
    write(folder, "bench-1", box("one", f'raises = "{method}"'))
    assert said(folder) == [
        f"devices/bench-1.toml:1: [one] the driver 'box' could not {what}: KeyError: '{method}'. "
        "This is a fault of the driver."
    ]


@pytest.mark.parametrize(
    ("method", "kind", "answer"),
    [
        ("takes", "Takes", ["slot 1"]),
        ("takes", "Takes", [Doubt(message="may be any box.")]),
        ("takes", "Takes", [Takes(what=None)]),  # type: ignore[arg-type]
        ("takes", "Takes", [Takes(what="slot 1", path=("host"))]),  # type: ignore[arg-type] # a comma is missing
        ("takes", "Takes", [Takes(what="slot 1", path=(None,))]),  # type: ignore[arg-type]
        ("takes", "Takes", [Takes(what="slot", match={"usb_id": "2341:0043"})]),  # type: ignore[arg-type]
        ("doubts", "Doubt", ["may be any box."]),
        ("doubts", "Doubt", [Doubt(message=3)]),  # type: ignore[arg-type]
        ("doubts", "Doubt", "may be any box."),
    ],
)
def test_driver_that_answers_something_else_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, method: str, kind: str, answer: Any
) -> None:
    monkeypatch.setattr(BoxOptions, method, lambda self: answer)
    write(folder, "bench-1", box("one", "number = 1"))
    write(folder, "bench-2", box("two", "number = 2"))
    problems = said(folder)
    assert len(problems) == 2
    for problem, device in zip(problems, ("bench-1.toml:1: [one]", "bench-2.toml:1: [two]"), strict=True):
        assert problem.startswith(f"devices/{device} the driver 'box' could not ")
        assert f"TypeError: it returned {answer[0]!r} where labkit.plugin.{kind} belongs" in problem
        assert problem.endswith("This is a fault of the driver.")


@pytest.mark.parametrize("method", ["takes", "doubts"])
def test_driver_that_answers_nothing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(BoxOptions, method, lambda self: None)
    write(folder, "bench-1", box("one", "number = 1"))
    assert len(said(folder)) == 1
    assert "This is a fault of the driver." in said(folder)[0]


# -- USB devices, which may be said in several ways

SERIAL, ID, OTHER_ID = 'usb_serial = "7543"', 'usb_id = "2341:0043"', 'usb_id = "1a86:7523"'
FIRST, THIRD = "usb_interface = 0", "usb_interface = 2"


@pytest.mark.parametrize("kind", ["serial", "camera"])
@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ([SERIAL], [SERIAL], True),
        ([ID], [ID], True),
        ([FIRST], [FIRST], True),
        ([SERIAL], [SERIAL, ID], True),
        ([SERIAL], [SERIAL, FIRST], True),
        ([ID], [SERIAL, ID], True),
        ([FIRST], [SERIAL, FIRST], True),
        ([SERIAL, FIRST], [SERIAL, ID], True),
        ([SERIAL, FIRST], [SERIAL, THIRD], False),
        ([SERIAL, ID], [SERIAL, OTHER_ID], False),
        ([ID], [OTHER_ID], False),
        ([SERIAL], [ID], False),  # one of them would have to say more: it may be, and mostly is not
        ([SERIAL, FIRST], [OTHER_ID, FIRST], False),
    ],
)
def test_two_matches_clash_where_both_may_mean_one_device(
    folder: Path, kind: str, one: list[str], other: list[str], clash: bool
) -> None:
    for first, second in ((one, other), (other, one)):
        tables = (f'[{name}]\ndriver = "{kind}"\nmatch = {{ {", ".join(match)} }}\n' for name, match in
                  (("a", first), ("b", second)))  # fmt: skip
        write(folder, "bench-1", "".join(tables))
        found = check_declarations(folder, USB_PLUGINS).problems
        assert [(problem.where, " is taken already by bench-1/a " in problem.message) for problem in found] == (
            [("b", True)] if clash else []
        )


def test_camera_and_serial_port_of_one_device_are_two_things(folder: Path) -> None:
    tables = (f'[{kind}]\ndriver = "{kind}"\nmatch = {{ {SERIAL} }}\n' for kind in ("serial", "camera"))
    write(folder, "bench-1", "".join(tables))
    assert check_declarations(folder, USB_PLUGINS).findings == []


# -- doubts


def test_doubt_is_a_warning_and_the_bench_is_good(folder: Path) -> None:
    write(folder, "bench-1", box("one", 'box = "any"'))
    checked = check_declarations(folder, PLUGINS)
    assert [str(one) for one in checked.warnings] == ["devices/bench-1.toml:3: [one] box: may be any box. Say which."]
    assert (checked.problems, [bench.name for bench in checked.benches]) == ([], ["bench-1"])
    assert [bench.name for bench in read_declarations(folder, PLUGINS)] == ["bench-1"]


def test_catalog_keeps_the_warnings_for_the_log(tmp_path: Path, folder: Path) -> None:
    write(folder, "bench-1", '[a]\ndriver = "serial"\nport = "/dev/ttyUSB0"\n')
    (warning,) = read_catalog(folder, load_plugins(tmp_path / "drivers")).warnings
    assert str(warning).startswith("devices/bench-1.toml:3: [a] port: /dev/ttyUSB0 may be another device")


# -- what a driver's own check points at


def test_own_check_of_a_table_inside_points_at_its_key(folder: Path) -> None:
    write(folder, "bench-1", box("one", "channels = { red = 1, blue = { number = 2, limit = 10 } }"))
    (problem,) = check_declarations(folder, PLUGINS).findings
    assert (problem.column, problem.key) == (44, "channels.blue.limit")
    assert problem.message == "channels.blue.limit: is too high."


# -- secrets


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOX_PASSWORD", raising=False)


@pytest.mark.usefixtures("no_variable")
def test_missing_secret_counts_on_the_machine_that_has_the_bench(folder: Path) -> None:
    write(folder, "bench-1", '[bench]\nmachine = "pi-1"\n' + box("one", 'password = { env = "BOX_PASSWORD" }'))
    assert len(said(folder, machine="pi-1")) == len(said(folder)) == 1
    assert said(folder, machine="pi-2") == []


@pytest.mark.usefixtures("no_variable")
def test_twin_needs_no_secret(folder: Path) -> None:
    write(folder, "bench-1", box("one", 'password = { env = "BOX_PASSWORD" }\nsimulate = true'))
    assert said(folder) == []


def test_bench_with_a_changed_secret_is_another_bench(folder: Path) -> None:
    write(folder, "bench-1", box("one", 'password = { file = "box.secret" }'))
    (folder / "box.secret").write_text("hunter2")
    before, again = read_declarations(folder, PLUGINS), read_declarations(folder, PLUGINS)
    assert before == again
    (folder / "box.secret").write_text("hunter3")
    after = read_declarations(folder, PLUGINS)
    assert before != after
    assert "hunter" not in repr(before) + repr(after)


# -- names


def test_of_two_files_whose_names_differ_in_case_one_is_refused(folder: Path) -> None:
    write(folder, "bench-1", box("one", "number = 1"))
    write(folder, "Bench-1", box("one", "number = 1"))
    assert said(folder) == [
        "devices/Bench-1.toml:1:1: 'Bench-1' can't be a bench's name: names have small letters, and "
        "devices/bench-1.toml has that one already. Rename the file."
    ]
