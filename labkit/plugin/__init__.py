"""What plugin authors import. Everything public is here."""

from labkit.errors import DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin.driver import BoundFeed, CommandSpec, DeviceLink, Driver, Feed, command, commands_of, feeds_of
from labkit.plugin.events import DeviceEvent, SessionEvent
from labkit.plugin.found import Found
from labkit.plugin.frame import Frame
from labkit.plugin.hooks import hookimpl, hookspec
from labkit.plugin.options import Doubt, DriverOptions, Takes, UsbMatch
from labkit.plugin.panel import Panel
from labkit.plugin.twin import FAULTS, Twin

__all__ = [
    "FAULTS",
    "BoundFeed",
    "CommandSpec",
    "DeviceEvent",
    "DeviceLink",
    "DeviceOfflineError",
    "Doubt",
    "Driver",
    "DriverOptions",
    "Feed",
    "Found",
    "Frame",
    "InterruptedCallError",
    "Panel",
    "SafeStateError",
    "SessionEvent",
    "Takes",
    "Twin",
    "UsbMatch",
    "command",
    "commands_of",
    "feeds_of",
    "hookimpl",
    "hookspec",
]
