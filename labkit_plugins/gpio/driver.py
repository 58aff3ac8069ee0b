"""Gpio: lines of a GPIO chip. The driver says what one can do with lines; its neighbours say how.

`lines.py` is what the driver needs of a chip, `kernel.py` a real one by gpiod, `simulated.py` the twin's; `chips.py`
finds chips, `reader.py` waits for edges.
"""

from __future__ import annotations

import difflib
import errno
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from labkit.plugin import (
    CommandError,
    DeviceLink,
    DeviceOfflineError,
    Driver,
    Feed,
    Found,
    SafeStateError,
    command,
)
from labkit_plugins.gpio.lines import Edge, Lines
from labkit_plugins.gpio.options import GpioOptions, Level
from labkit_plugins.gpio.reader import EdgeReader
from labkit_plugins.in_children import let_go_in_children
from labkit_plugins.interruption import Interruptions, Operation

LONGEST_PULSE = 10_000

Milliseconds = Annotated[int, Field(ge=1, le=LONGEST_PULSE)]

_LOOK = "Something else drives it: look at its wiring."
_NOT_GONE = {errno.EINVAL, errno.EPERM, errno.EBUSY, errno.EOPNOTSUPP}


class ReadBackError(SafeStateError):
    """An output was set and reads back differently: something else drives its line."""


