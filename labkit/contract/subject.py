"""Subject: the driver that is tried: its class, its options, and how faults come over it. Used by the rules.

It opens the driver as a host does: an instance, a link and a thread for each opening, in one folder for all of them.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from labkit.clock import Deadline
from labkit.contract.hands import AT_ONCE, INTERRUPT_SECONDS, Act, Hands, NotApplicable, RuleBroken, aside
from labkit.contract.heard import ListeningLink
from labkit.contract.samples import long_sample, short_sample
from labkit.errors import DeviceOfflineError, InterruptedCallError
from labkit.plugin import CommandSpec, Driver, DriverOptions, Frame, Twin, commands_of, feeds_of

CLOSE_SECONDS = 5.0
RECOVERY_SECONDS = 30.0
"""Seconds that a device has to be back after it was plugged in again."""
_PAUSE = 0.2

Arguments = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of a command that was called with made-up or given arguments. error: what it raised."""

    name: str
    arguments: Arguments
    value: Any = None
    error: BaseException | None = None
    blocked: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(kw_only=True, eq=False)
class Subject:
    """The driver under test.

    declared: the class that has the kind. options: with `simulate` its twin is opened. calls: arguments to try a
    command with, by its name; long_calls: arguments with which it takes long. call_commands: whether commands may be
    called at all (real hardware moves). inject: how a fault comes over it, where it is not by the twin's own method.
    """

    declared: type[Driver[Any]]
    options: DriverOptions
    folder: Path
    name: str = "bench-1/tried"
    calls: Mapping[str, Arguments] = field(default_factory=dict)
    long_calls: Mapping[str, Arguments] = field(default_factory=dict)
    call_commands: bool = True
    inject: Callable[[str], None] | None = None
    links: list[ListeningLink] = field(default_factory=list)

    @property
    def driver(self) -> type[Driver[Any]]:
        """The class that is opened."""
        return self.declared.simulated or self.declared if self.options.simulate else self.declared

    @cached_property
    def commands(self) -> Mapping[str, CommandSpec]:
        return commands_of(self.driver)

    def instance(self) -> Driver[Any]:
        """A driver that is not open, with a link of its own."""
        link = ListeningLink(self.name, self.folder, feeds_of(self.driver))
        self.links.append(link)
        return self.driver(self.options, link)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Opening]:
        """An opening of its own, closed at the end of the block. Errors: what opening raises, `RuleBroken`.

        The commands are tried before, whichever rule comes first: a device is open only once at a time.
        """
        with contextlib.suppress(Exception):  # whoever needs what was tried hears of it
            _ = self.tried
        with self._opened() as opening:
            yield opening

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Opening]:
        opening = Opening(self)
        try:
            opening.open()
            yield opening
        finally:
            opening.leave()

    # -- commands

    @cached_property
    def tried(self) -> tuple[Tried, ...]:
        """Each command, called once for a short and, where it can be made to take long, once for a long time."""
        if not self.call_commands:
            return ()
        with self._opened() as opening:
            found = []
            for spec in self.commands.values():
                found.append(opening.try_command(spec, self.calls.get(spec.name) or short_sample(spec)))
                slow = self.long_calls.get(spec.name) or long_sample(spec)
                if slow is not None and not found[-1].blocked:
                    found.append(opening.try_command(spec, slow))
            return tuple(found)

    @property
    def quick(self) -> list[Tried]:
        """The calls that came to their end by themselves, without an error. Errors: `NotApplicable`."""
        found = [tried for tried in self.tried if not tried.blocked and tried.error is None]
        if not found:
            raise NotApplicable(self._why_none("ended well"))
        return found

    @property
    def blocking(self) -> list[Tried]:
        """The calls that wait for something. Errors: `NotApplicable`."""
        found = [tried for tried in self.tried if tried.blocked]
        if not found:
            raise NotApplicable(self._why_none("waits for anything"))
        return found

    def _why_none(self, what: str) -> str:
        if not self.call_commands:
            return "Its commands are not called on real hardware unless that is asked for."
        if not self.commands:
            return "It has no commands."
        return f"No command of it {what}, with the arguments that were tried."

    # -- faults

    def cause(self, fault: str) -> None:
        """Bring a fault over the device, one of `labkit.plugin.FAULTS`. Errors: `NotApplicable`."""
        try:
            if self.inject is not None:
                self.inject(fault)
            elif issubclass(self.driver, Twin):
                self.driver(self.options, ListeningLink(self.name, self.folder, {})).inject(fault)
            else:
                raise NotApplicable(f"{self.driver.__name__} has no faults on demand: it is no labkit.plugin.Twin.")
        except NotImplementedError:
            raise NotApplicable(f"Nothing here brings the fault '{fault}' about.") from None

    @contextlib.contextmanager
    def under(self, fault: str) -> Iterator[None]:
        """The fault holds while the block lasts."""
        self.cause(fault)
        try:
            yield
        finally:
            self.cause("plug" if fault == "unplug" else "normal")

    def open_again(self) -> None:
        """Open, make safe and close, as often as it takes, as the host does. Errors: `RuleBroken` after 30 s."""
        deadline, why = Deadline(RECOVERY_SECONDS), ""
        while True:
            try:
                with self.opened() as opening:
                    opening.make_safe()
                    return
            except DeviceOfflineError as error:
                why = str(error)
            if deadline.over:
                raise RuleBroken(f"It is not back after {RECOVERY_SECONDS:g} s: {why}")
            threading.Event().wait(min(_PAUSE, deadline.left()))


