"""The lifeline: a child (of `labkit run`, of a loop that reloads) ends with its parent, also where that was killed.

The parent names itself in the child's environment; the child asks the kernel for SIGTERM at its parent's end. That
stands through exec, and so for gunicorn. The signal is tied to the thread that forked: that must be the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "LABKIT_PARENT"

_PR_SET_PDEATHSIG = 1


def lifeline() -> dict[str, str]:
    """What a child's environment needs to end with this process."""
    return {PARENT: str(os.getpid())}


def hold_lifeline() -> None:
    """In a child: end with the parent, at once where it has gone already. Where no parent asked for it, nothing."""
    parent = os.environ.pop(PARENT, "")  # not for what this process starts
    if not parent.isdecimal():
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(f"The process {parent}, which this one belongs to, has gone.")