class Gpio(Driver[GpioOptions]):
    """Lines of a GPIO chip: LEDs, relays, buttons, end switches. Levels are 1 (on) and 0 (off)."""

    kind = "gpio"
    levels = Feed(dict[str, int], help="The level of every line by name, each time that one was set or has changed.")
    edges = Feed(Edge, help="Each change of an input: line, level, at (UTC seconds, by the kernel), seqno.")

    def __init__(self, options: GpioOptions, link: DeviceLink):
        super().__init__(options, link)
        self._interruptions = Interruptions(link.name)
        self._lines: Lines | None = None
        self._reader: EdgeReader | None = None
        self._written: dict[str, int] = {}
        self._picture: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._picture_lock = threading.Lock()
        self._gone: str | None = None
        self._gone_lock = threading.Lock()
        let_go_in_children(self)

    def open(self) -> None:
        """Take all lines at once; outputs begin at their initial level, without a moment of another one."""
        if self._lines is not None and self._gone is None:
            return
        self.close()
        self._gone = None
        self._picture, self._changed = {}, {}
        self._lines = self._request_lines()
        self._written = self.options.initial_levels
        self._reader = EdgeReader(f"edges:{self.link.name}", self._lines, heard=self._hear, lost=self._notice_unplug)
        self._reader.start()

    def close(self) -> None:
        """Set the outputs to their safe levels and give the lines back; what they do from then on is up to the chip."""
        self._interruptions.interrupt()
        reader, self._reader = self._reader, None
        lines, self._lines = self._lines, None
        try:
            if reader is not None:
                reader.stop()
        finally:  # the outputs become safe, whatever happens to the thread
            if lines is not None:
                lines.close(self.options.safe_levels)

    def let_go(self) -> None:
        """In a forked child: drop the inherited lines, so that only the parent's life keeps them."""
        lines, self._lines, self._reader = self._lines, None, None
        if lines is not None:
            lines.let_go()

    def make_safe(self) -> None:
        """Set all outputs to their safe levels, in one moment where the chip can, and read them back."""
        safe = self.options.safe_levels
        with self._using("make-safe") as (lines, operation):
            wrong = self._different(self._set(lines, safe, operation))
        if wrong:
            raise SafeStateError(
                f"'{self.link.name}' is not safe: {self._deviations(wrong)}. {_LOOK}", device=self.link.name
            )

    def interrupt(self) -> None:
        """End a pulse, or a wait for a chip that does not answer."""
        self._interruptions.interrupt()

    def health(self) -> None:
        """Look whether the chip answers and the outputs are as they were written last."""
        with self._using("health check") as (lines, operation):
            self._refuse_different(self._read(lines, operation))

    @command(panel=True)
    def write(self, line: str, value: Level) -> int:
        """Set an output to 1 or 0 and read it back; returns its level."""
        self._output(line)
        with self._using("write") as (lines, operation):
            return self._set_one(lines, line, value, operation)

    @command
    def read(self, line: str) -> int:
        """Return the level of a line, 1 or 0; of an output what it really is."""
        self._known(line)
        with self._using("read") as (lines, operation):
            return self._read(lines, operation)[line]

    @command(panel=True)
    def toggle(self, line: str) -> int:
        """Set an output to the opposite of what it was set to, and read it back; returns its level."""
        self._output(line)
        with self._using("toggle") as (lines, operation):
            return self._set_one(lines, line, 1 - self._written[line], operation)

    @command(panel=True, timeout=LONGEST_PULSE / 1000 + 5)
    def pulse(self, line: str, ms: Milliseconds = 200) -> None:
        """Set an output to its opposite for so many milliseconds, at most 10000, and back; blocks until it is back."""
        self._output(line)
        with self._using("pulse") as (lines, operation):
            before = self._written[line]
            try:
                self._set_one(lines, line, 1 - before, operation)
                operation.wait(ms / 1000)
            finally:  # also where it was interrupted, so not as a part of this operation
                self._set_one(lines, line, before, None)

    @command(panel=True)
    def all(self) -> dict[str, int]:
        """Return the level of every line by name."""
        with self._using("all") as (lines, operation):
            return self._read(lines, operation)

    @command(panel=True)
    def lines(self) -> dict[str, dict[str, int | str]]:
        """Return number, direction ("in" or "out") and level of every line by name."""
        with self._using("lines") as (lines, operation):
            levels = self._read(lines, operation)
        declared = self.options.lines.items()
        return {name: {"line": o.line, "direction": o.direction, "level": levels[name]} for name, o in declared}

    @classmethod
    def scan(cls) -> Sequence[Found]:
        from labkit_plugins.gpio.chips import Chips

        return Chips().scan()

    def _request_lines(self) -> Lines:
        """The lines, open. The twin has its own. Errors: `DeviceOfflineError`."""
        from labkit_plugins.gpio.kernel import request_lines  # gpiod comes in here, and not before

        return request_lines(self.options, self.link.name)

    # -- levels

    def _set_one(self, lines: Lines, line: str, value: int, operation: Operation | None) -> int:
        picture = self._set(lines, {line: value}, operation)
        self._refuse_different({line: picture[line]})
        return picture[line]

    def _set(self, lines: Lines, levels: Mapping[str, int], operation: Operation | None) -> dict[str, int]:
        """Set outputs, and tell what all lines read back."""
        self._written |= levels
        lines.write(levels, operation)
        picture = self._read_all(lines, operation)
        self._tell(picture, always=True)
        return picture

    def _read(self, lines: Lines, operation: Operation) -> dict[str, int]:
        picture = self._read_all(lines, operation)
        self._tell(picture)
        return picture

    def _read_all(self, lines: Lines, operation: Operation | None) -> dict[str, int]:
        """Read all lines. An edge that is heard from now on may be newer than what is read: it is told on top of it."""
        with self._picture_lock:
            self._changed = {}
        return lines.read(operation)

    def _tell(self, levels: Mapping[str, int], *, always: bool = False) -> None:
        """Give the whole picture to the feed where it is news; `always`: also where it is not, to confirm a write."""
        with self._picture_lock:  # the reader tells edges at the same time
            picture = {**self._picture, **levels, **self._changed}
            if always or picture != self._picture:
                self._picture = picture
                self.levels.emit(picture)

    def _hear(self, edges: Sequence[Edge]) -> None:
        for edge in edges:
            self.edges.emit(edge)
        levels = {edge.line: edge.level for edge in edges if self.options.lines[edge.line].edges == "both"}
        with self._picture_lock:
            self._changed |= levels
        self._tell(levels)

    # -- what is refused

    def _different(self, levels: Mapping[str, int]) -> dict[str, int]:
        """Those of these levels that belong to outputs which hold their line elsewhere."""
        return {
            name: level
            for name, level in levels.items()
            if name in self._written
            and level != self._written[name]
            and self.options.lines[name].drives(self._written[name])
        }

    def _refuse_different(self, levels: Mapping[str, int]) -> None:
        wrong = self._different(levels)
        if wrong:
            raise ReadBackError(
                f"'{self.link.name}' is not as it was set: {self._deviations(wrong)}. {_LOOK}", device=self.link.name
            )

    def _deviations(self, wrong: Mapping[str, int]) -> str:
        chip = self._lines.chip if self._lines is not None else self.options.chip
        told = (
            f"line '{name}' (line {self.options.lines[name].line} of chip {chip}) was set to {self._written[name]} "
            f"but reads back {level}"
            for name, level in wrong.items()
        )
        return ", ".join(told)

    def _known(self, line: str) -> None:
        known = self.options.lines
        if line not in known:
            near = difflib.get_close_matches(line.lower(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise CommandError(
                f"'{self.link.name}' has no line '{line}'.{hint} Its lines: {', '.join(known)}.", device=self.link.name
            )

    def _output(self, line: str) -> None:
        self._known(line)
        outputs = self.options.outputs
        if line not in outputs:
            there = f"Outputs: {', '.join(outputs)}." if outputs else "It has no outputs."
            raise CommandError(
                f"Line '{line}' of '{self.link.name}' is an input and can only be read. {there}", device=self.link.name
            )

    @contextmanager
    def _using(self, what: str) -> Iterator[tuple[Lines, Operation]]:
        """The open lines for one operation, which `interrupt` can end. Errors: `DeviceOfflineError`."""
        self._refuse_if_gone()
        lines = self._lines
        if lines is None:
            raise DeviceOfflineError(f"'{self.link.name}' is not open, so {what} can't be done.", device=self.link.name)
        with self._interruptions.running(what) as operation, self._noticing_unplug():
            yield lines, operation

    @contextmanager
    def _noticing_unplug(self) -> Iterator[None]:
        """An OSError of the chip means that it has gone, unless it says that the chip can't do what was asked."""
        try:
            yield
        except DeviceOfflineError:
            raise
        except OSError as error:
            if error.errno in _NOT_GONE:
                raise
            self._notice_unplug(error.strerror or str(error))
            self._refuse_if_gone()

    def _notice_unplug(self, reason: str) -> None:
        """Called by the reader and by commands; the host hears of it once."""
        with self._gone_lock:
            first, self._gone = self._gone is None, self._gone or reason
        if first:
            self.link.lost(f"The GPIO chip of '{self.link.name}' has gone ({reason}).")

    def _refuse_if_gone(self) -> None:
        if self._gone is not None:
            raise DeviceOfflineError(
                f"The GPIO chip of '{self.link.name}' has gone ({self._gone}). It is opened again when it is back.",
                device=self.link.name,
            )
