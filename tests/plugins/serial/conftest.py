"""What tests of the serial driver need: a link that remembers, a board with a record, drivers that are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.testing.board import BoardProcess
from labkit_plugins.serial import SerialOptions, SerialPort, SimulatedSerialPort
from tests.plugins.opening import opening
from tests.plugins.remembering import Remembering
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD


@dataclass
class RecordingLink(Remembering):
    """A device's link that keeps what the driver gave, and lets a test wait for it."""

    name: str = "bench-1/console"
    data: bytes = b""

    def emit(self, feed: str, data: Any) -> None:
        assert feed == "received"
        with self.changed:
            self.data += data
            self.changed.notify_all()

    def wait_data(self, expected: bytes) -> bytes:
        self.wait_for(lambda: expected in self.data)
        return self.data


@pytest.fixture
def link(tmp_path: Path) -> RecordingLink:
    folder = tmp_path / "link"
    folder.mkdir()
    return RecordingLink(folder)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardProcess]:
    with BoardProcess.start(tmp_path / "board") as running:
        yield running


@pytest.fixture
def open_port(board: BoardProcess, link: RecordingLink) -> Iterator[Callable[..., SerialPort]]:
    """Open the real driver at the board; options by keyword."""

    def make(**options: Any) -> SerialPort:
        return SerialPort(SerialOptions.model_validate({"port": str(board.path)} | options), link)

    with opening(make) as open_it:
        yield open_it


@pytest.fixture
def twin(link: RecordingLink) -> Iterator[SimulatedSerialPort]:
    """A twin that is not open yet; afterwards its board is ended too, which otherwise lives as long as pytest."""
    port = SimulatedSerialPort(SerialOptions.model_validate({"simulate": True}), link)
    yield port
    port.close()
    end_program(port)


def read_to(port: SerialPort, expected: bytes) -> bytes:
    """Read until something has come, however busy the machine is."""
    received: bytes = finish(port.read_until(expected, timeout=GUARD))
    return received


def finish(generator: Any) -> Any:
    """Run a generator command to its end, as the host does; its result."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value
