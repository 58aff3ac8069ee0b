"""Whose fault it seems to be that a device or a call is in trouble. The one place that decides it. Used by the loop.

`user`: wrong arguments, a program that takes too long. `driver`: it raised what no driver should, or ignored its
interruption. `device`: unplugged, no answer, it reads back differently. `lab`: permissions, declarations, missing
libraries, host, loop and store. It is a guess from what was raised; the reason beside it says what happened.
"""

from __future__ import annotations

import builtins
import errno
import importlib.metadata
import re
from collections.abc import Iterator

from labkit import errors
from labkit.store.reservations import Blame

UNPLUGGED = Blame.DEVICE
NO_ANSWER = Blame.DEVICE
"""An opening, a making-safe or a look that took too long and ended when it was interrupted."""
IGNORED_INTERRUPT = Blame.DRIVER
CALLER_IN_A_HURRY = Blame.USER
"""A call that ran longer than its caller allowed."""
NO_HOST = Blame.LAB
IN_MAINTENANCE = Blame.LAB

_OF_AN_EXTRA = re.compile(r"([\w.-]+).*\bextra == ['\"]([\w-]+)['\"]")
_MISSING = (ImportError, errors.MissingSecretError)
_THE_LABS = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS}
_THE_DEVICES = {
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EPIPE, errno.EPROTO,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ESHUTDOWN,
}  # fmt: skip


def blame_for(error: BaseException) -> Blame:
    """Who is to blame for what a driver raised, in any of its methods."""
    said = getattr(error, "blame", "")
    if isinstance(error, errors.DeviceError) and said in set(Blame) and said:
        return Blame(said)
    if any(isinstance(one, _MISSING) or _errno(one) in _THE_LABS for one in _chain(error)):
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


def remedy_for(error: BaseException) -> str:
    """The command that brings a library that is missing, where it is one of labkit's extras; else ''."""
    for one in _chain(error):
        if isinstance(one, ModuleNotFoundError) and one.name:
            extra = _extra_with(one.name.partition(".")[0])
            return f'pip install "labkit[{extra}]"' if extra else ""
    return ""


def _extra_with(package: str) -> str:
    try:
        required = importlib.metadata.requires("labkit") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source, and not installed
        return ""
    found = (match.groups() for match in map(_OF_AN_EXTRA.match, required) if match)
    return next((extra for name, extra in found if name.lower() == package.lower()), "")


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; what was being handled counts only where nothing else is said."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
