"""A thread that hangs in the kernel where no signal reaches it, as one does in whose hands a USB adapter breaks.

It is the wait of `posix_spawn` for a child that can't begin: the child is to open a pipe first, which nobody writes to.
The kernel shows such a thread in state D. Used by the tests of threads and hosts.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

from tests.toy import wait_until

FILE_ACTIONS_BYTES = 1024
"""More than any libc's `posix_spawn_file_actions_t` has."""


class KernelWait:
    """Use it with `with`: whoever hangs comes back with the end of the block."""

    def __init__(self, folder: Path):
        self._pipe = folder / "nobody-writes"
        os.mkfifo(self._pipe)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._over = False
        self._hanging: list[threading.Thread] = []

    def hang(self) -> None:
        """Hang, until the end of the block."""
        self._hanging.append(threading.current_thread())  # first: whoever is in there `end` waits for
        try:
            if not self._over:
                self._spawn()
        finally:
            self._hanging.remove(threading.current_thread())

    def _spawn(self) -> None:
        libc, child, actions = self._libc, ctypes.c_int(), ctypes.create_string_buffer(FILE_ACTIONS_BYTES)
        assert libc.posix_spawn_file_actions_init(actions) == 0
        assert libc.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(self._pipe), os.O_RDONLY, 0) == 0
        nothing = (ctypes.c_char_p * 2)(b"true", None)
        failed = libc.posix_spawn(ctypes.byref(child), b"/bin/true", actions, None, nothing, None)
        libc.posix_spawn_file_actions_destroy(actions)
        assert not failed, os.strerror(failed)
        os.waitpid(child.value, 0)

    def end(self) -> None:
        """Let go whoever hangs, or is just about to, and wait for it."""
        self._over = True
        writer = os.open(self._pipe, os.O_RDWR)  # which waits for nobody
        try:
            wait_until(lambda: not self._hanging, "the threads to come back")
        finally:
            os.close(writer)

    def __enter__(self) -> KernelWait:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
