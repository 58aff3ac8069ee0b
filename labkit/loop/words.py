"""Words: what a loop's main thread is told while it sleeps, by signals and by threads. For `service`, `reloading`.

It sleeps on a pipe that Python's own signal handler writes to, so it wakes up also where the kernel gave the signal to
another thread: Python runs handlers in the main thread only, and a lock that it sleeps on would not wake it for that.
"""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from types import TracebackType
from typing import Generic, TypeVar

W = TypeVar("W")


class Words(Generic[W]):
    """Words in the order in which they were said. Use it with `with`, in the main thread."""

    def __init__(self) -> None:
        self._said: deque[W] = deque()

    def __enter__(self) -> Words[W]:
        self._bell, self._rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = signal.set_wakeup_fd(self._rope, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._before)
        rope, self._rope = self._rope, -1
        os.close(rope)
        os.close(self._bell)

    def put(self, word: W) -> None:
        """Say a word. Never blocks; from any thread, and in a signal handler. After the end it is kept unheard."""
        self._said.append(word)
        try:
            os.write(self._rope, b".")
        except OSError:  # the pipe is full, so it wakes up anyway; or nobody listens any more
            return

    def get(self) -> W:
        """Wait for the next word."""
        while not self._said:
            select.select([self._bell], [], [])
            os.read(self._bell, 4096)
        return self._said.popleft()

    def rest(self) -> list[W]:
        """Take all that was said and not heard."""
        return [self._said.popleft() for _ in range(len(self._said))]
