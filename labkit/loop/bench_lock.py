"""The file lock of a bench: which process of a machine has it. Used by the host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
from pathlib import Path
from typing import IO


def take_lock(folder: Path, bench: str) -> IO[str] | None:
    """The bench's file lock, which one process of a machine has at a time: a dead one loses it, a stopped one keeps it.

    None: somebody has it. Errors: OSError, of the kind that the file system raised, which says how to mend it.
    """
    file = folder / f"{bench}.lock"
    lock = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(file, "a+")  # noqa: SIM115 - held for as long as the bench is hosted
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock
    except OSError as error:
        if lock is not None:
            with contextlib.suppress(OSError):  # what it could not write, it tries to write once more
                lock.close()
            if isinstance(error, BlockingIOError):
                return None
        raise type(error)(f"The file {file} can't be used: {error.strerror}. {_remedy(folder, file)}") from error


def _remedy(folder: Path, file: Path) -> str:
    """Whose the file is, or what hides it, and what gives it back to the user of this process."""
    me = _user(os.geteuid())
    seen = next((path for path in (file, folder) if os.path.exists(path)), None)
    if seen is None:
        return f"Make its folder: sudo install -d -m 700 -o {me} {folder}"
    owner = seen.stat().st_uid
    if owner != os.geteuid():
        return f"{seen} belongs to {_user(owner)}, as after a run with sudo. Give it back: sudo chown -R {me} {folder}"
    return f"{seen} belongs to {me}; is it a file that can be written, on a disk that has room?"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
