"""The lines of a real chip: one request at the kernel, by gpiod. Used by the driver.

gpiod wants its objects used by one thread at a time; the reader takes edges while a command sets lines, so a lock is
held for each call. None of them blocks: edges are only read where `poll` says that some wait.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from labkit.plugin import DeviceOfflineError
from labkit_plugins.gpio.chips import Chip, Chips
from labkit_plugins.gpio.lines import Edge, utc_of
from labkit_plugins.gpio.options import GpioOptions, LineOptions
from labkit_plugins.interruption import Operation

PATIENCE = 2.0
EVENTS = 1024
"""Edges that the kernel keeps for a reader which is late; more than that it does not give."""


class UnsupportedLinesError(RuntimeError):
    """The chip can't do what the declaration asks of its lines."""


def request_lines(options: GpioOptions, device: str, chips: Chips | None = None) -> KernelLines:
    """Take the declared lines, all at once. Errors: `DeviceOfflineError`: no such chip or line, busy, forbidden."""
    chips = chips or Chips()
    chip = chips.find(options.chip or "", device)
    for name, line in options.lines.items():
        if line.line >= chip.count:
            raise DeviceOfflineError(
                f"Line '{name}' of '{device}' is declared as line {line.line}, but chip {chip.label} ({chip.path}) "
                f"has {chip.count} lines, 0 to {chip.count - 1}. Correct the declaration.",
                device=device,
            )
    return KernelLines(chips.api, chip, options, _request(chips.api, chip, options, device))


def _request(api: Any, chip: Chip, options: GpioOptions, device: str) -> Any:
    initial = options.initial_levels
    config = {line.line: _settings(api, line, initial.get(name, 0)) for name, line in options.lines.items()}
    consumer = f"labkit {device}"[:31]  # the kernel keeps so many characters
    try:
        with api.Chip(chip.path) as opened:
            try:
                return opened.request_lines(config, consumer=consumer, event_buffer_size=EVENTS)
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.EIO):
                    raise
                raise _refusal(error, opened, chip, options, device) from error
    except DeviceOfflineError:
        raise
    except OSError as error:  # it went away since it was found
        raise DeviceOfflineError(f"Chip {chip.path} of '{device}' has gone: {error}.", device=device) from error


def _settings(api: Any, line: LineOptions, initial: int) -> Any:
    kinds = api.line
    biases = {"keep": "AS_IS", "none": "DISABLED", "up": "PULL_UP", "down": "PULL_DOWN"}
    shared = {"bias": kinds.Bias[biases[line.pull]], "active_low": line.active_low}
    if line.is_output:
        drive = kinds.Drive[line.drive.replace("-", "_").upper()]
        return api.LineSettings(
            direction=kinds.Direction.OUTPUT, drive=drive, output_value=kinds.Value(initial), **shared
        )
    debounce = timedelta(milliseconds=line.debounce)
    edges = kinds.Edge[line.edges.upper()]
    return api.LineSettings(direction=kinds.Direction.INPUT, edge_detection=edges, debounce_period=debounce, **shared)


def _refusal(error: OSError, opened: Any, chip: Chip, options: GpioOptions, device: str) -> Exception:
    """What the kernel means by refusing the lines."""
    if error.errno == errno.EBUSY:
        used = {name: opened.get_line_info(line.line) for name, line in options.lines.items()}
        claimed = [
            f"'{name}' (line {info.offset} of chip {chip.label}) by {info.consumer or 'the kernel'!r}"
            for name, info in used.items()
            if info.used
        ]
        return DeviceOfflineError(
            f"Lines of '{device}' are claimed elsewhere: {', '.join(claimed) or 'free again by now'}. "
            "End the other program, or correct the declaration; it is tried again by itself.",
            device=device,
        )
    return UnsupportedLinesError(
        f"Chip {chip.label} ({chip.path}) refused the lines of '{device}': {os.strerror(error.errno or 0)}. It may not "
        'have what is declared: edges (say edges = "none"), debounce, pull or drive.'
    )


class KernelLines:
    """Lines that are open; see `lines.Lines`."""

    patience: float | None = PATIENCE  # Linux before 6.7 wakes nobody who sleeps in `poll` when a chip is unplugged

    def __init__(self, api: Any, chip: Chip, options: GpioOptions, request: Any):
        self.chip = chip.label or chip.name
        self._api = api
        self._request = request
        self._offsets = {name: line.line for name, line in options.lines.items()}
        self._names = {line.line: name for name, line in options.lines.items()}
        self._fd: int = request.fd
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._fd

    def edges(self) -> Sequence[Edge]:
        with self._lock:
            events = self._request.read_edge_events()
        rising = self._api.EdgeEvent.Type.RISING_EDGE
        return [
            Edge(
                line=self._names[event.line_offset],
                level=int(event.event_type is rising),
                at=utc_of(event.timestamp_ns),
                seqno=event.line_seqno,
            )
            for event in events
        ]

    def read(self, operation: Operation | None) -> dict[str, int]:
        with self._lock:
            values = self._request.get_values(list(self._offsets.values()))
        return {name: int(bool(value)) for name, value in zip(self._offsets, values, strict=True)}

    def write(self, levels: Mapping[str, int], operation: Operation | None) -> None:
        if not levels:
            return
        value = self._api.line.Value
        with self._lock:
            self._request.set_values({self._offsets[name]: value(level) for name, level in levels.items()})

    def close(self, levels: Mapping[str, int]) -> None:
        with suppress(OSError):  # the chip has gone
            self.write(levels, None)
        with self._lock:
            self._request.release()

    def let_go(self) -> None:
        self._request.release()  # without the lock, which a thread of the parent may have held at the fork
