"""The bundled GPIO driver as a plugin: hooks only. Found through the entry-point group `labkit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.plugin import Driver, Panel, hookimpl
from labkit_plugins.gpio.driver import Gpio, ReadBackError
from labkit_plugins.gpio.lines import Edge
from labkit_plugins.gpio.options import GpioOptions, LineOptions
from labkit_plugins.gpio.simulated import SimulatedGpio

__all__ = [
    "Edge",
    "Gpio",
    "GpioOptions",
    "LineOptions",
    "ReadBackError",
    "SimulatedGpio",
    "labkit_drivers",
    "labkit_panels",
]


@hookimpl
def labkit_drivers() -> Sequence[type[Driver[Any]]]:
    return [Gpio]


@hookimpl
def labkit_panels() -> Sequence[Panel]:
    return [Panel(kind="gpio", module=Path(__file__).parent / "panel.js")]
