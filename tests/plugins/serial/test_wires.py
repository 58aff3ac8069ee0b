"""The wires between the simulated board and the simulated chip of its bench, in each order of their starting."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit_plugins.gpio.options import LineOptions
from labkit_plugins.twins.control import Control
from tests.toy import GUARD

ROOT = Path(__file__).parents[3]
LINES = {
    "led1": {"line": 1, "direction": "in", "pull": "down"},
    "led2": {"line": 2, "direction": "in", "pull": "up"},
    "led3": {"line": 3},
    "button": {"line": 4},
}


class Bench:
    """A bench of twins without their drivers. A program that was started runs until the end of the test."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, *arguments: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        command = [sys.executable, "-m", module, "--folder", str(self.folder / name), "--parent", str(os.getpid())]
        process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT)
        self.running[name] = process
        assert process.stdout is not None
        assert process.stdout.readline(), "it did not start"

    def start_board(self) -> None:
        self.start("console", "labkit_plugins.serial.board")

    def start_chip(self, **lines: Any) -> None:
        """Start it with LINES; more of them, or others, by keyword."""
        declared = {name: LineOptions.model_validate(line) for name, line in (LINES | lines).items()}
        wiring = {name: line.model_dump() | {"initial": 0} for name, line in declared.items()}
        self.start("lines", "labkit_plugins.gpio.chip", "--lines", json.dumps(wiring))

    def ask(self, name: str, request: str) -> dict[str, Any]:
        with Control(self.folder / name / "control", GUARD) as control:
            return control.ask(request)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait(GUARD)
        assert process.stdout is not None
        process.stdout.close()

    def levels(self) -> dict[str, int]:
        return {name: line["level"] for name, line in self.ask("lines", "lines")["lines"].items()}

    def wait_levels(self, **expected: int) -> None:
        wait_until(lambda: {name: self.levels()[name] for name in expected}, expected)

    def open_tty(self) -> Tty:
        self.tty = Tty(self.folder / "console" / "tty")
        return self.tty


class Tty:
    """What a student has: bytes to and from the board."""

    def __init__(self, path: Path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def read_until(self, expected: bytes) -> bytes:
        data = b""
        while expected not in data:
            assert select.select([self.fd], [], [], GUARD)[0], data
            data += os.read(self.fd, 4096)
        return data


def wait_until(look: Callable[[], Any], expected: Any) -> None:
    until = time.monotonic() + GUARD
    while (found := look()) != expected:
        assert time.monotonic() < until, found
        select.select([], [], [], 0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench-1")
    made.folder.mkdir()
    yield made
    for name in tuple(made.running):
        made.kill(name)
    if hasattr(made, "tty"):
        os.close(made.tty.fd)


def press(bench: Bench, level: int) -> None:
    """Move the button, and wait until the board has taken the news."""
    bench.ask("lines", f"drive button {level}")  # its far end has the same wire
    for _ in range(10):  # the board takes one packet of the chip in a turn: this one, and what came before it
        bench.ask("console", "hello")


@pytest.mark.parametrize("first", ["board", "chip"])
def test_leds_light_the_inputs_with_their_names(bench: Bench, first: str) -> None:
    starts = [bench.start_board, bench.start_chip]
    for start in starts if first == "board" else reversed(starts):
        start()
    bench.wait_levels(led1=0, led2=0)  # driven, and not on the level of its pull
    bench.open_tty().write(b"led 1 on\rled 2 on\rled 3 on\r")
    bench.wait_levels(led1=1, led2=1, led3=0)  # led3 is the chip's own output
    bench.tty.write(b"halt\r")
    bench.wait_levels(led1=0, led2=0)


def test_button_is_read_in_the_terminal_and_keeps_what_was_typed(bench: Bench) -> None:
    bench.start_chip()
    bench.start_board()
    bench.wait_levels(led2=0)
    bench.open_tty().read_until(b"> ")
    bench.tty.write(b"led 1")
    bench.tty.read_until(b"led 1")
    press(bench, 1)
    assert bench.tty.read_until(b"> led 1") == b"\r\nbutton pressed\r\n> led 1"
    press(bench, 0)
    assert bench.tty.read_until(b"> led 1") == b"\r\nbutton released\r\n> led 1"
    bench.tty.write(b" on\r")
    bench.wait_levels(led1=1)


@pytest.mark.parametrize("restarted", ["console", "lines"])
def test_wires_are_there_again_when_one_end_was_started_anew(bench: Bench, restarted: str) -> None:
    bench.start_board()
    bench.start_chip()
    bench.wait_levels(led2=0)
    bench.open_tty().write(b"led 1 on\r")
    bench.wait_levels(led1=1)
    bench.kill(restarted)
    if restarted == "console":
        bench.start_board()
        bench.wait_levels(led1=0)  # it has booted
        os.close(bench.tty.fd)
        bench.open_tty().write(b"led 1 on\r")
    else:
        bench.start_chip()
    bench.wait_levels(led1=1, led2=0)
    press(bench, 1)
    bench.tty.read_until(b"button pressed")


def test_board_without_power_drives_nothing_and_hears_nothing(bench: Bench) -> None:
    bench.start_board()
    bench.start_chip()
    bench.wait_levels(led2=0)
    bench.ask("console", "unplug")
    bench.wait_levels(led1=0, led2=1)  # their pulls
    press(bench, 1)
    bench.ask("console", "plug")
    bench.wait_levels(led2=0)
    assert b"button" not in bench.open_tty().read_until(b"> ")


def test_hung_board_does_not_hear_its_button(bench: Bench) -> None:
    bench.start_board()
    bench.start_chip()
    bench.wait_levels(led2=0)
    bench.open_tty().read_until(b"> ")
    bench.ask("console", "hang")
    press(bench, 1)
    bench.ask("console", "normal")
    press(bench, 0)
    assert b"pressed" not in bench.tty.read_until(b"button released")


def test_button_that_the_chip_reads_is_none_of_the_boards(bench: Bench) -> None:
    bench.start_chip(button={"line": 4, "direction": "in"})
    bench.start_board()
    bench.wait_levels(led2=0)
    bench.open_tty().read_until(b"> ")
    press(bench, 1)
    bench.wait_levels(button=1)
    bench.tty.write(b"led 1\r")
    assert b"button" not in bench.tty.read_until(b"is off")
