"""What stands between a driver and the rest: the link that a driver is given, and one opening of a device.

Used by `device_runner` and the host. Each opening has a driver instance, a link and an outlet for its feeds of its
own, so that a late word of an earlier opening reaches nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from labkit.devices.declaration import DeviceDeclaration
from labkit.plugin import Driver, commands_of
from labkit.store.calls import Call, Reply

log = logging.getLogger("labkit.loop")


class Outlet(Protocol):
    """Where a device's feeds go; `fence` is the reservation that what arrives now belongs to, 0 for none."""

    fence: int

    def emit(self, feed: str, data: Any) -> None: ...
    def watched(self, feed: str) -> bool: ...
    def opened(self, tell: Callable[[str, bool], None]) -> None: ...
    def close(self) -> None: ...


class DevicePort(Protocol):
    """What a device runner needs from its host. Nothing here blocks for long, or raises."""

    def now(self) -> float: ...
    def silent_for(self) -> float: ...
    def task_runs(self, call: Call) -> bool: ...
    def reply(self, call: Call, reply: Reply) -> None: ...
    def report(self, runner: Any) -> None: ...


class Link:
    """The link of one opening (see `DeviceLink`)."""

    def __init__(self, name: str, folder: Path, outlet: Outlet, on_lost: Callable[[str], None]):
        self.name = name
        self.folder = folder
        self._outlet = outlet
        self._on_lost = on_lost

    def emit(self, feed: str, data: Any) -> None:
        self._outlet.emit(feed, data)

    def lost(self, reason: str) -> None:
        self._on_lost(reason)

    def watched(self, feed: str) -> bool:
        return self._outlet.watched(feed)


TELL_SECONDS = 1.0
"""How long a device that is to be closed waits for its driver to take in who looks; that should take no time."""


class OpenDevice:
    """One opening of a device: its driver and its outlet. `close()` never raises."""

    def __init__(self, driver: Driver[Any], outlet: Outlet):
        self.driver = driver
        self.commands = commands_of(type(driver))
        self.outlet = outlet
        self._telling = threading.Lock()
        self._closed = False

    def tell_watched(self, feed: str, anybody: bool) -> None:
        """Tell the driver that somebody looks at a feed of frames, or nobody any more; not once it is being closed."""
        with self._telling:
            if not self._closed:
                self.driver.watched(feed, anybody)

    def close(self) -> None:
        told = self._telling.acquire(timeout=TELL_SECONDS)
        self._closed = True
        if told:
            self._telling.release()
        for part in (self.driver, self.outlet):
            try:
                part.close()
            except BaseException:
                log.exception("device did not close cleanly device=%s", self.driver.link.name)


def open_device(
    declaration: DeviceDeclaration,
    folder: Path,
    outlet: Outlet,
    on_lost: Callable[[str], None],
    on_driver: Callable[[Driver[Any]], None],
) -> OpenDevice:
    """Open a declared device. on_driver: is given the driver before it is opened, so that it can be interrupted.

    Errors: what the driver's `open()` raises; nothing is left open then.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    driver = declaration.driver(declaration.options, Link(declaration.full_name, folder, outlet, on_lost))
    device = OpenDevice(driver, outlet)
    on_driver(driver)
    try:
        driver.open()
        outlet.opened(device.tell_watched)
    except BaseException:
        device.close()
        raise
    return device
