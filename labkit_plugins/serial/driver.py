"""SerialPort: a serial device of a bench. The example of how a labkit driver is written.

The driver says what a serial port can do; how it is done is in its neighbours: `line.py` (the open tty), `ports.py`
(finding it), `scan.py` (what is there), `exclusive.py` (nobody else on it), `reader.py` and `inbox.py` (bytes in).
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from labkit.plugin import DeviceLink, DeviceOfflineError, Driver, Feed, Found, SafeStateError, command
from labkit_plugins.interruption import Interruptions, Operation
from labkit_plugins.serial.inbox import CAPACITY, Inbox
from labkit_plugins.serial.lines import Levels, Lines
from labkit_plugins.serial.options import SerialOptions, SerialSafe
from labkit_plugins.serial.ports import find_port
from labkit_plugins.serial.reader import Reader
from labkit_plugins.serial.scan import scan_ports

if TYPE_CHECKING:
    from labkit_plugins.serial.line import SerialLine

_CHUNK = 0.05  # seconds of a long read after which other commands may have the thread
_SHOWN = 200  # bytes of what came in that an error quotes

BreakSeconds = Annotated[float, Field(gt=0, le=10)]
ReadSeconds = Annotated[float, Field(ge=0, le=3600)]


class NoLinesError(RuntimeError):
    """The port has no DTR and RTS, so it can't pulse them."""


