"""Drivers that each break one rule of the contract, and a good one that breaks none. For test_contract."""

from __future__ import annotations

import os
import threading
from typing import Annotated, Any

from pydantic import Field

from labkit.plugin import DeviceOfflineError, Driver, DriverOptions, Feed, InterruptedCallError, SafeStateError, command

Seconds = Annotated[float, Field(ge=0, le=60)]


class PumpOptions(DriverOptions):
    """A pump."""

    strokes: int = Field(default=3, description="Strokes in a second.")


class GoodPump(Driver[PumpOptions]):
    """A pump that keeps every rule; the others below are this one with one thing wrong."""

    kind = "pump"
    level = Feed(int, help="Strokes since it was opened.")

    def __init__(self, options: PumpOptions, link: Any):
        super().__init__(options, link)
        self.opened = False
        self.running = False
        self.changed = threading.Condition()
        self.waiting: set[object] = set()

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.opened = False

    def make_safe(self) -> None:
        self.use()
        self.running = False

    def interrupt(self) -> None:
        with self.changed:
            self.waiting.clear()
            self.changed.notify_all()

    def use(self) -> None:
        if not self.opened:
            raise DeviceOfflineError(f"'{self.link.name}' is not open.", device=self.link.name)

    @command
    def stroke(self, count: int = 1) -> int:
        """Do so many strokes."""
        self.use()
        self.level.emit(count)
        return count

    @command
    def pump(self, seconds: Seconds = 1.0) -> None:
        """Pump for so many seconds."""
        self.use()
        mine = object()
        with self.changed:
            self.waiting.add(mine)
            self.running = True
            if self.changed.wait_for(lambda: mine not in self.waiting, seconds):
                raise InterruptedCallError(f"'{self.link.name}' was interrupted.")
            self.waiting.discard(mine)


class PumpWithoutKind(GoodPump):
    """It has no kind."""

    kind = ""


class PumpWithoutHelp(GoodPump):
    """A command says nothing of itself."""

    @command
    def prime(self) -> None:
        self.use()


class PumpThatTakesAnything(GoodPump):
    """An argument of a command has no type."""

    @command
    def prime(self, how=1) -> None:  # type: ignore[no-untyped-def]
        """Fill it."""
        self.use()


class PumpThatWearsOut(GoodPump):
    """Its thirtieth opening fails."""

    openings = 0

    def open(self) -> None:
        type(self).openings += 1
        if self.openings == 30:
            raise RuntimeError("no more handles")
        super().open()


class PumpThatClosesOnce(GoodPump):
    """Closing it a second time fails."""

    def close(self) -> None:
        if not self.opened:
            raise ValueError("it is closed")
        super().close()


class PumpThatGivesItself(GoodPump):
    """A command returns what can't be sent."""

    @command
    def prime(self) -> object:
        """Fill it."""
        self.use()
        return self


class PumpThatWorksClosed(GoodPump):
    """A command works on a closed device."""

    @command
    def stroke(self, count: int = 1) -> int:
        """Do so many strokes."""
        return count


class PumpWithoutHandle(GoodPump):
    """Closed, it stumbles over its own None."""

    handle: Any = None

    def open(self) -> None:
        super().open()
        self.handle = "abc"

    def close(self) -> None:
        super().close()
        self.handle = None

    def make_safe(self) -> None:
        self.handle.upper()


class PumpThatStaysUnsafe(GoodPump):
    """After one of its commands it can't be made safe."""

    primed = False

    @command
    def prime(self) -> None:
        """Fill it."""
        self.use()
        self.primed = True

    def make_safe(self) -> None:
        super().make_safe()
        if self.primed:
            raise SafeStateError(f"'{self.link.name}' reads back running.")


class PumpThatFeelsIll(GoodPump):
    """Its health says that something is wrong when nothing is."""

    def health(self) -> None:
        raise RuntimeError("pressure is 0")


class PumpThatRemembersInterrupts(GoodPump):
    """An interrupt that comes while it is idle hits the next command."""

    interrupted = False

    def interrupt(self) -> None:
        if not self.waiting:
            self.interrupted = True
        super().interrupt()

    @command
    def stroke(self, count: int = 1) -> int:
        """Do so many strokes."""
        self.use()
        if self.interrupted:
            self.interrupted = False
            raise InterruptedCallError(f"'{self.link.name}' was interrupted.")
        self.level.emit(count)
        return count


class DeafPump(GoodPump):
    """A command doesn't feel an interrupt before it is well over."""

    @command
    def pump(self, seconds: Seconds = 1.0) -> None:
        """Pump for so many seconds."""
        self.use()
        threading.Event().wait(min(seconds, 4.0))


class PumpThatSticks(GoodPump):
    """When a command was interrupted, it can't be made safe."""

    stuck = False

    def interrupt(self) -> None:
        self.stuck = bool(self.waiting)
        super().interrupt()

    def make_safe(self) -> None:
        super().make_safe()
        if self.stuck:
            raise RuntimeError("the valve is stuck")


class PumpThatSaysNonsense(GoodPump):
    """It gives text where its feed promises numbers, past labkit's own check."""

    @command
    def stroke(self, count: int = 1) -> int:
        """Do so many strokes."""
        self.use()
        self.link.emit("level", "many")
        return count


class PumpThatEmitsNonsense(GoodPump):
    """It tries to give text where its feed promises numbers."""

    @command
    def prime(self) -> None:
        """Fill it."""
        self.use()
        self.level.emit("many")


class PumpThatTalksOn(GoodPump):
    """It gives something a moment after it was closed."""

    def close(self) -> None:
        if self.opened:
            timer = threading.Timer(0.1, self.level.emit, [1])
            timer.daemon = True
            timer.start()
        super().close()


class PumpThatLeaksFiles(GoodPump):
    """Each opening leaves a descriptor."""

    def open(self) -> None:
        if not self.opened:
            os.dup(2)
        super().open()


class PumpThatLeaksThreads(GoodPump):
    """Each opening leaves a thread."""

    def open(self) -> None:
        if not self.opened:
            threading.Thread(target=threading.Event().wait, args=(60,), daemon=True, name="pump-leak").start()
        super().open()


class PumpWhoseThreadDies(GoodPump):
    """A thread of its own dies of an error that nobody sees."""

    @command
    def prime(self) -> None:
        """Fill it."""
        self.use()
        thread = threading.Thread(target=lambda: 1 // 0, name="pump-reader")
        thread.start()
        thread.join()
