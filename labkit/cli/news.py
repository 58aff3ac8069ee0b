"""What wakes up the main thread of `labkit run`: signals and its own threads, in one wait and without polling."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_WAKE = b"\0"  # in the pipe that else carries signal numbers


class News:
    """A pipe into which the kernel's signals are written, and `wake`. Made in the main thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """In this block the signals that end the program, and children's ends, arrive here and do nothing else."""
        numbers = (*END_SIGNALS, signal.SIGCHLD)
        # the pipe first: what comes between the two would be lost with a handler that does nothing
        descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)

    def wake(self) -> None:
        """Bring `wait` back; from any thread."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes up too
            os.write(self._write, _WAKE)

    def wait(self, seconds: float) -> bool:
        """Wait for news, at most so long. Returns whether the program was asked to end meanwhile."""
        select.select([self._read], [], [], max(0.0, seconds))
        came = b""
        with contextlib.suppress(BlockingIOError):
            came = os.read(self._read, 4096)
        return any(bytes([number]) in came for number in END_SIGNALS)
