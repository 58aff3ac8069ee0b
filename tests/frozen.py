"""Processes that are stopped for a while, as by a machine that sleeps. Used by any test that has one go on later."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.toy import wait_until


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until each thread has stopped: on a busy machine the others go on for some ms after it."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: set(_states(pid)) <= {"T", "Z", "X"}, "the stop of all threads")


def thaw(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> list[str]:
    """The state of each thread, as in proc_pid_stat(5)."""
    return [_state(task / "stat") for task in Path(f"/proc/{pid}/task").iterdir()]


def _state(file: Path) -> str:
    try:
        return file.read_text().rpartition(")")[2].split()[0]  # the name before it may have spaces and brackets
    except (FileNotFoundError, ProcessLookupError):
        return "X"  # it has ended since it was listed
