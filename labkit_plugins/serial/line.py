"""SerialLine: one tty, open and ours alone. Used by the driver, which imports this module only in `open()`.

pyserial opens and configures the port. Reading and writing are done here on its descriptor, because its own write
can't be ended from another thread without leaving a mark on the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
import threading
import time
from collections.abc import Callable

import serial

from labkit.plugin import DeviceOfflineError
from labkit_plugins.holders import holders
from labkit_plugins.in_children import let_go_in_children
from labkit_plugins.interruption import Operation
from labkit_plugins.permission import forbidden
from labkit_plugins.serial import exclusive, framing, ports
from labkit_plugins.serial.lines import Lines
from labkit_plugins.serial.options import SerialOptions

_CHUNK = 4096
_SETTLE = 0.1  # seconds that bytes may take from the kernel's queue through an adapter to the board
_SETTLE_PTY = 0.4  # a pty has no queue that could be asked, and its far end is a program, which may have to wait
_SETTLE_LIMIT = 0.5
_PAUSE = 0.005
_LETTING_GO = 1.0
_BUSY = (errno.EBUSY, errno.EWOULDBLOCK)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


class _QuietLines(serial.Serial):
    """pyserial's port that leaves DTR and RTS alone while it opens; `Lines` sets both in one step.

    pyserial has no public switch for RTS; these two methods are its whole way to the lines (3.5).
    """

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class SerialLine:
    """An open tty. Used by one thread at a time, besides the reader on `fd`.

    Methods raise OSError where the port has gone.
    """

    def __init__(self, path: str, options: SerialOptions, device: str, make_lines: Callable[[int], Lines] = Lines):
        """Open and configure it, and take it for ourselves. Errors: `DeviceOfflineError`: absent, busy, forbidden."""
        self.path = path
        self._options = options
        self._written_at = 0.0
        exclusive.refuse_if_held(path, device)  # before its speed is changed under somebody's hands
        self._port = _open(path, options, device)
        let_go_in_children(self)
        try:
            self.fd = self._port.fileno()
            exclusive.claim(self.fd)
            exclusive.refuse_if_held(path, device)  # who came between the first look and the claim
            framing.keep_lines_on_close(self.fd)
            self.lines = make_lines(self.fd)
            self.rest()
        except BaseException:
            self.close()
            raise

    def rest(self) -> None:
        """Put DTR and RTS on their declared levels."""
        dtr, rts = self._options.resting
        self.lines.set(dtr=dtr, rts=rts)

    @framing.termios_errors()
    def configure(self) -> None:
        """Set speed and framing again, whatever somebody has done to them."""
        self._port.baudrate = self._options.baudrate  # pyserial sets everything with each of its properties
        framing.keep_lines_on_close(self.fd)

    def deviations(self) -> list[str]:
        """What reads back differently from what was declared: speed, framing, lines."""
        found = framing.deviations(self.fd, self._options)
        levels, (dtr, rts) = self.lines.levels(), self._options.resting
        if levels is not None and ((dtr is not None and levels.dtr != dtr) or (rts is not None and levels.rts != rts)):
            found.append(f"lines are {levels}")
        return found

    def write(self, data: bytes, operation: Operation) -> int:
        """Give all bytes to the kernel. Errors: `InterruptedCallError`; TimeoutError, see write_timeout."""
        sent, moved_at = 0, time.monotonic()
        while sent < len(data):
            operation.check(f" after {sent} of {len(data)} bytes")
            taken = self._write_some(data[sent : sent + _CHUNK])
            if taken:
                sent, moved_at = sent + taken, time.monotonic()
                self._written_at = moved_at
            elif not self._wait_until_writable(operation, moved_at + self._options.write_timeout):
                raise TimeoutError(
                    f"{self.path} took {sent} of {len(data)} bytes, then none for {self._options.write_timeout:g} s. "
                    "Is the board reading, and is flow control as the board has it?"
                )
        return sent

    def _write_some(self, data: bytes) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def _wait_until_writable(self, operation: Operation, ends: float) -> bool:
        """Wait until the tty takes bytes or the operation is interrupted; False where `ends` came first."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        poll.register(operation.fd, select.POLLIN)
        ready = poll.poll(max(0.0, ends - time.monotonic()) * 1000)
        if ready and operation.fd not in dict(ready):
            operation.wait(_PAUSE)  # some drivers say that they are writable and then take nothing: no spinning
        return bool(ready)

    def settle(self, operation: Operation) -> None:
        """Let bytes that were just written go out, 0.5 s at most. A UART has no event for it, so the queue is asked."""
        ends = time.monotonic() + _SETTLE_LIMIT
        settled_at = self._written_at + (_SETTLE_PTY if framing.is_pty(self.fd) else _SETTLE)
        while time.monotonic() < min(ends, settled_at) or (self._unsent() and time.monotonic() < ends):
            operation.wait(_PAUSE)

    @framing.termios_errors()
    def discard(self) -> None:
        """Drop what waits in the kernel in both directions."""
        termios.tcflush(self.fd, termios.TCIOFLUSH)

    def close(self) -> None:
        """Close it; DTR and RTS stay as they are. Never raises for a port that has gone."""
        if not self._port.is_open:
            return
        for leave in (self._forget_unsent, lambda: exclusive.unclaim(self.fd), self._port.close):
            try:
                leave()
            except OSError:
                continue  # gone: there is nothing left to undo

    def let_go(self) -> None:
        """In a forked child: close the inherited descriptor, and nothing more: the port is its parent's. Else it would
        be busy with the child when the parent opens it anew, or when the next loop does."""
        port = self._port
        if port.is_open and port.fd is not None:
            os.close(port.fd)
            port.fd, port.is_open = None, False

    @framing.termios_errors()
    def _forget_unsent(self) -> None:
        if self._unsent():  # else the kernel's close waits up to 30 s for a far end that has stopped us
            termios.tcflush(self.fd, termios.TCOFLUSH)

    def _unsent(self) -> int:
        return int(struct.unpack("I", fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)))[0])


