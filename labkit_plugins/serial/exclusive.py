"""Nobody else on the port: taking it for oneself, and naming who has it. Used by `SerialLine`.

Three locks, since each is blind to something: `flock` stops other careful programs (root's too), TIOCEXCL stops every
plain `open` by an ordinary user from then on, and a look into /proc finds who was there before.
"""

from __future__ import annotations

import fcntl
import termios

from labkit.plugin import DeviceOfflineError
from labkit_plugins.holders import holders


def refuse_if_held(path: str, device: str) -> None:
    """Errors: `DeviceOfflineError` that names who has the port, where anybody else can be seen to have it."""
    if holders(path):
        raise busy(path, device)


def busy(path: str, device: str) -> DeviceOfflineError:
    """The error for a port that somebody else has; it names them where this user may see them."""
    others = holders(path)
    who = ", ".join(map(str, others)) if others else f"somebody (this user may not see who; run: sudo lsof {path})"
    return DeviceOfflineError(
        f"Port {path} of '{device}' is busy: {who} has it open. It is tried again by itself; end the other program.",
        device=device,
        blame="lab",
    )


def claim(fd: int) -> None:
    """Let no ordinary user open this tty from now on (root can always). Ends with `unclaim` or the last close."""
    fcntl.ioctl(fd, termios.TIOCEXCL)


def unclaim(fd: int) -> None:
    """Let others open it again: a pty, unlike hardware, would stay exclusive after it is closed."""
    fcntl.ioctl(fd, termios.TIOCNXCL)
