"""The control channel of a simulated device: one request, one answer, each a packet on a Unix socket.

Used by the programs of twins, by the twins, and by tests. Stdlib only. A socket's address may have 107 bytes at most,
and a folder of a test or a user is easily longer; so it is named through the folder's descriptor.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONTROL = "control"
"""Name of the control channel in the folder of a device."""

PACKET = 65536


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """A short name for `path` while the block lasts, good for `bind` and `connect`."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
    """A listening socket at `path`, for its owner only; what lies there from a dead program is replaced.

    kind: of its connections: packets, or a stream.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
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
    """The simulated device does not answer, or refused the request."""


class Control:
    """A connection to a control channel. Errors of `with Control(path)`: OSError where no program listens there."""

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
            answer = self.receive()
        except OSError as error:
            raise ControlError(f"The simulated device did not answer to {request!r}: {error}.") from error
        if answer is None:
            raise ControlError(f"The simulated device ended before it answered to {request!r}.")
        if "error" in answer:
            raise ControlError(f"The simulated device refused {request!r}: {answer['error']}")
        return answer

    def receive(self) -> dict[str, Any] | None:
        """The next packet: after `watch`, what is pushed; None where the program has ended. Errors: TimeoutError."""
        packet = self._socket.recv(PACKET)
        if not packet:
            return None
        answer: dict[str, Any] = json.loads(packet)
        return answer

    def fileno(self) -> int:
        """For `poll`: readable where `receive` has something to say."""
        return self._socket.fileno()

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the program has ended and removed its files; False where it still lives."""
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
