"""Whose fault it seems to be that a device or a call is in trouble. The one place that decides it. Used by the loop.

`user`: wrong arguments, a program that takes too long. `driver`: it raised what no driver should, or ignored its
interruption. `device`: unplugged, no answer, it reads back differently. `lab`: permissions, declarations, missing
libraries, host, loop and store. It is a guess from what was raised; the reason beside it says what happened.
"""

from __future__ import annotations

import builtins
import errno

from labkit import errors
from labkit.devices.missing_library import causes
from labkit.store.reservations import Blame

UNPLUGGED = Blame.DEVICE
NO_ANSWER = Blame.DEVICE
"""An opening, a making-safe or a look that took too long and ended when it was interrupted."""
IGNORED_INTERRUPT = Blame.DRIVER
CALLER_IN_A_HURRY = Blame.USER
"""A call that ran longer than its caller allowed."""
NO_HOST = Blame.LAB
IN_MAINTENANCE = Blame.LAB

_MISSING = (ImportError, errors.MissingSecretError)
_THE_LABS = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS}
_THE_DEVICES = {
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EPIPE, errno.EPROTO,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ESHUTDOWN,
}  # fmt: skip


def blame_for(error: BaseException) -> Blame:
    """Who is to blame for what a driver raised, in any of its methods."""
    said = _said(error) if isinstance(error, errors.DeviceError) else Blame.NOBODY
    if said:
        return said
    if any(isinstance(one, _MISSING) or _errno(one) in _THE_LABS for one in causes(error)):
        return Blame.LAB  # also where a driver says "offline", because it was not let in
    if isinstance(error, errors.CommandError):
        return Blame.USER
    if isinstance(error, (errors.DeviceOfflineError, errors.SafeStateError)):
        return Blame.DEVICE
    if isinstance(error, (builtins.TimeoutError, EOFError)) or _errno(error) in _THE_DEVICES:
        return Blame.DEVICE
    return Blame.DRIVER


def blame_in_upkeep(error: BaseException) -> Blame:
    """Who is to blame for what a driver raised where nobody called it: no user has a part in that."""
    blame = blame_for(error)
    return Blame.DRIVER if blame is Blame.USER else blame


def _said(error: errors.DeviceError) -> Blame:
    """Who is to blame by the error's own word; nobody, where that is none of the words."""
    try:
        return Blame(error.blame)
    except Exception:  # it is a driver's, and may be anything
        return Blame.NOBODY


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
