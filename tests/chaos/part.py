"""One process of a lab that faults are done to: it is killed, stopped, given another time, and started again.

Used by `chaos_lab` and the faults; what the kernel says of a process also by what looks for leaks.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.store_proxy import StoreProxy
from tests.prepared import Prepared

NOTICED = 1.0
"""Seconds after which it is surely seen that a process has died."""


class Part:
    """One process of the lab, under a name that it keeps when it is started again."""

    def __init__(self, name: str, start: Callable[[], Prepared], proxy: StoreProxy, clock: Path):
        self.name = name
        self.proxy = proxy
        self._start = start
        self._clock = clock
        self._again = 0.0
        self._gone = 0.0
        self.downs: list[tuple[float, float]] = []
        """From when to when it was not there."""
        self.process = start()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def ran_since(self, began: float) -> bool:
        """Was it there from that moment on?"""
        return self.runs and self.back_at < began

    @property
    def back_at(self) -> float:
        """When it was started again for the last time; 0 where it never was."""
        return self.downs[-1][1] if self.downs else 0.0

    def look_after(self, pause: float) -> None:
        """Start it again where it has ended."""
        if self.runs:
            return
        if not self._again:
            self._gone = time.monotonic() - NOTICED
            self._again = time.monotonic() + pause
            self.let_clock_jump(0.0)
        elif time.monotonic() >= self._again:
            self._again = 0.0
            self.process = self._start()
            self.downs.append((self._gone, time.monotonic()))

    @property
    def pids(self) -> list[int]:
        """The process and its children: of a gunicorn, its workers."""
        return [self.process.pid, *children_of(self.process.pid)] if self.runs else []

    def send(self, number: int, pids: list[int]) -> bool:
        """Send a signal. True: there was somebody to get it."""
        sent = False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                sent = True
        return sent

    def let_clock_jump(self, seconds: float) -> None:
        """Have its wall clock be so many seconds wrong from now on."""
        with open(self._clock, "r+b") as file:
            file.write(struct.pack("d", seconds))


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def links_of(pid: int) -> list[str]:
    """What a process has open."""
    folder, links = f"/proc/{pid}/fd", []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"{folder}/{name}"))
    return links
