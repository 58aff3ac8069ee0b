"""How a blocked operation of one thread is ended by another. Used by the serial and the GPIO driver.

Each operation has an eventfd of its own, which it waits on together with its tty: an interrupt reaches what is
running now and can leave no mark on what comes next.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.plugin import InterruptedCallError


class Operation:
    """One command that is running. `fd` becomes readable when it is interrupted."""

    def __init__(self, what: str, device: str):
        self._what = what
        self._device = device
        self._interrupted = threading.Event()
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def check(self, so_far: str = "") -> None:
        """Raise `InterruptedCallError` where the operation was interrupted; `so_far` tells what it had done."""
        if self._interrupted.is_set():
            raise InterruptedCallError(
                f"The {self._what} on '{self._device}' was interrupted{so_far}: "
                "its session is over, or it took too long.",
                device=self._device,
            )

    def wait(self, seconds: float) -> None:
        """Let time pass, `seconds` at most. Errors: `InterruptedCallError`, at once."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.poll(seconds * 1000)
        self.check()

    def interrupt(self) -> None:
        self._interrupted.set()
        os.eventfd_write(self.fd, 1)


class Interruptions:
    """The running operations of one device (more than one where a generator command has given its thread back)."""

    def __init__(self, device: str):
        self._device = device
        self._lock = threading.Lock()
        self._running: set[Operation] = set()

    @contextmanager
    def running(self, what: str) -> Iterator[Operation]:
        """Mark the block as an operation that `interrupt` ends."""
        operation = Operation(what, self._device)
        with self._lock:
            self._running.add(operation)
        try:
            yield operation
        finally:
            with self._lock:  # `interrupt` writes under the same lock, so never to a closed descriptor
                self._running.discard(operation)
                os.close(operation.fd)

    def interrupt(self) -> None:
        """End what is running now; nothing where nothing runs. Returns at once."""
        with self._lock:
            for operation in self._running:
                operation.interrupt()
