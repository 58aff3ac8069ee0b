"""The far end of a simulated serial port: the master side of a pty whose slave stands at a path. Used by the board.

Linux opens a pty by /dev/ptmx; `os.openpty` will not do, since it opens the slave too, and closing that is a hang-up.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import tty
from pathlib import Path

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430
_CHUNK = 4096


class FarEnd:
    """A pty behind `path` while it is plugged; `renew` makes a new one, so no old lock on it matters."""

    def __init__(self, path: Path):
        self.path = path
        self.fd: int | None = None
        self.pending = bytearray()
        self._slave = ""

    def plug(self) -> None:
        """Make a pty and put it behind the path. Errors: FileExistsError: something else is there."""
        if os.path.lexists(self.path) and not self.path.is_symlink():
            raise FileExistsError(f"{self.path} exists and is not the link of a board. Give another --path.")
        self.fd, self._slave = _new_pty()
        self._point_at(self._slave)
        self.pending.clear()

    @property
    def is_hung_up(self) -> bool:
        """Whether the other side was open and is not any more."""
        return self.fd is not None and _is_hung_up(self.fd)

    def renew(self) -> None:
        """Put a new pty behind the path and close the old one, which has hung up.

        Who had found the old one just before keeps it: it is looked at once more when nobody can find it any more.
        """
        if self.fd is None:
            return
        fresh, slave = _new_pty()
        self._point_at(slave)
        if _is_hung_up(self.fd):
            os.close(self.fd)
            self.fd, self._slave = fresh, slave
            self.pending.clear()
        else:
            self._point_at(self._slave)
            os.close(fresh)

    def _point_at(self, slave: str) -> None:
        """Let the path lead there, in one step."""
        link = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(slave)
        os.replace(link, self.path)

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


def _new_pty() -> tuple[int, str]:
    """A master's descriptor, and the path of its slave."""
    fd = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TIOCSPTLCK, struct.pack("i", 0))
    tty.setraw(fd)  # else the kernel would echo our output back to us until somebody opens the slave
    return fd, f"/dev/pts/{struct.unpack('i', fcntl.ioctl(fd, _TIOCGPTN, bytes(4)))[0]}"


def _is_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
