"""A fan's driver and its twin, as an author writes them. Fixtures for the modules that import them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.plugin import Driver, DriverOptions, Twin, command
from tests.toy import GUARD


class Fan(Driver[DriverOptions]):
    """A fan with hardware that no test has."""

    kind = "fan"

    def open(self) -> None:
        raise AssertionError("the hardware was touched")

    def close(self) -> None:
        self.link.closed = True

    def make_safe(self) -> None:
        raise AssertionError("the hardware was touched")

    def interrupt(self) -> None:
        self.link.interrupted = True

    @command
    def say(self) -> bytes:
        """What it says."""
        raise AssertionError("the hardware was touched")


class SimulatedFan(Twin, Fan):
    """Its twin, as an author writes it."""

    def open(self) -> None:
        self.simulate("open")

    def make_safe(self) -> None:
        self.simulate("make_safe")

    @command
    def say(self) -> bytes:
        """What it says."""
        self.simulate("say")
        return self.garbled(b"rrrr" * 8)


@pytest.fixture
def link(tmp_path: Path) -> Any:
    folder = tmp_path / ("x" * 120)  # a socket's address has 107 bytes at most
    folder.mkdir()
    losses: list[str] = []
    lost = threading.Event()

    def lose(reason: str) -> None:
        losses.append(reason)
        lost.set()

    return SimpleNamespace(name="bench-1/fan", folder=folder, lost=lose, losses=losses, was_lost=lost)


@pytest.fixture
def make(link: Any) -> Iterator[Callable[[], SimulatedFan]]:
    made: list[SimulatedFan] = []

    def make_it() -> SimulatedFan:
        made.append(SimulatedFan(DriverOptions(), link))
        return made[-1]

    yield make_it
    for fan in made:
        fan.close()


@pytest.fixture
def fan(make: Callable[[], SimulatedFan]) -> SimulatedFan:
    """An open twin."""
    opened = make()
    opened.open()
    return opened


class Saying(threading.Thread):
    """A command of the twin on a thread of its own."""

    def __init__(self, fan: SimulatedFan):
        super().__init__(name="saying", daemon=True)
        self.fan = fan
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.fan.say()
        except Exception as error:
            self.result = error

    def wait(self) -> Any:
        self.join(GUARD)
        assert not self.is_alive()
        return self.result

    def blocks(self) -> bool:
        self.join(0.2)
        return self.is_alive()

    def interrupt(self) -> Any:
        """Interrupt until it ends: an interrupt that comes before the command has begun is none of its own."""
        while self.is_alive():
            self.fan.interrupt()
            self.join(0.01)
        return self.result
