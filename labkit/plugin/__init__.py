"""What plugin authors import. Everything public is here."""

from labkit.errors import DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin.driver import BoundFeed, CommandSpec, DeviceLink, Driver, Feed, command, commands_of, feeds_of
from labkit.plugin.hooks import hookimpl, hookspec
from labkit.plugin.options import DriverOptions, UsbMatch
from labkit.plugin.panel import Panel

__all__ = [
    "BoundFeed",
    "CommandSpec",
    "DeviceLink",
    "DeviceOfflineError",
    "Driver",
    "DriverOptions",
    "Feed",
    "InterruptedCallError",
    "Panel",
    "SafeStateError",
    "UsbMatch",
    "command",
    "commands_of",
    "feeds_of",
    "hookimpl",
    "hookspec",
]
