"""What plugin authors import. Everything public is here."""

from labkit.errors import (
    CommandError,
    DeviceOfflineError,
    InterruptedCallError,
    MissingSecretError,
    SafeStateError,
)
from labkit.plugin.driver import BoundFeed, CommandSpec, DeviceLink, Driver, Feed, command, commands_of, feeds_of
from labkit.plugin.events import DeviceEvent, SessionEvent
from labkit.plugin.found import Found
from labkit.plugin.frame import Frame
from labkit.plugin.hooks import hookimpl, hookspec
from labkit.plugin.options import Doubt, DriverOptions, OptionError, Takes, UsbMatch
from labkit.plugin.panel import Panel
from labkit.plugin.secret import Secret
from labkit.plugin.twin import FAULTS, Twin

__all__ = [
    "FAULTS",
    "BoundFeed",
    "CommandError",
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
    "MissingSecretError",
    "OptionError",
    "Panel",
    "SafeStateError",
    "Secret",
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
