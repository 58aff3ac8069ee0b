"""One WebSocket of a page: whole messages in and out, with one thread less and no second copy. Used by the socket gate.

simple-websocket does the handshake and takes apart what comes. Three things are done otherwise here, each for what it
costs with every message: nothing is compressed (a browser offers it, and a JPEG picture gains nothing by it but 4 ms of
a core for each page), the thread that waits for a message reads it itself, and what goes out is framed here (RFC 6455,
5.2: a server masks nothing), so that a picture is handed to the kernel as it is.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from typing import Any

import simple_websocket
from wsproto.utilities import ProtocolError

_FINAL_TEXT, _FINAL_BYTES = 0x81, 0x82
_SHORT = struct.Struct("!BB")
_MIDDLE = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")
_SECONDS = struct.Struct("@ll")
_RECEIVE_BYTES = 16 * 1024


class Link(simple_websocket.Server):  # type: ignore[misc]  # it brings no types
    """One WebSocket. One thread receives; any may send, a whole message at a time.

    patience: seconds without a sign of the browser, which is asked for one now and then, after which it has gone: a
    machine that was put to sleep says nothing, and TCP waits for it for a quarter of an hour.
    """

    connected: bool

    def __init__(self, environ: Mapping[str, Any], max_message_size: int, patience: float):
        self._sending = threading.Lock()
        super().__init__(
            _uncompressed(environ), receive_bytes=_RECEIVE_BYTES, max_message_size=max_message_size,
            thread_class=_NoThread,
        )  # fmt: skip
        limit = _SECONDS.pack(int(patience), int(patience % 1 * 1e6))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)  # not `settimeout`: that is for sending, too

    def send(self, data: str | bytes) -> None:
        """Send one message; blocks while the browser does not read. Errors: `ConnectionClosed`, OSError."""
        if not self.connected:
            raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)
        opcode, payload = (_FINAL_BYTES, data) if isinstance(data, bytes) else (_FINAL_TEXT, data.encode())
        with self._sending:
            _send_whole(self.sock, [_head(opcode, len(payload)), payload])

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message; blocks until it is there (`timeout` means nothing). Errors: `ConnectionClosed`."""
        while not self.input_buffer:
            if not self.connected:
                self.end()
                raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)
            if not self._receive_some():
                self.connected = False  # what came before the end is a message still
        message: str | bytes = self.input_buffer.pop(0)
        return message

    def _receive_some(self) -> bool:
        """Take in what has come, for which it waits. False: that was the last."""
        try:
            data = self.sock.recv(self.receive_bytes)
            if not data:
                return False
            self.ws.receive_data(data)
            return bool(self._handle_events())
        except (OSError, ProtocolError):
            return False

    def end(self) -> None:
        """Let go of the connection, and of a thread that sends still to a browser that has stopped reading."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _NoThread:
    """What simple-websocket takes for its thread that reads: there is none."""

    name = ""

    def __init__(self, target: Any):
        pass

    def start(self) -> None:
        pass


def _uncompressed(environ: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in environ.items() if name != "HTTP_SEC_WEBSOCKET_EXTENSIONS"}


def _head(opcode: int, length: int) -> bytes:
    """What stands before a message of one frame."""
    if length < 126:
        return _SHORT.pack(opcode, length)
    return _MIDDLE.pack(opcode, 126, length) if length < 65536 else _LONG.pack(opcode, 127, length)


def _send_whole(sock: socket.socket, parts: list[bytes]) -> None:
    """Give all of it to the kernel, in one call where it takes that."""
    if isinstance(sock, ssl.SSLSocket):
        sock.sendall(b"".join(parts))
        return
    sent = sock.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            sock.sendall(memoryview(part)[sent:])
        sent = max(0, sent - len(part))
