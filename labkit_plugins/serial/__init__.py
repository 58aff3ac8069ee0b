"""The bundled serial driver as a plugin: hooks only. Found through the entry-point group `labkit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.plugin import Driver, Panel, hookimpl
from labkit_plugins.serial.driver import SerialPort
from labkit_plugins.serial.options import ResetPulse, SerialOptions, SerialSafe
from labkit_plugins.serial.simulated import SimulatedSerialPort

__all__ = [
    "ResetPulse",
    "SerialOptions",
    "SerialPort",
    "SerialSafe",
    "SimulatedSerialPort",
    "labkit_drivers",
    "labkit_panels",
]


@hookimpl
def labkit_drivers() -> Sequence[type[Driver[Any]]]:
    return [SerialPort]


@hookimpl
def labkit_panels() -> Sequence[Panel]:
    return [Panel(kind="serial", module=Path(__file__).parent / "panel.js")]
