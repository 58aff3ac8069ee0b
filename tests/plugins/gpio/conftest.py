"""What tests of the GPIO driver need: a link that remembers, a twin that is ended, the far end of its wires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from labkit_plugins.gpio import GpioOptions, SimulatedGpio, simulated
from labkit_plugins.twins.control import Control
from tests.plugins.opening import opening
from tests.plugins.remembering import Remembering
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD

LINES = {
    "red": 17,
    "green": {"line": 27, "active_low": True},
    "button": {"line": 22, "direction": "in", "pull": "up", "active_low": True},
}


@dataclass
class RecordingLink(Remembering):
    """A device's link that keeps what the driver gave, and lets a test wait for it."""

    name: str = "bench-1/leds"
    given: list[tuple[str, Any]] = field(default_factory=list)

    def emit(self, feed: str, data: Any) -> None:
        with self.changed:
            self.given.append((feed, data))
            self.changed.notify_all()

    def of(self, feed: str) -> list[Any]:
        with self.changed:
            return [data for name, data in self.given if name == feed]

    def wait_edges(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many edges were told."""
        self.wait_for(lambda: len(self.of("edges")) >= count)
        return self.of("edges")

    def wait_levels(self, **levels: int) -> None:
        """Wait until the last picture shows these levels."""
        self.wait_for(lambda: self.of("levels") and levels.items() <= self.of("levels")[-1].items())


class FarEnd:
    """The far end of a simulated chip's wires."""

    def __init__(self, twin: SimulatedGpio):
        self.control = Control(twin.control, GUARD)

    def drive(self, line: str, level: int) -> None:
        """Drive a wire to a voltage."""
        self.control.ask(f"drive {line} {level}")

    def release(self, line: str) -> None:
        self.control.ask(f"release {line}")

    def lines(self) -> dict[str, dict[str, Any]]:
        lines: dict[str, dict[str, Any]] = self.control.ask("lines")["lines"]
        return lines


OpenTwin = Callable[..., SimulatedGpio]


@pytest.fixture(autouse=True)
def patient_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that waits for its chip as long as a busy machine may keep that from answering."""
    monkeypatch.setattr(simulated, "_OPEN_TIMEOUT", GUARD)
    monkeypatch.setattr(simulated, "_LAST_WORD_TIMEOUT", GUARD)


@pytest.fixture
def link(tmp_path: Path) -> RecordingLink:
    folder = tmp_path / "bench-1" / "leds"
    folder.mkdir(parents=True)
    return RecordingLink(folder)


@pytest.fixture
def twin(link: RecordingLink) -> Iterator[SimulatedGpio]:
    """An open twin with an output, an output that is active low, and a button; its chip ends with the test."""
    gpio = SimulatedGpio(options(), link)
    gpio.open()
    yield gpio
    gpio.close()
    end_program(gpio)


@pytest.fixture
def far(twin: SimulatedGpio) -> Iterator[FarEnd]:
    end = FarEnd(twin)
    yield end
    end.control.close()


@pytest.fixture
def open_twin(link: RecordingLink) -> Iterator[OpenTwin]:
    """Open a twin with lines, and options, of one's own."""

    def make(lines: dict[str, Any] | None = None, **more: Any) -> SimulatedGpio:
        return SimulatedGpio(options(lines, **more), link)

    with opening(make, end_program) as open_it:
        yield open_it


def options(lines: dict[str, Any] | None = None, **more: Any) -> GpioOptions:
    return GpioOptions.model_validate({"simulate": True, "lines": lines or LINES, **more})
