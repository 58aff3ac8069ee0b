"""The GPIO driver on a real chip (gpio-sim)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gpiod
import pytest

from labkit.errors import DeviceOfflineError
from labkit_plugins.gpio import Gpio, GpioOptions
from tests.hardware.hands import CHIP, RecordingLink, level, pull, wait_for

OpenLines = Callable[..., Gpio]

RED, GREEN, BUTTON = 3, 4, 5
LINES = {"red": RED, "green": GREEN, "button": {"line": BUTTON, "direction": "in"}}


@pytest.fixture
def open_lines(link: RecordingLink) -> Iterator[OpenLines]:
    """Open the driver at the chip, by its label; options by keyword."""
    for line in (RED, GREEN, BUTTON):
        pull(line, "down")
    opened: list[Gpio] = []

    def open_it(**options: Any) -> Gpio:
        device = Gpio(GpioOptions.model_validate({"chip": CHIP, "lines": LINES, **options}), link)
        opened.append(device)
        device.open()
        return device

    yield open_it
    for device in opened:
        device.close()


def test_what_is_written_is_on_the_wire(open_lines: OpenLines) -> None:
    leds = open_lines()
    assert (level(RED), level(GREEN)) == (0, 0)
    assert leds.write("red", 1) == 1
    assert (level(RED), level(GREEN)) == (1, 0)
    assert leds.toggle("green") == 1
    assert leds.toggle("red") == 0
    assert (level(RED), level(GREEN)) == (0, 1)
    assert leds.all() == {"red": 0, "green": 1, "button": 0}


def test_line_that_is_on_when_it_is_low(open_lines: OpenLines) -> None:
    leds = open_lines(lines={"relay": {"line": RED, "active_low": True}})
    assert level(RED) == 1
    assert leds.write("relay", 1) == 1
    assert level(RED) == 0


def test_outputs_begin_at_their_initial_level_and_are_made_safe_whatever_they_were(open_lines: OpenLines) -> None:
    leds = open_lines(lines={"red": {"line": RED, "initial": 1}, "green": GREEN}, safe={"green": 1})
    assert (level(RED), level(GREEN)) == (1, 1)
    leds.write("green", 0)
    leds.make_safe()
    assert (level(RED), level(GREEN)) == (0, 1)


def test_every_edge_comes_with_the_time_at_which_the_kernel_saw_it(open_lines: OpenLines, link: RecordingLink) -> None:
    began = time.time()
    open_lines()
    for number, direction in enumerate(("up", "down", "up"), 1):
        pull(BUTTON, direction)
        wait_for(lambda number=number: len(link.of("edges")) == number, f"edge {number}")
    edges = link.of("edges")
    assert [(edge["line"], edge["level"], edge["seqno"]) for edge in edges] == [
        ("button", 1, 1), ("button", 0, 2), ("button", 1, 3)
    ]  # fmt: skip
    times = [edge["at"] for edge in edges]
    assert began - 1 < times[0] < times[1] < times[2] < time.time() + 1
    wait_for(lambda: link.of("levels")[-1]["button"] == 1, "the level in the feed")


def test_resistor_of_the_chip_holds_an_input(open_lines: OpenLines) -> None:
    lines = open_lines(lines={"end": {"line": BUTTON, "direction": "in", "pull": "up"}})
    assert lines.read("end") == 1
    pull(BUTTON, "down")
    assert lines.read("end") == 0


def test_line_that_another_program_has_is_named_with_its_consumer(open_lines: OpenLines) -> None:
    settings = gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT)
    leds = open_lines(lines={"green": GREEN})
    path = next(path for path in map("/dev/gpiochip{}".format, range(9)) if gpiod.Chip(path).get_info().label == CHIP)
    with (
        gpiod.request_lines(path, consumer="fancontrol", config={RED: settings}),
        pytest.raises(DeviceOfflineError, match=r"'red' \(line 3 of chip lab-gpio\) by 'fancontrol'"),
    ):
        open_lines(lines={"red": RED})
    assert leds.write("green", 1) == 1
    open_lines(lines={"red": RED}).make_safe()


def test_chip_that_is_not_there_names_those_that_are(open_lines: OpenLines) -> None:
    with pytest.raises(DeviceOfflineError, match=f'"pinctrl-rp1" of .* is not there.*label "{CHIP}", 16 lines'):
        open_lines(chip="pinctrl-rp1")


def test_lines_are_opened_and_closed_again_and_again(open_lines: OpenLines) -> None:
    leds = open_lines()
    for _ in range(20):
        leds.close()
        leds.open()
        leds.make_safe()
    assert leds.write("red", 1) == level(RED) == 1
