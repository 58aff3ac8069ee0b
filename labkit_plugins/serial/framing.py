"""Speed and framing of an open tty, read back from the kernel. Used by `SerialLine`.

pyserial sets them and never looks whether the hardware took them: a driver may round the speed or ignore the parity.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labkit_plugins.serial.options import SerialOptions

_TCGETS2 = 0x802C542A  # like TCGETATTR, with the speed as a number; x86, ARM and RISC-V
_TOLERANCE = 0.03  # what a UART's receiver stands; drivers report the speed that their divider gave
_SIZES = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_CMSPAR = 0o10000000000
_PARITY_BITS = termios.PARENB | termios.PARODD | _CMSPAR
_PARITIES = {
    "none": 0,
    "even": termios.PARENB,
    "odd": termios.PARENB | termios.PARODD,
    "mark": termios.PARENB | termios.PARODD | _CMSPAR,
    "space": termios.PARENB | _CMSPAR,
}
_COOKED = termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN


@contextmanager
def termios_errors() -> Iterator[None]:
    """termios.error is no OSError; in this block, or a function decorated with it, it becomes one."""
    try:
        yield
    except termios.error as error:
        raise OSError(*error.args) from error


@termios_errors()
def keep_lines_on_close(fd: int) -> None:
    """HUPCL off: closing the port must not drop DTR, which resets many boards."""
    attributes = termios.tcgetattr(fd)
    attributes[2] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


@termios_errors()
def deviations(fd: int, options: SerialOptions) -> list[str]:
    """What the tty says about itself that is not what was declared, one short text each."""
    iflag, oflag, cflag, lflag, *_ = termios.tcgetattr(fd)
    wrong = {
        "not raw": bool(lflag & _COOKED or oflag & termios.OPOST or iflag & (termios.ICRNL | termios.INLCR)),
        "HUPCL is on": bool(cflag & termios.HUPCL),
        "rtscts differs": bool(cflag & termios.CRTSCTS) != options.rtscts,
        "xonxoff differs": bool(iflag & termios.IXON) != options.xonxoff,
    }
    if not is_pty(fd):
        wrong |= {
            "bytesize differs": cflag & termios.CSIZE != _SIZES[options.bytesize],
            "parity differs": cflag & _PARITY_BITS != _PARITIES[options.parity],
            "stopbits differ": bool(cflag & termios.CSTOPB) != (options.stopbits == 2),
        }
    return [text for text, is_wrong in wrong.items() if is_wrong] + _speed_deviation(fd, options.baudrate)


def is_pty(tty: int | str) -> bool:
    """Is the far end of a tty (path or descriptor) a program? Linux: the majors 136 to 143 are the Unix98 ptys."""
    return 136 <= os.major(os.stat(tty).st_rdev) <= 143


def _speed_deviation(fd: int, declared: int) -> list[str]:
    speed = _speed(fd)
    if speed is None or abs(speed - declared) <= declared * _TOLERANCE:
        return []
    return [f"baudrate is {speed}"]


def _speed(fd: int) -> int | None:
    try:
        answer: Any = fcntl.ioctl(fd, _TCGETS2, bytes(44))
    except OSError:  # a machine with other numbers: the flags above are read back all the same
        return None
    return int(struct.unpack_from("I", answer, 40)[0])
