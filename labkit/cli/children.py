"""The children of `labkit run`: each a part of the lab in a process of its own, started again when it ends by itself.

They share nothing but the store, and the folder that they run in. Each leads a process group, so that Ctrl-C reaches
only the parent, which ends them in order; and each ends with its parent (see `lifeline`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from labkit.clock import Clock, Deadline
from labkit.commands.logs import PART
from labkit.loop.lifeline import lifeline

log = logging.getLogger("labkit.run")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
LONG_LIFE = 30.0
"""Seconds: a child that ends is started again after a pause, doubled each time, from the first on after a long life."""


class Child:
    """One part. name: how it is called to people; environment: beside this one's; inherits: a socket for it."""

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None,
        inherits: socket.socket | None = None, clock: Clock | None = None,
    ):  # fmt: skip
        self.name = name
        self._command = [*command]
        self._environment = {**(environment or {}), PART: name}
        self._inherits = inherits
        self._clock = clock or Clock()
        self._process: subprocess.Popen[bytes] | None = None
        self._born = 0.0
        self._pause = 0.0
        self._again: Deadline | None = None

    def __repr__(self) -> str:
        return f"<Child {self.name} {f'pid={self._process.pid}' if self._process else 'not running'}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pause_left(self) -> float:
        """Seconds until it is to be started again; long where it runs."""
        return self._again.left() if self._again is not None else 3600.0

    def start(self) -> None:
        """Start the process. Only in the main thread, which the child's end is tied to."""
        self._again = None
        self._born = self._clock.boottime()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **lifeline(), **self._environment},
            pass_fds=[] if self._inherits is None else [self._inherits.fileno()],
            process_group=0,
        )

    def look_after(self) -> None:
        """Notice that the process has ended, and start it again when its pause is over."""
        if self._process is not None and not self.running:
            how, self._process = ending_of(self._process.returncode), None
            lived = self._clock.boottime() - self._born
            self._pause = FIRST_PAUSE if lived >= LONG_LIFE or not self._pause else min(2 * self._pause, LONGEST_PAUSE)
            self._again = Deadline(self._pause, self._clock)
            log.warning("%s %s; it is started again in %g s", self.name, how, self._pause)
        if self._again is not None and self._again.over:
            self.start()

    def end(self) -> None:
        """Ask the process to end; it is not started again. Returns at once."""
        self._again = None
        if self._process is not None and self.running:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and its own children at once, whatever they do."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def labkit_command(*arguments: str) -> list[str]:
    """The command line of the `labkit` program."""
    return [sys.executable, "-P", "-m", "labkit.cli", *arguments]


def ending_of(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
