"""Two threads that take turns do so on one core. Used by `device_runner`, and by calls in its process (`own_calls`).

To wake a thread on a core that sleeps takes longer than all the rest of a call in the device's process (FINDINGS.md has
the figures), and the kernel, which can't know that the two never run at once, likes to wake it there. So who hands a
call over has the device's thread woken on the core that it runs on itself; who waits for its answer does so there.

A thread is bound to that core only while it sleeps. Neither lab code nor a driver ever runs bound, and so no program
and no thread that they start is. Where the system has no such calls (no Linux), or refuses them, nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

THIS_THREAD = 0
"""What the kernel's calls take for the thread that makes them."""

_core_now = getattr(ctypes.PyDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None


def _run_on(thread: int, cores: set[int]) -> None:
    """Say on which cores a thread may run. Errors: OSError."""
    os.sched_setaffinity(thread, cores)


def bind(thread: int = THIS_THREAD) -> set[int] | None:
    """Bind a thread, by its native id, to the core that this one runs on. Returns the cores that it may run on else,
    for `free`; None where it stays as it is."""
    if _core_now is None:
        return None
    try:
        core, cores = _core_now(), os.sched_getaffinity(thread)
        if len(cores) == 1 or core not in cores:  # somebody bound it already, or keeps it away from here
            return None
        _run_on(thread, {core})
    except OSError:  # forbidden, or the thread is gone
        return None
    return cores


def free(cores: set[int] | None) -> None:
    """Let this thread run on the cores again that it had before it was bound."""
    if cores is None:
        return
    try:
        _run_on(THIS_THREAD, cores)
    except OSError:  # those cores were taken from the process meanwhile; the kernel has chosen others then
        return


class Sleeper:
    """A thread that sleeps under a lock, and may be woken on the core of who wakes it. Every call holds that lock."""

    def __init__(self) -> None:
        self._asleep = 0
        self._cores: set[int] | None = None

    def sleeps(self) -> None:
        """Say that this thread is going to wait."""
        self._asleep = threading.get_native_id()

    def come_here(self) -> None:
        """Have it woken on this core, if it sleeps; then wake it."""
        if self._asleep and self._cores is None:
            self._cores = bind(self._asleep)

    def awake(self) -> None:
        """Say that this thread has waited; from now on it may run wherever it might before."""
        self._asleep = 0
        cores, self._cores = self._cores, None
        free(cores)
