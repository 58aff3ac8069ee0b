"""A device that takes no time, for measuring what is not the device; or as much as it is told to."""

from __future__ import annotations

import threading
import time

from labkit import hookimpl
from labkit.plugin import Driver, DriverOptions, command


class Echo(Driver[DriverOptions]):
    kind = "echo"

    def open(self) -> None:
        self._woken = threading.Event()

    def close(self) -> None:
        pass

    def make_safe(self) -> None:
        pass

    def interrupt(self) -> None:
        self._woken.set()

    @command
    def echo(self, value: str) -> str:
        """Give back what it is given."""
        return value

    @command
    def clocked(self, value: str) -> list[float]:
        """Say when it began and when it ended."""
        entered = time.perf_counter()
        return [entered, time.perf_counter()]

    @command
    def nap(self, seconds: float) -> float:
        """Take so long."""
        self._woken.clear()
        self._woken.wait(seconds)
        return seconds


@hookimpl
def labkit_drivers() -> list[type[Driver[DriverOptions]]]:
    return [Echo]
