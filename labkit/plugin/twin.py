"""Twin: what a simulated device has besides its driver's surface: faults that can be had on demand. For plugin authors.

`labkit sim unplug DEVICE` makes a running twin misbehave, from any terminal of the machine that simulates it.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from labkit.errors import DeviceOfflineError, InterruptedCallError
from labkit.plugin.driver import DeviceLink, Driver
from labkit.plugin.faults import FaultFile, FaultListener

FAULTS = ("unplug", "plug", "hang", "garbage", "slow", "normal")
"""unplug: gone until `plug`. hang: does not answer. garbage: what it says is noise. slow: all takes its time.
normal: none of these any more."""

SLOW_SECONDS = 1.0
"""How long each operation of a slow twin takes at least."""

V = TypeVar("V", bytes, str, int, float)


class Twin(Driver[Any]):
    """Mixin of simulated twins. The twin says where things can go wrong, and so has each fault of `FAULTS`:

        class SimulatedFan(Twin, Fan):
            def open(self) -> None:
                self.simulate("open")
                self._speed = 0

            @command
            def speed(self) -> int:
                self.simulate("speed")
                return self.garbled(self._speed)

    Where it has a `close` or an `interrupt` of its own, that calls `super()`'s. A fault stays until it is taken back,
    the device opened anew or not; it ends with the process.
    """

    def __init__(self, options: Any, link: DeviceLink):
        super().__init__(options, link)
        self._simulation = _Simulation(link)

    def simulate(self, what: str) -> None:
        """Behave as the faults say: first thing in `open` (`what` is "open" then), in `make_safe` and each command.

        Without a fault it returns at once. Unplugged: raises `DeviceOfflineError`. Hanging: blocks until that is taken
        back. Slow: takes `SLOW_SECONDS`. `interrupt` ends what blocks: `InterruptedCallError`.
        """
        if what == "open":
            self._simulation.begin()
        else:
            self._simulation.endure(what)

    def garbled(self, value: V) -> V:
        """What the device says: the value itself, or with the fault `garbage` noise of its type and length."""
        return _noise(value) if "garbage" in self.injected() else value

    def close(self) -> None:
        self._simulation.end()
        _unless_driver(super().close)

    def interrupt(self) -> None:
        self._simulation.interrupt()
        _unless_driver(super().interrupt)

    def inject(self, fault: str) -> None:
        """Have this fault, one of `FAULTS`, from now on. Called on an instance that is not open, in any process of the
        machine that simulates the device. Errors: ConnectionError where nobody simulates it at the moment."""
        if fault not in FAULTS:
            raise ValueError(f"There is no fault '{fault}'. There are: {', '.join(FAULTS)}.")
        self._simulation.file.change(lambda faults: apply_fault(faults, fault))

    def injected(self) -> frozenset[str]:
        """The faults that it has now: of unplug, hang, garbage, slow. Where and with which errors: as `inject`."""
        return self._simulation.file.read()


def apply_fault(faults: set[str], fault: str) -> None:
    """Change what is wrong with a device as one of `FAULTS` says."""
    if fault == "normal":
        faults.clear()
    elif fault == "plug":
        faults.discard("unplug")
    else:
        faults.add(fault)


class _Simulation:
    """The state of one twin. In an object of its own, so that a mixin takes no names from its author's class."""

    def __init__(self, link: DeviceLink):
        self._link = link
        self._folder = Path(link.folder)
        self._listener: FaultListener | None = None
        self._changed = threading.Condition()
        self._changes = 0
        self._interrupts = 0
        self._unplugged = f"The simulated '{link.name}' is unplugged. Plug it in: labkit sim plug {link.name}"
        self.file = FaultFile(self._folder, link.name)

    def begin(self) -> None:
        """Open: listen from now on. Where that fails, nothing is left behind."""
        if self._listener is not None and self._listener.is_alive():
            return
        self.end()
        self.file.take()
        self._listener = FaultListener(self._folder, f"twin:{self._link.name}", self._hear)
        try:
            self._listener.start()
            self.endure("open")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def endure(self, what: str) -> None:
        began, interrupts, changes = time.monotonic(), self._interrupts, self._changes
        while (seconds := self._trouble(began)) > 0:  # looks at a file that others may hold, so without our lock
            with self._changed:
                if self._changes == changes:  # nothing has happened since it looked
                    self._changed.wait(seconds)
                changes = self._changes
            if self._interrupts != interrupts:
                raise InterruptedCallError(
                    f"The {what} on '{self._link.name}' was interrupted: its session is over, or it took too long.",
                    device=self._link.name,
                )

    def interrupt(self) -> None:
        with self._changed:
            self._interrupts += 1
            self._tell_change()

    def _trouble(self, began: float) -> float:
        """Seconds that what began then must still take; 0 where it may go on. Errors: `DeviceOfflineError`."""
        faults = self.file.read()
        if "unplug" in faults:
            raise DeviceOfflineError(self._unplugged, device=self._link.name)
        if "hang" in faults:
            return 3600.0
        return max(0.0, began + SLOW_SECONDS - time.monotonic()) if "slow" in faults else 0.0

    def _hear(self) -> bool:
        """Something was injected: who waits looks again, and the host hears of an unplug. True: listen on."""
        unplugged = "unplug" in self.file.read()
        self._tell_change()
        if unplugged:
            self._link.lost(self._unplugged)
        return not unplugged

    def _tell_change(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()


def _unless_driver(method: Callable[[], None]) -> None:
    """Call the next class's method; `Driver` itself has none."""
    if getattr(method, "__func__", None) not in (Driver.close, Driver.interrupt):
        method()


def _noise(value: V) -> V:
    if isinstance(value, bytes):
        return os.urandom(len(value))
    if isinstance(value, str):
        return "".join(chr(random.randint(33, 126)) for _ in value)
    if isinstance(value, bool):
        return random.random() < 0.5
    return type(value)(random.uniform(-1, 1) * 10 ** random.randint(0, 6))
