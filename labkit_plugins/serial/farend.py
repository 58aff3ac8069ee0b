"""The far end of a simulated serial port: the master side of a pty whose slave stands at a path. Used by the board.

Linux opens a pty by /dev/ptmx; `os.openpty` will not do, since it opens the slave too, and closing that is a hang-up.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tty
from pathlib import Path

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430
_CHUNK = 4096


class FarEnd:
    """A pty behind `path` while it is plugged; `plug` again makes a new one, so no old lock on it matters."""

    def __init__(self, path: Path):
        self.path = path
        self.fd: int | None = None
        self.pending = bytearray()
        self._slave = ""

    def plug(self) -> None:
        """Make a new pty and put it behind the path in one step; the old one, if any, is closed after that."""
        if os.path.lexists(self.path) and not self.path.is_symlink():
            raise FileExistsError(f"{self.path} exists and is not the link of a board. Give another --path.")
        old, self.fd = self.fd, os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, _TIOCSPTLCK, struct.pack("i", 0))
        self._slave = f"/dev/pts/{struct.unpack('i', fcntl.ioctl(self.fd, _TIOCGPTN, bytes(4)))[0]}"
        tty.setraw(self.fd)  # else the kernel would echo our output back to us until somebody opens the slave
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._slave)
        os.replace(fresh, self.path)
        self.pending.clear()
        if old is not None:
            os.close(old)

    def unplug(self) -> None:
        """Take the path away, then hang up. Twice is fine."""
        if self.fd is None:
            return
        if self.path.is_symlink() and os.readlink(self.path) == self._slave:
            self.path.unlink()
        os.close(self.fd)
        self.fd = None

    def read(self) -> bytes | None:
        """What has come in, b"" where nothing has; None where the other side has closed and all is read."""
        if self.fd is None:
            return None
        try:
            return os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: nobody has the slave open any more
            return None

    def send(self, at_most: int | None = None) -> None:
        """Give the kernel as much of `pending` as it takes; where the other side has closed, it goes nowhere."""
        left = len(self.pending) if at_most is None else min(at_most, len(self.pending))
        if self.fd is None:
            return
        try:
            while left:
                sent = os.write(self.fd, self.pending[: min(left, _CHUNK)])
                del self.pending[:sent]
                left -= sent
        except BlockingIOError:
            return
        except OSError:  # EIO: the hang-up is seen by `poll` next
            self.pending.clear()
