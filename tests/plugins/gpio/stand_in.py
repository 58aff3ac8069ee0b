"""A stand-in for the part of gpiod that the driver uses, with chips in memory: for what no machine without GPIO shows.

Its enums and settings are gpiod's own, so a name that gpiod does not have fails here too. Real chips are used by
tests/hardware.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpiod


@dataclass
class Line:
    name: str = ""
    consumer: str = ""
    settings: Any = None
    level: int = 0
    stuck: int | None = None
    """What it reads whatever is written."""


class ChipInMemory:
    """A chip. gone: every use of it fails as one that was unplugged. refusal: errno with which requests fail."""

    def __init__(self, label: str, count: int = 8, *, forbidden: bool = False):
        self.label = label
        self.lines = [Line() for _ in range(count)]
        self.forbidden = forbidden
        self.gone = False
        self.refusal = 0
        self.requests: list[Request] = []


class Gpiod:
    """Has the names of the module. `api.chips[path] = ChipInMemory(...)` puts a chip there."""

    line = gpiod.line
    LineSettings = gpiod.LineSettings
    EdgeEvent = gpiod.EdgeEvent

    def __init__(self, folder: Path):
        self.folder = folder
        self.chips: dict[str, ChipInMemory] = {}

    def add(self, name: str, chip: ChipInMemory) -> ChipInMemory:
        path = self.folder / name
        path.touch(mode=0o600)
        self.chips[str(path)] = chip
        return chip

    def Chip(self, path: str) -> OpenChip:
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        chip = self.chips.get(os.path.realpath(path))
        if chip is None or chip.gone:
            raise OSError(errno.ENODEV, "No such device")
        if chip.forbidden:
            raise PermissionError(errno.EACCES, "Permission denied")
        return OpenChip(chip)


@dataclass
class OpenChip:
    chip: ChipInMemory
    closed: bool = False

    def __enter__(self) -> OpenChip:
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed = True

    def get_info(self) -> Any:
        return SimpleNamespace(name="gpiochip", label=self.chip.label, num_lines=len(self.chip.lines))

    def get_line_info(self, offset: int) -> Any:
        line = self.chip.lines[offset]
        return SimpleNamespace(offset=offset, name=line.name, used=bool(line.consumer), consumer=line.consumer)

    def request_lines(self, config: dict[int, Any], consumer: str, event_buffer_size: int) -> Request:
        if self.chip.refusal:
            raise OSError(self.chip.refusal, os.strerror(self.chip.refusal))
        if any(self.chip.lines[offset].consumer for offset in config):
            raise OSError(errno.EBUSY, "Device or resource busy")
        assert 0 < event_buffer_size <= 1024
        assert len(consumer) <= 31
        for offset, settings in config.items():
            line = self.chip.lines[offset]
            line.consumer, line.settings = consumer, settings
            if settings.direction is gpiod.line.Direction.OUTPUT:
                line.level = int(bool(settings.output_value))
        request = Request(self.chip, list(config))
        self.chip.requests.append(request)
        return request


@dataclass
class Request:
    """Lines that were given out. `change` is an edge of one of them."""

    chip: ChipInMemory
    offsets: list[int]
    events: list[Any] = field(default_factory=list)
    released: bool = False

    def __post_init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self.fd = self._reader
        self._seqno = 0
        self._lock = threading.Lock()  # the driver takes edges on a thread of its own

    def change(self, offset: int, level: int) -> None:
        self._seqno += 1
        kinds = gpiod.EdgeEvent.Type
        kind = kinds.RISING_EDGE if level else kinds.FALLING_EDGE
        self.chip.lines[offset].level = level
        edge = gpiod.EdgeEvent(
            kind.value, time.monotonic_ns(), offset, global_seqno=self._seqno, line_seqno=self._seqno
        )
        with self._lock:
            self.events.append(edge)
        os.write(self._writer, b"x")

    def hang_up(self) -> None:
        """As `poll` shows a chip that was unplugged."""
        self.chip.gone = True
        os.close(self._writer)
        self._writer = -1

    def read_edge_events(self) -> list[Any]:
        self._check()
        os.read(self._reader, 4096)
        with self._lock:
            events, self.events = self.events, []
        return events

    def get_values(self, offsets: list[int]) -> list[Any]:
        self._check()
        lines = [self.chip.lines[offset] for offset in offsets]
        return [gpiod.line.Value(line.level if line.stuck is None else line.stuck) for line in lines]

    def set_values(self, values: dict[int, Any]) -> None:
        self._check()
        for offset, value in values.items():
            assert isinstance(value, gpiod.line.Value)
            self.chip.lines[offset].level = int(bool(value))

    def release(self) -> None:
        for fd in (self._reader, self._writer):
            if fd >= 0:
                os.close(fd)
        self.released = True
        for offset in self.offsets:
            self.chip.lines[offset].consumer = ""

    def _check(self) -> None:
        if self.chip.gone:
            raise OSError(errno.ENODEV, "No such device")