class Opening:
    """One opening of the subject. What uses the driver runs on a thread of its own, `interrupt` beside it."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.driver = subject.instance()
        self.link = subject.links[-1]
        self.hands = Hands(f"tried:{subject.driver.__name__}")

    def open(self) -> None:
        self.hands.do("open()", self.driver.open)
        for feed in feeds_of(self.subject.driver).values():
            if feed.type is Frame:
                aside("watched()", partial(self.driver.watched, feed.name, True), AT_ONCE)

    def make_safe(self) -> None:
        """Make it safe. Errors: its own."""
        self.hands.do("make_safe()", self.driver.make_safe)

    def close(self) -> None:
        """Close it. Errors: its own, `RuleBroken` where it hangs."""
        self.hands.do("close()", self.driver.close, CLOSE_SECONDS)
        self.link.closed = True

    def leave(self) -> None:
        """Close it whatever happened before, and end its thread; never raises."""
        with contextlib.suppress(Exception):
            aside("interrupt()", self.driver.interrupt, AT_ONCE)
        with contextlib.suppress(Exception):
            self.close()
        self.hands.end()

    def begin(self, tried: Tried) -> Act:
        """Begin a command; returns at once."""
        return self._begin(self.subject.commands[tried.name], tried.arguments)

    def call(self, tried: Tried) -> Any:
        """Use a command to its end. Errors: its own, `RuleBroken`."""
        return self.begin(tried).result()

    def interrupt(self) -> None:
        """Interrupt it from another thread, as the host does. Errors: `RuleBroken` where that does not return at
        once."""
        aside("interrupt()", self.driver.interrupt, AT_ONCE)

    def end(self, act: Act) -> None:
        """Interrupt an act that blocks. Errors: `RuleBroken` where it goes on."""
        self.interrupt()
        if not act.wait(INTERRUPT_SECONDS):
            raise RuleBroken(f"{act.what} still ran {INTERRUPT_SECONDS:g} s after interrupt().")

    def try_command(self, spec: CommandSpec, arguments: Arguments) -> Tried:
        """Call a command; one that blocks is interrupted."""
        act = self._begin(spec, arguments)
        blocked = act.blocks()
        if blocked:
            with contextlib.suppress(Exception):
                self.end(act)
            if not act.ended:
                self._begin_anew()
        error = act.error if act.ended and not (blocked and isinstance(act.error, InterruptedCallError)) else None
        return Tried(name=spec.name, arguments=arguments, value=act.value, error=error, blocked=blocked)

    def _begin_anew(self) -> None:
        """Leave a driver behind that hangs, and go on with another instance."""
        self.driver, self.hands = self.subject.instance(), Hands(self.hands.thread.name)
        self.link = self.subject.links[-1]
        with contextlib.suppress(Exception):
            self.open()

    def _begin(self, spec: CommandSpec, arguments: Arguments) -> Act:
        return self.hands.begin(f"{spec.name}()", lambda: _to_the_end(spec, self.driver, arguments))


def _to_the_end(spec: CommandSpec, driver: Driver[Any], arguments: Arguments) -> Any:
    """Use a command, all its steps one after another. Errors: its own."""
    result = spec.function(driver, **spec.bind([], dict(arguments)))
    if not inspect.isgenerator(result):
        return result
    while True:
        try:
            next(result)
        except StopIteration as end:
            return end.value
