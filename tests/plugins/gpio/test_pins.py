"""What decides the level of a simulated wire, and which of its changes are edges. The clock is the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit_plugins.gpio.pins import Pins

DEFAULTS = {
    "direction": "out",
    "pull": "keep",
    "drive": "push-pull",
    "active_low": False,
    "debounce": 0,
    "edges": "both",
    "initial": 0,
}


class Bench:
    """Pins with a clock that stands still until `pass_time`."""

    def __init__(self, **declared: dict[str, Any]):
        self.now = 0
        self.due: list[tuple[int, Callable[[], None]]] = []
        self.changes: list[tuple[str, int]] = []
        self.edges: list[tuple[str, int, int, int]] = []
        self.pins = Pins(lambda: self.now, self._later, changed=self._changed, edge=self._edge)
        self.wiring = {name: {**DEFAULTS, "line": 1, **wiring} for name, wiring in declared.items()}
        assert self.pins.request("labkit", self.wiring) == []
        self.changes.clear()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self.due.append((self.now + round(seconds * 1e9), act))

    def _changed(self, pin: Any) -> None:
        self.changes.append((pin.name, pin.level))

    def _edge(self, pin: Any, level: int, at: int) -> None:
        self.edges.append((pin.name, level, at, pin.seqno))

    def pass_time(self, ms: int) -> None:
        self.now += ms * 1_000_000
        due = [act for when, act in self.due if when <= self.now]
        self.due = [(when, act) for when, act in self.due if when > self.now]
        for act in due:
            act()

    def level(self, name: str) -> tuple[int, str]:
        return self.pins[name].level, self.pins[name].by


@pytest.mark.parametrize(
    ("drive", "pull", "host", "expected"),
    [
        ("push-pull", "up", 0, (0, "host")),
        ("push-pull", "down", 1, (1, "host")),
        ("open-drain", "up", 1, (1, "pull")),
        ("open-drain", "keep", 1, (0, "pull")),
        ("open-drain", "up", 0, (0, "host")),
        ("open-source", "down", 0, (0, "pull")),
        ("open-source", "up", 0, (1, "pull")),
        ("open-source", "down", 1, (1, "host")),
    ],
)
def test_output_is_driven_where_its_drive_holds_it_and_pulled_else(
    drive: str, pull: str, host: int, expected: tuple[int, str]
) -> None:
    bench = Bench(red={"drive": drive, "pull": pull})
    bench.pins.set({"red": host})
    assert bench.level("red") == expected


def test_wire_is_stronger_than_host_and_pull_until_it_lets_go() -> None:
    bench = Bench(red={}, button={"direction": "in", "pull": "up"})
    bench.pins.drive("red", 1)
    bench.pins.drive("button", 0)
    assert [bench.level("red"), bench.level("button")] == [(1, "wire"), (0, "wire")]
    bench.pins.set({"red": 0})
    assert bench.level("red") == (1, "wire")
    bench.pins.drive("red", None)
    bench.pins.drive("button", None)
    assert [bench.level("red"), bench.level("button")] == [(0, "host"), (1, "pull")]


def test_only_changes_are_told_and_outputs_have_no_edges() -> None:
    bench = Bench(red={}, button={"direction": "in"})
    for level in (1, 1, 0):
        bench.pins.set({"red": level})
        bench.pins.drive("button", level)
    assert bench.changes == [("red", 1), ("button", 1), ("red", 0), ("button", 0)]
    assert bench.edges == [("button", 1, 0, 1), ("button", 0, 0, 2)]


@pytest.mark.parametrize(
    ("edges", "active_low", "told"),
    [
        ("both", False, [1, 0]),
        ("rising", False, [1]),
        ("falling", False, [0]),
        ("rising", True, [0]),  # it becomes 1 for people when its voltage falls
        ("falling", True, [1]),
        ("none", False, []),
    ],
)
def test_edges_are_meant_as_the_line_is_meant(edges: str, active_low: bool, told: list[int]) -> None:
    bench = Bench(button={"direction": "in", "edges": edges, "active_low": active_low})
    bench.pins.drive("button", 1)
    bench.pins.drive("button", 0)
    assert [level for _, level, _, _ in bench.edges] == told


def test_debounced_input_changes_when_it_has_been_still_for_its_time() -> None:
    bench = Bench(key={"direction": "in", "debounce": 20})
    bench.pins.drive("key", 1)
    bench.pass_time(15)
    bench.pins.drive("key", 0)
    bench.pass_time(1)
    bench.pins.drive("key", 1)
    bench.pass_time(19)
    assert (bench.pins["key"].steady, bench.edges) == (0, [])
    bench.pass_time(1)
    assert (bench.pins["key"].steady, bench.edges) == (1, [("key", 1, 36_000_000, 1)])


def test_bounce_that_ends_where_it_began_is_nothing() -> None:
    bench = Bench(key={"direction": "in", "debounce": 20})
    bench.pins.drive("key", 1)
    bench.pins.drive("key", 0)
    bench.pass_time(100)
    assert bench.edges == []


def test_nobody_hears_edges_of_lines_that_nobody_has() -> None:
    bench = Bench(button={"direction": "in"})
    bench.pins.give_back("labkit")
    bench.pins.drive("button", 1)
    assert bench.edges == []


def test_lines_of_others_are_not_given_out_and_stay_as_they_are() -> None:
    bench = Bench(red={}, green={})
    bench.pins.give_back("labkit")
    bench.pins.claim("green", "gpio-leds")
    bench.pins.set({"red": 1})
    assert [pin.name for pin in bench.pins.request("labkit", bench.wiring)] == ["green"]
    assert bench.level("red") == (1, "host")


def test_what_the_far_end_drives_outlives_a_request_and_what_is_not_declared_any_more_goes() -> None:
    bench = Bench(red={}, button={"direction": "in"})
    bench.pins.drive("button", 1)
    bench.pins.give_back("labkit")
    assert bench.pins.request("labkit", {"button": bench.wiring["button"]}) == []
    assert [pin.name for pin in bench.pins] == ["button"]
    assert bench.level("button") == (1, "wire")
    assert bench.edges == [("button", 1, 0, 1)]  # and that it was so before is no edge


def test_chip_without_power_drives_nothing_and_belongs_to_nobody() -> None:
    bench = Bench(red={}, relay={"pull": "up"})
    bench.pins.set({"red": 1, "relay": 0})
    bench.pins.lose_power()
    assert [bench.level("red"), bench.level("relay")] == [(0, "pull"), (1, "pull")]
    assert [pin.holder for pin in bench.pins] == ["", ""]


def test_wrong_requests_say_why() -> None:
    bench = Bench(red={}, button={"direction": "in"})
    with pytest.raises(ValueError, match="there is no line 'gren'; there are: red, button"):
        bench.pins.drive("gren", 1)
    with pytest.raises(ValueError, match="button can't be set: inputs"):
        bench.pins.set({"red": 1, "button": 1})
    with pytest.raises(ValueError, match="a level is 0 or 1"):
        bench.pins.drive("red", 2)
    assert bench.changes == []
