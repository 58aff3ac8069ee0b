"""The bench's file that a scan writes: whatever was found, it is read without a mistake."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from labkit.commands.bench_draft import bench_draft
from labkit.devices.declaration import check_declarations
from labkit.devices.driver_rules import NAME
from labkit.devices.hardware import Seen
from labkit.devices.plugins import Plugins
from labkit.plugin import Driver, DriverOptions, Found, Takes


class FanOptions(DriverOptions):
    """Where a fan is; it has to be said."""

    slot: int
    lines: dict[str, int] = Field(default_factory=dict)

    def takes(self) -> Sequence[Takes]:
        return [Takes(what=f"slot {self.slot}", path=("slot",))]


class Fan(Driver[FanOptions]):
    """A fan."""

    kind = "fan"


DRIVERS: dict[str, type[Driver[Any]]] = {"fan": Fan}


def seen(title: str, slot: object = 1, *, declared: tuple[str, ...] = (), **more: Any) -> Seen:
    options = more.pop("options", {"slot": slot})
    return Seen(
        kind="fan", found=Found(path=f"/dev/fan{slot}", title=title, options=options, **more), declared=declared
    )


def read(text: str, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a file, after the reader of declarations has found nothing wrong with it."""
    folder = tmp_path / "devices"
    folder.mkdir(exist_ok=True)
    (folder / "bench-1.toml").write_text(text, "utf-8")
    checked = check_declarations(folder, Plugins(drivers=DRIVERS))
    assert [*map(str, checked.findings)] == []
    assert len(checked.benches) == 1
    return tomllib.loads(text)


def test_table_for_each_thing_with_its_driver_and_its_options(tmp_path: Path) -> None:
    text = bench_draft([seen("Big Fan", 1), seen("Small Fan", 2)], DRIVERS)
    assert read(text, tmp_path) == {"big-fan": {"driver": "fan", "slot": 1}, "small-fan": {"driver": "fan", "slot": 2}}
    assert "# Big Fan\n# /dev/fan1\n[big-fan]\n" in text


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        (["Fan", "Fan", "Fan"], ["fan", "fan-2", "fan-3"]),
        (["Bench"], ["bench-2"]),
        (["Ventilátor №1 (kék)"], ["ventil-tor-1-k-k"]),
        (["", "???"], ["fan", "fan-2"]),
        (["x" * 60, "x" * 60], ["x" * 40, "x" * 38 + "-2"]),
        (["fan-2", "fan", "fan"], ["fan-2", "fan", "fan-3"]),
    ],
)
def test_names_are_readable_and_no_name_is_there_twice(titles: list[str], names: list[str], tmp_path: Path) -> None:
    text = bench_draft([seen(title, number) for number, title in enumerate(titles)], DRIVERS)
    assert list(read(text, tmp_path)) == names
    assert all(NAME.fullmatch(name) for name in names)


def test_nothing_found_is_a_bench_without_devices(tmp_path: Path) -> None:
    assert read(bench_draft([], DRIVERS), tmp_path) == {}


def test_what_is_declared_already_is_a_comment(tmp_path: Path) -> None:
    text = bench_draft([seen("Fan", declared=("bench-1/cooler", "bench-2/cooler"))], DRIVERS)
    assert read(text, tmp_path) == {}
    assert "# declared already: bench-1/cooler, bench-2/cooler\n" in text


def test_what_needs_more_than_was_found_is_a_comment_that_says_what(tmp_path: Path) -> None:
    text = bench_draft([seen("Fan", options={}), seen("Odd", options={"slot": None}), seen("Good", 2)], DRIVERS)
    assert list(read(text, tmp_path)) == ["good"]
    assert '# driver = "fan" needs more than was found: slot: Field required\n' in text
    assert "TypeError: None can't be written as TOML" in text


def test_second_thing_that_means_the_same_is_a_comment(tmp_path: Path) -> None:
    text = bench_draft([seen("Fan", 1), seen("Same fan", 1)], DRIVERS)
    assert list(read(text, tmp_path)) == ["fan"]
    assert "# means the same as a table above: slot 1\n" in text


def test_trouble_stands_with_its_remedy_above_the_table() -> None:
    text = bench_draft(
        [seen("Fan", trouble="user ada may not open it", remedy="Run: sudo usermod -aG fans ada.")], DRIVERS
    )
    assert "# trouble: user ada may not open it. Run: sudo usermod -aG fans ada.\n[fan]" in text


def test_titles_with_line_ends_and_control_characters_stay_comments(tmp_path: Path) -> None:
    text = bench_draft([seen('Fan\n[evil]\ndriver = "x"\x00\x7f')], DRIVERS)
    assert list(read(text, tmp_path)) == ["fan-evil-driver-x"]


def test_long_table_becomes_one_of_its_own(tmp_path: Path) -> None:
    lines = {f"line-{number}": number for number in range(20)}
    text = bench_draft([seen("Fan", options={"lines": lines, "slot": 4}), seen("Next", 5)], DRIVERS)
    tables = read(text, tmp_path)
    assert tables["fan"] == {"driver": "fan", "slot": 4, "lines": lines}
    assert max(map(len, text.splitlines())) <= 120
