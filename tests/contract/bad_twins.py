"""Twins that each bear one fault badly, and one that bears all of them. For test_contract."""

from __future__ import annotations

import threading
from typing import Any

from labkit.plugin import DeviceLink, DeviceOfflineError, Driver, DriverOptions, Feed, Twin, command
from tests.toy import GUARD


class GoodBell(Driver[DriverOptions]):
    """A bell; what is wrong is wrong in its twins."""

    kind = "bell"
    rung = Feed(int, help="How often it was rung.")

    opened = False
    times = 0

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.opened = False

    def make_safe(self) -> None:
        self.use()

    def interrupt(self) -> None:
        """Nothing waits here."""

    def use(self) -> None:
        if not self.opened:
            raise DeviceOfflineError(f"'{self.link.name}' is not open.", device=self.link.name)

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        self.use()
        self.times += 1
        return self.times


class BellTwin(Twin, GoodBell):
    """A twin that bears every fault."""

    def open(self) -> None:
        self.simulate("open")
        GoodBell.open(self)

    def make_safe(self) -> None:
        self.use()
        self.simulate("make_safe")

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        self.use()
        self.simulate("ring")
        return self.garbled(GoodBell.ring(self))


class TwinThatHangs(BellTwin):
    """Deaf to an interrupt while its device hangs."""

    def interrupt(self) -> None:
        """It forgets its twin's."""


class TwinThatChokes(BellTwin):
    """Stumbles over noise, with an error of its own code."""

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        self.use()
        self.simulate("ring")
        if "garbage" in self.injected():
            raise AttributeError("'NoneType' object has no attribute 'group'")
        return 1


class TwinWhoseReaderDies(BellTwin):
    """A thread of its own ends at the first noise."""

    reader: Any = None

    def open(self) -> None:
        super().open()
        if self.reader is None:
            self.ended = threading.Event()
            self.reader = threading.Thread(target=self.read, name="bell-reader", daemon=True)
            self.reader.start()

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        rung = super().ring()
        if "garbage" in self.injected():
            self.reader.join(GUARD)  # it has met the noise before that is over
        return rung

    def read(self) -> None:
        while not self.ended.wait(0.02):
            if "garbage" in self.injected():
                return

    def close(self) -> None:
        if self.reader is not None:
            self.ended.set()
            self.reader.join()
            self.reader = None
        super().close()


class TwinThatBreaksWhenSlow(BellTwin):
    """Never safe again after it was slow."""

    slow = False

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        self.slow = self.slow or "slow" in self.injected()
        return super().ring()

    def make_safe(self) -> None:
        super().make_safe()
        if self.slow:
            raise RuntimeError("answers are out of step")


class QuietLink:
    """A link by which nobody hears that the device was lost."""

    def __init__(self, link: DeviceLink):
        self.name, self.folder, self.emit, self.watched = link.name, link.folder, link.emit, link.watched

    def lost(self, reason: str) -> None:
        """Tell nobody."""


class TwinThatNeverNotices(BellTwin):
    """Goes on when it was unplugged."""

    def __init__(self, options: Any, link: DeviceLink):
        super().__init__(options, QuietLink(link))

    def simulate(self, what: str) -> None:
        try:
            super().simulate(what)
        except DeviceOfflineError:
            if what == "open":
                raise


class TwinThatCallsItFaulty(BellTwin):
    """Says that it was unplugged with an error that makes it faulty."""

    @command
    def ring(self) -> int:
        """Ring it; returns how often it was rung."""
        self.use()
        if "unplug" in self.injected():
            raise ValueError("no answer")
        return super().ring()

    def __init__(self, options: Any, link: DeviceLink):
        super().__init__(options, QuietLink(link))


def with_twin(twin: type[Twin]) -> type[Driver[Any]]:
    """The bell with this twin."""
    return type("Bell", (GoodBell,), {"simulated": twin, "__doc__": "A bell.", "__module__": __name__})
