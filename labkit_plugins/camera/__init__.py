"""The bundled camera driver as a plugin: hooks only. Found through the entry-point group `labkit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.plugin import Driver, Panel, hookimpl
from labkit_plugins.camera.capture import NoSignalError, Signal
from labkit_plugins.camera.driver import Camera
from labkit_plugins.camera.options import CameraOptions
from labkit_plugins.camera.simulated import SimulatedCamera

__all__ = [
    "Camera",
    "CameraOptions",
    "NoSignalError",
    "Signal",
    "SimulatedCamera",
    "labkit_drivers",
    "labkit_panels",
]


@hookimpl
def labkit_drivers() -> Sequence[type[Driver[Any]]]:
    return [Camera]


@hookimpl
def labkit_panels() -> Sequence[Panel]:
    return [Panel(kind="camera", module=Path(__file__).parent / "panel.js")]