def _open(path: str, options: SerialOptions, device: str) -> serial.Serial:
    has_frames = not framing.is_pty(path)  # a pty knows nothing but 8N1, and refuses the rest at the second try
    port = _QuietLines(
        baudrate=options.baudrate,
        bytesize=options.bytesize if has_frames else 8,
        parity=options.parity[0].upper() if has_frames else "N",
        stopbits=options.stopbits,
        xonxoff=options.xonxoff,
        rtscts=options.rtscts,
        exclusive=True,
        # So small that VTIME rounds to 0, but VMIN becomes 1: only with it an empty read means that the port has gone.
        inter_byte_timeout=0.01,
    )
    port.port = path
    try:
        _open_when_let_go(port, path)
    except ValueError as error:  # pyserial's, for a speed that the hardware can't have
        raise ValueError(f"Port {path} of '{device}' does not take its options: {error}.") from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError(f"Port {path} of '{device}' does not take its baudrate or framing.") from error
        raise _offline(error, path, device) from error
    return port


def _open_when_let_go(port: serial.Serial, path: str) -> None:
    """Open it; where it is busy and nobody is to be seen who has it, a few times. Blocks for about a second.

    Who has it then is just about to be gone: a process of ours that is being started, with copies of all that is open.
    """
    ends, pause = time.monotonic() + _LETTING_GO, threading.Event()
    while True:
        try:
            with framing.termios_errors():
                port.open()
            return
        except OSError as error:
            if error.errno not in _BUSY or time.monotonic() > ends or holders(path):
                raise
        pause.wait(_LETTING_GO / 4)


def _offline(error: OSError, path: str, device: str) -> DeviceOfflineError:
    if error.errno in _BUSY:
        return exclusive.busy(path, device)
    if error.errno in _FORBIDDEN:
        return forbidden(path, device)
    if error.errno == errno.ENOENT:
        return ports.absent(f"Port {path}", device, ports.ports_here())
    return DeviceOfflineError(
        f"Port {path} of '{device}' can't be used: {error}. Is it a serial port, and is its device plugged in?",
        device=device,
    )
