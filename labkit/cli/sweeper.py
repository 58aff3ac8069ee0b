"""The sweeper: removes the temporary folder of a demo after everything in it has ended, however the demo went.

`labkit demo` runs this file by its path, in a bare interpreter and a session of its own, with a pipe as its standard
input. The pipe closes when the demo is over, or killed; so nothing is left behind by `kill -9` either. It imports
nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys

LONGEST_END = 60
"""Seconds that what is left of the demo may take to end; the folder is removed then, whatever is still there."""

_LOCKS = ("store.lock", "keeper.lock")  # see labkit.store.keeper: of all processes, and of the server


def wait_until_store_ended(instance: str) -> None:
    """Wait until no labkit process uses the embedded store of an instance folder, and its server has gone.

    Blocks without a limit of its own. Returns at once where there never was a store.
    """
    for name in _LOCKS:
        try:
            lock = os.open(os.path.join(instance, "store", name), os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)


class _TimeOver(Exception):
    """What is left of the demo does not end."""


def _raise_time_over(*_: object) -> None:
    raise _TimeOver


def main(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    signal.signal(signal.SIGALRM, _raise_time_over)
    signal.alarm(LONGEST_END)
    with contextlib.suppress(_TimeOver):
        wait_until_store_ended(folder)
        signal.alarm(0)
    for _ in range(3):  # a board that is just ending may remove its own files at the same time
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
