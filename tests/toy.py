"""A driver for tests that does what a test tells it to, and writes down what reached the device.

What a `Toy` does goes to the `World` that its option `world` names: its far end, where a test looks.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from labkit.errors import DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin import Driver, DriverOptions, Feed, command
from labkit.threads import LabThread

GUARD = 30.0
"""Seconds after which a test that waits has failed."""


def wait_until(true: Callable[[], Any], what: str = "it", seconds: float = GUARD) -> Any:
    """Look again and again until something is true, and return it; fails after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, f"{what} did not come true within {seconds} s"
        time.sleep(0.002)
    return found


class NoThread(LabThread):
    """A thread where the system has none left."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


class World:
    """The far end of toys: what reached them, in order, and how they shall behave."""

    known: ClassVar[dict[str, World]] = {}

    def __init__(self) -> None:
        self.name = f"world-{secrets.token_hex(4)}"
        self.acts: list[Any] = []
        self.failing: dict[str, BaseException] = {}
        """'open', 'make_safe', 'close' -> what it raises."""
        self.gates: dict[str, threading.Event] = {}
        """'open', 'make_safe', 'interrupt' or a command's word -> what it waits for, deaf to an interrupt."""
        self.toys: list[Toy] = []
        self.known[self.name] = self

    def do(self, what: Any) -> None:
        self.acts.append(what)

    def hold(self, what: str) -> threading.Event:
        """Make an operation hang until the event that is returned is set."""
        self.gates[what] = threading.Event()
        return self.gates[what]

    def let_go(self) -> None:
        """Have everything go on that hangs."""
        for gate in self.gates.values():
            gate.set()

    def offline(self) -> None:
        self.failing["open"] = DeviceOfflineError("it is unplugged")

    @property
    def open_now(self) -> int:
        return sum(toy.is_open for toy in self.toys)

    def count(self, what: Any) -> int:
        return self.acts.count(what)


class ToyOptions(DriverOptions):
    world: str


class Toy(Driver[ToyOptions]):
    """Its commands write their arguments down in its world."""

    kind = "toy"
    received = Feed(bytes)
    state = Feed(dict[str, int])

    is_open = False

    def __init__(self, options: ToyOptions, link: Any):
        super().__init__(options, link)
        self.world = World.known[options.world]
        self._blocked = threading.Condition()
        self._blocking = False

    def open(self) -> None:
        self._pass("open")
        self.world.toys.append(self)
        self.is_open = True
        self.world.do("open")

    def close(self) -> None:
        self._wait_at("close")
        if self.is_open:
            self.is_open = False
            self.world.do("close")
        if "close" in self.world.failing:
            raise self.world.failing["close"]

    def make_safe(self) -> None:
        self._pass("make_safe")
        self.world.do("safe")

    def interrupt(self) -> None:
        self._pass("interrupt")
        self.world.do("interrupt")
        with self._blocked:
            self._blocking = False
            self._blocked.notify_all()

    def _wait_at(self, what: str) -> None:
        gate = self.world.gates.get(what)
        if gate is not None:
            self.world.do(f"{what} hangs")
            assert gate.wait(GUARD)

    def _pass(self, what: str) -> None:
        self._wait_at(what)
        if what in self.world.failing:
            raise self.world.failing[what]

    @command(panel=True)
    def write(self, what: Any) -> Any:
        """Write something down."""
        self.world.do(what)
        return what

    @command
    def block(self) -> None:
        """Block until interrupted, as a good driver does."""
        with self._blocked:
            self._blocking = True
            self.world.do("blocks")
            assert self._blocked.wait_for(lambda: not self._blocking, GUARD)
        raise InterruptedCallError("interrupted")

    @command
    def hang(self, what: str = "hang") -> str:
        """Hang, deaf to an interrupt, until the test opens the gate."""
        self._pass(what)
        self.world.do("hung")
        return "late"

    @command(panel=True)
    def steps(self, what: Any, count: int, gate: str = "") -> Iterator[None]:
        """Write something down `count` times, giving the thread back in between."""
        try:
            for number in range(count):
                self.world.do([what, number])
                yield
                if gate:
                    self._pass(gate)
        finally:
            self.world.do([what, "end"])
        return [what, count]  # type: ignore[return-value]

    @command
    def fail(self, how: str) -> None:
        """Raise."""
        errors: dict[str, BaseException] = {
            "value": ValueError("no such thing"),
            "offline": DeviceOfflineError("it was pulled out"),
            "unsafe": SafeStateError("red reads back 1"),
            "exit": SystemExit("a library calls exit"),
        }
        raise errors[how]

    @command(timeout=2.5)
    def read(self, until: bytes, timeout: float = 1.5) -> bytes:
        """For what a caller knows of a command."""
        return until

    @command
    def thing(self) -> object:
        """Give back what can't be stored."""
        return object()

    def _unplug(self, reason: str) -> None:
        self.link.lost(reason)
