"""The whole plugin surface on one screen: every hook that labkit calls. For plugin authors.

A plugin is a module with functions marked `@hookimpl`: one that is installed, found through the entry-point group
`labkit`, or a file in the lab's own `drivers/` folder. What it raises is logged and stops nobody; the hooks that hear
of events are called one after another on a thread of their own, so that a slow one delays no session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from labkit.plugin.driver import Driver
from labkit.plugin.events import DeviceEvent, SessionEvent
from labkit.plugin.panel import Panel

hookspec = pluggy.HookspecMarker("labkit")
hookimpl = pluggy.HookimplMarker("labkit")


@hookspec
def labkit_drivers() -> Sequence[type[Driver[Any]]]:
    """Return the driver classes that this plugin brings."""
    return ()


@hookspec
def labkit_panels() -> Sequence[Panel]:
    """Return the panels that this plugin brings."""
    return ()


@hookspec
def labkit_session_started(event: SessionEvent) -> None:
    """Hear that a session has become active. Called in the process that started it, after the fact."""


@hookspec
def labkit_session_ended(event: SessionEvent) -> None:
    """Hear that a session is over and its devices are released. Called in the process that finished it."""


@hookspec
def labkit_device_changed(event: DeviceEvent) -> None:
    """Hear that a device has changed its condition. Called in the process that has it open."""
