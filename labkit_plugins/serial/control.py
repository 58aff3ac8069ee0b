"""The control channel of a simulated board: one request, one answer, each a packet on a Unix socket.

Used by the board program and by the twin. Stdlib only. A socket's address may have 107 bytes at most, and a folder of
a test or a user is easily longer; so it is named through the folder's descriptor.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKET = 65536


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """A short name for `path` while the block lasts, good for `bind` and `connect`."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, for its owner only; what lies there from a dead board is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        with short_address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(8)
    except BaseException:
        listener.close()
        raise
    return listener


class ControlError(ConnectionError):
    """The board does not answer, or refused the request."""


class Control:
    """A connection to a board's control channel. Errors of `with Control(path)`: OSError where no board listens."""

    def __init__(self, path: Path, timeout: float = 5.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(timeout)
        try:
            with short_address(path) as address:
                self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, request: str) -> dict[str, Any]:
        """Send one request and return its answer. Errors: `ControlError`."""
        try:
            self._socket.send(request.encode())
            packet = self._socket.recv(PACKET)
        except OSError as error:
            raise ControlError(f"The simulated board did not answer to {request!r}: {error}.") from error
        if not packet:
            raise ControlError(f"The simulated board ended before it answered to {request!r}.")
        answer: dict[str, Any] = json.loads(packet)
        if "error" in answer:
            raise ControlError(f"The simulated board refused {request!r}: {answer['error']}")
        return answer

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the board's process has ended and removed its files; False where it still lives."""
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(PACKET):
                continue
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
