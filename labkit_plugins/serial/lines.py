"""DTR, RTS and break of an open tty, by ioctl. Used by `SerialLine`; knows nothing of options or boards.

The ioctls are made here and not by pyserial: it sets DTR and RTS one after the other, and some boards (ESP32) take
the moment in between for a reset. A test gives an `ioctl` of its own and reads what would have been done.
"""

from __future__ import annotations

import errno
import fcntl
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass

TIOCSBRK = 0x5427  # not in `termios` before Python 3.13; the same number on every Linux that has pyserial's
TIOCCBRK = 0x5428
_NO_LINES = (errno.ENOTTY, errno.EINVAL)  # a pty, some USB adapters. EIO is not here: that is a port which has gone

Ioctl = Callable[[int, int, bytes], bytes]


class NoBreakError(RuntimeError):
    """The port can't send a break."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Levels of the two lines."""

    dtr: bool
    rts: bool

    def __str__(self) -> str:
        return f"DTR {'on' if self.dtr else 'off'}, RTS {'on' if self.rts else 'off'}"


class Lines:
    """The modem lines and the break of one tty. Every method raises OSError where the port has gone."""

    def __init__(self, fd: int, ioctl: Ioctl = fcntl.ioctl):
        self._fd = fd
        self._ioctl = ioctl

    def levels(self) -> Levels | None:
        """Read DTR and RTS back from the hardware; None where the tty has no such lines."""
        bits = self._bits()
        return None if bits is None else _levels(bits)

    def set(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        """Set both lines in one step; None leaves one alone. False where the tty has no such lines."""
        bits = self._bits()
        if bits is None:
            return False
        wanted = _with(_with(bits, termios.TIOCM_DTR, dtr), termios.TIOCM_RTS, rts)
        if wanted != bits:
            self._ioctl(self._fd, termios.TIOCMSET, struct.pack("I", wanted))
        return True

    def set_break(self, on: bool) -> None:
        """Begin or end a break; on a pty it means nothing. Errors: `NoBreakError`, where one is to begin."""
        try:
            self._ioctl(self._fd, TIOCSBRK if on else TIOCCBRK, struct.pack("I", 0))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # USB's cdc-acm, of every board that does not claim to know breaks
                if on:
                    raise NoBreakError("This port can't send a break: its device says that it knows none.") from None
            elif error.errno not in _NO_LINES:
                raise

    def _bits(self) -> int | None:
        try:
            answer = self._ioctl(self._fd, termios.TIOCMGET, struct.pack("I", 0))
        except OSError as error:
            if error.errno in _NO_LINES:
                return None
            raise
        return int(struct.unpack("I", answer)[0])


def _levels(bits: int) -> Levels:
    return Levels(dtr=bool(bits & termios.TIOCM_DTR), rts=bool(bits & termios.TIOCM_RTS))


def _with(bits: int, line: int, level: bool | None) -> int:
    if level is None:
        return bits
    return bits | line if level else bits & ~line
