"""Whether something leaves threads or descriptors of this process behind. For tests of all that opens and closes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from tests.toy import wait_until


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fails where there is a thread or a descriptor after the block that was not there before it, and that stays.

    What other tests have left to this process may come to its end meanwhile: that is no matter. What was told to end
    may be a little late for it on a busy machine, so it is waited for; what is left behind does not go.
    """
    threads, files = set(threading.enumerate()), descriptors()

    def nothing() -> bool:
        return set(threading.enumerate()) <= threads and descriptors() <= files

    yield
    with contextlib.suppress(AssertionError):  # what there is is said below
        wait_until(nothing, "the end of all that was begun")
    assert [thread.name for thread in set(threading.enumerate()) - threads] == []
    assert descriptors() - files == set()


def descriptors() -> set[tuple[str, str]]:
    """The numbers of this process's descriptors, and what each leads to."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one by which the folder was read
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found