class SerialPort(Driver[SerialOptions]):
    """A serial port: a UART, a USB adapter, a board's own USB port."""

    kind = "serial"
    received = Feed(bytes, help="Bytes that the board sent.")

    def __init__(self, options: SerialOptions, link: DeviceLink, *, make_lines: Callable[[int], Lines] = Lines):
        super().__init__(options, link)
        self._make_lines = make_lines
        self._interruptions = Interruptions(link.name)
        self._inbox = Inbox()
        self._line: SerialLine | None = None
        self._reader: Reader | None = None
        self._gone: str | None = None
        self._gone_lock = threading.Lock()

    def open(self) -> None:
        """Open the port for ourselves alone. The board is not reset where its lines are kept as they are; only the
        first open after it was plugged in raises DTR and RTS, which the kernel does by itself."""
        if self._line is not None and self._gone is None:
            return
        from labkit_plugins.serial.line import SerialLine  # pyserial comes in here, and not before

        self.close()
        self._gone = None
        self._inbox.clear()
        with self._noticing_unplug():
            self._line = SerialLine(self._locate(), self.options, self.link.name, self._make_lines)
        self._reader = Reader(
            f"reader:{self.link.name}", self._line.fd, received=self._take_in, lost=self._notice_unplug
        )
        self._reader.start()

    def close(self) -> None:
        """Close the port; its lines stay as they are."""
        self._interruptions.interrupt()
        reader, self._reader = self._reader, None
        line, self._line = self._line, None
        try:
            if reader is not None:
                reader.stop()
        finally:
            if line is not None:
                line.close()

    def make_safe(self) -> None:
        """End a break, empty all queues, put the lines on their declared levels, read back; then `safe`, if declared.

        Ends by itself: within 0.5 s, and what the declaration gives to the board's answer and to writing.
        """
        with self._using("make-safe") as (line, operation):
            line.settle(operation)
            line.lines.set_break(False)
            line.configure()
            line.discard()
            self._inbox.clear()
            line.rest()
            deviations = line.deviations()
            if deviations:
                raise SafeStateError(
                    f"Port {line.path} of '{self.link.name}' was set as declared but reads back differently: "
                    f"{', '.join(deviations)}. Does its hardware support these options?",
                    device=self.link.name,
                )
            if self.options.safe is not None:
                self._make_board_safe(self.options.safe, line, operation)

    def interrupt(self) -> None:
        """End a blocked command of this port, whichever it is."""
        self._interruptions.interrupt()

    @classmethod
    def scan(cls) -> Sequence[Found]:
        """The serial ports of this machine; opens none."""
        return scan_ports()

    @command(panel=True)
    def write(self, data: bytes) -> int:
        """Send bytes to the board; returns how many. Blocks while the line is slower, as long as some bytes go out."""
        with self._using("write") as (line, operation):
            return line.write(data, operation)

    @command(timeout=60.0)
    def read_until(self, expected: bytes, timeout: ReadSeconds = 5.0) -> Generator[None, None, bytes]:
        """Return what came in up to and including `expected`, within `timeout` seconds.

        Begins with what has come in since the last read, make-safe or `flush` (the newest 64 KiB); the feed has the
        same bytes. Other commands may run meanwhile. Errors: TimeoutError, with what came in, which is kept.
        """
        if not 0 < len(expected) <= CAPACITY:
            raise ValueError(f"expected has {len(expected)} bytes; read_until can look for 1 to {CAPACITY}.")
        ends = time.monotonic() + timeout
        with self._using("read_until") as (_, operation):
            while True:
                left = ends - time.monotonic()
                taken = self._inbox.take_until(expected, max(0.0, min(left, _CHUNK)))
                if taken is not None:
                    return taken
                operation.check(f" while it waited for {expected!r}")
                self._refuse_if_gone()
                if left <= 0:
                    raise TimeoutError(
                        f"{expected!r} did not come from '{self.link.name}' within {timeout:g} s. "
                        f"Received: {_shown(self._inbox.peek())}"
                    )
                yield

    @command(panel=True)
    def send_break(self, seconds: BreakSeconds = 0.25) -> None:
        """Hold the line in a break for so many seconds, at most 10."""
        with self._using("send_break") as (line, operation):
            self._break(line, operation, seconds)

    @command(panel=True)
    def reset(self) -> None:
        """Reset the board by a pulse on the declared line. Errors: `NoLinesError`."""
        with self._using("reset") as (line, operation):
            self._reset_board(line, operation)

    @command
    def flush(self) -> None:
        """Drop what waits in both directions: bytes that were not sent yet, and bytes that were not read yet."""
        with self._using("flush") as (line, _):
            line.discard()
            self._inbox.clear()

    def _locate(self) -> str:
        """The path of the tty. The twin has its own."""
        return find_port(self.options, self.link.name)

    def _break(self, line: SerialLine, operation: Operation, seconds: float) -> None:
        try:
            line.lines.set_break(True)
            operation.wait(seconds)
        finally:
            line.lines.set_break(False)

    def _reset_board(self, line: SerialLine, operation: Operation) -> None:
        """Pulse the declared line; it comes back to its resting level even where the pulse is interrupted."""
        levels = line.lines.levels()
        if levels is None:
            raise NoLinesError(
                f"Port {line.path} of '{self.link.name}' has no DTR and RTS, so nothing resets its board. "
                "Reset it by hand, or by a relay on another device."
            )
        dtr, rts = self._resting(levels)
        pulsed = self.options.reset.line
        try:
            line.lines.set(
                dtr=not dtr if pulsed in ("dtr", "both") else None,
                rts=not rts if pulsed in ("rts", "both") else None,
            )
            operation.wait(self.options.reset.ms / 1000)
        finally:
            line.lines.set(dtr=dtr, rts=None if self.options.rtscts else rts)

    def _resting(self, levels: Levels) -> tuple[bool, bool]:
        dtr, rts = self.options.resting
        return levels.dtr if dtr is None else dtr, levels.rts if rts is None else rts

    def _make_board_safe(self, safe: SerialSafe, line: SerialLine, operation: Operation) -> None:
        act = "a reset" if safe.reset else f"safe.send {safe.send!r}"
        try:
            if safe.send is not None:
                line.write(safe.send.encode(), operation)
            else:
                self._reset_board(line, operation)
        except (TimeoutError, NoLinesError) as error:
            raise SafeStateError(
                f"'{self.link.name}' could not be made safe by {act}: {error}", device=self.link.name
            ) from error
        if safe.expect is not None:
            self._await_answer(safe.expect.encode(), safe.timeout, act, operation)

    def _await_answer(self, expected: bytes, seconds: float, act: str, operation: Operation) -> None:
        ends = time.monotonic() + seconds
        while self._inbox.take_until(expected, max(0.0, min(_CHUNK, ends - time.monotonic()))) is None:
            operation.check(f" while it waited for safe.expect {expected!r}")
            self._refuse_if_gone()
            if time.monotonic() >= ends:
                raise SafeStateError(
                    f"The board on '{self.link.name}' did not answer {expected!r} to {act} within {seconds:g} s. "
                    f"It sent: {_shown(self._inbox.peek())}. Look at the board, and at `safe` in its declaration.",
                    device=self.link.name,
                )

    def _take_in(self, data: bytes) -> None:
        self._inbox.add(data)
        self.received.emit(data)

    @contextmanager
    def _using(self, what: str) -> Iterator[tuple[SerialLine, Operation]]:
        """The open line for one operation, which `interrupt` can end. Errors: `DeviceOfflineError`."""
        self._refuse_if_gone()
        line = self._line
        if line is None:
            raise DeviceOfflineError(f"'{self.link.name}' is not open, so {what} can't be done.", device=self.link.name)
        with self._interruptions.running(what) as operation, self._noticing_unplug():
            yield line, operation

    @contextmanager
    def _noticing_unplug(self) -> Iterator[None]:
        """An OSError of the tty means that the port has gone, unless it says that the port can't do what was asked."""
        try:
            yield
        except (DeviceOfflineError, TimeoutError):
            raise
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise
            if self._line is not None:
                self._notice_unplug(str(error))
            raise DeviceOfflineError(
                f"'{self.link.name}' was unplugged: {error}. It is opened again when it is back.", device=self.link.name
            ) from error

    def _notice_unplug(self, reason: str) -> None:
        """Called by the reader and by commands; the host hears of it once."""
        with self._gone_lock:
            first, self._gone = self._gone is None, self._gone or reason
        if first:
            self.link.lost(f"The serial port was unplugged ({reason}).")

    def _refuse_if_gone(self) -> None:
        if self._gone is not None:
            raise DeviceOfflineError(
                f"'{self.link.name}' was unplugged ({self._gone}). It is opened again when it is back.",
                device=self.link.name,
            )


def _shown(data: bytes) -> str:
    """The end of what came in, short enough for an error."""
    if not data:
        return "nothing"
    return repr(data[-_SHOWN:]) if len(data) <= _SHOWN else f"... {data[-_SHOWN:]!r}"
