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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import simple_websocket
from wsproto.connection import ConnectionState
from wsproto.events import Event
from wsproto.utilities import ProtocolError

from labkit.clock import Deadline

_FINAL_TEXT, _FINAL_BYTES = 0x81, 0x82
_SHORT = struct.Struct("!BB")
_MIDDLE = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")
_SO_RCVTIMEO_NEW = 66
"""What SO_RCVTIMEO is where a machine of 32 bits has a time of 64, as Debian 13 on a Raspberry Pi."""
_RESET = struct.pack("@ii", 1, 0)
"""As SO_LINGER: whatever is under way is dropped with the connection."""
_RECEIVE_BYTES = 16 * 1024


class Link(simple_websocket.Server):  # type: ignore[misc]  # it brings no types
    """One WebSocket. One thread receives; any may send, a whole message at a time.

    patience: seconds without a sign of the browser, which is asked for one now and then, after which it has gone: a
    machine that was put to sleep says nothing, and TCP waits for it for a quarter of an hour. So long it may take for
    one message, too; who reads nothing would hold up for ever who sends to it. Once nothing new is to come (`leaving`),
    so long it may take for all that is left.
    """

    connected: bool
    _leaving: Deadline | None = None
    _bare = 0
    """Frames that came and completed no message: of the connection itself, and pieces."""
    _cut_off = False
    """Was it ended in the middle of something that was too long, or made no sense?"""

    def __init__(
        self,
        environ: Mapping[str, Any],
        max_message_size: int,
        patience: float,
        *,
        leaving: Callable[[], bool] = lambda: False,
        pay: Callable[[int], bool] = lambda count: True,
    ):
        """pay: is told of frames that completed no message, and may block; False ends the link."""
        self._sending = threading.Lock()
        self._patience = patience
        self._is_leaving = leaving
        self._pay = pay
        super().__init__(
            _uncompressed(environ), receive_bytes=_RECEIVE_BYTES, max_message_size=max_message_size,
            thread_class=_NoThread,
        )  # fmt: skip
        events, self.ws.events = self.ws.events, lambda: self._counted(events())
        if isinstance(self.sock, ssl.SSLSocket):  # it asks again for ever where the kernel's patience has ended
            self.sock.settimeout(patience)
            return
        limit = time_value(patience)  # not `settimeout`, which makes a call of the kernel into two
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def send(self, data: str | bytes) -> None:
        """Send one message; blocks while the browser does not read, and ends the link where that takes too long.

        Errors: `ConnectionClosed`, OSError."""
        if not self.connected:
            raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)
        opcode, payload = (_FINAL_BYTES, data) if isinstance(data, bytes) else (_FINAL_TEXT, data.encode())
        try:
            with self._sending:
                _send_whole(self.sock, [_head(opcode, len(payload)), payload], self._time_to_send())
        except OSError:
            self.end()  # half a message may have gone
            raise

    def _time_to_send(self) -> Deadline:
        if self._leaving is None and self._is_leaving():
            self._leaving = Deadline(self._patience)
        return self._leaving or Deadline(self._patience)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message; blocks until it is there (`timeout` means nothing). Errors: `ConnectionClosed`."""
        while not self.input_buffer:
            if not self.connected:
                self.end()
                raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)
            if not (self._receive_some() and self._paid()):
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
            goes_on = bool(self._handle_events())
        except ProtocolError:
            self._cut_off = True
            return False
        except OSError:
            return False
        self._cut_off = not goes_on and self.ws.state is ConnectionState.LOCAL_CLOSING
        return goes_on

    def _counted(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self._bare += not getattr(event, "message_finished", False)
            yield event

    def _paid(self) -> bool:
        bare, self._bare = self._bare, 0
        return not bare or self._pay(bare)

    def end(self) -> None:
        """Let go of the connection, and of a thread that sends still to a browser that has stopped reading.

        A browser that is sending is reset when the server closes the connection. What is left unread does that too; but
        where the server has just read all that had come, its kernel says nothing, being shut for reading, and the
        browser waits for a minute to send the rest.
        """
        with contextlib.suppress(OSError):
            if self._cut_off or self._is_sending():
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.sock.shutdown(socket.SHUT_RDWR)

    def _is_sending(self) -> bool:
        """Whether something has come that nobody has read."""
        if isinstance(self.sock, ssl.SSLSocket):
            return False  # there is no looking into it
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False


class _NoThread:
    """What simple-websocket takes for its thread that reads: there is none."""

    name = ""

    def __init__(self, target: Any):
        pass

    def start(self) -> None:
        pass


def _uncompressed(environ: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in environ.items() if name != "HTTP_SEC_WEBSOCKET_EXTENSIONS"}


def time_value(seconds: float, option: int = socket.SO_RCVTIMEO) -> bytes:
    """Seconds as the kernel takes them for this option."""
    numbers = "@qq" if option == _SO_RCVTIMEO_NEW else "@ll"
    return struct.pack(numbers, int(seconds), int(seconds % 1 * 1e6))


def _head(opcode: int, length: int) -> bytes:
    """What stands before a message of one frame."""
    if length < 126:
        return _SHORT.pack(opcode, length)
    return _MIDDLE.pack(opcode, 126, length) if length < 65536 else _LONG.pack(opcode, 127, length)


def _send_whole(sock: socket.socket, parts: list[bytes], time: Deadline) -> None:
    """Give all of it to the kernel, in one call where it takes that. Errors: OSError, also where it takes too long."""
    if time.over:  # the time is that of many messages, each of which the kernel may have taken whole
        raise TimeoutError("The browser has not read all that was left in time.")
    if isinstance(sock, ssl.SSLSocket):
        parts, sent = [b"".join(parts)], 0
    else:
        sent = sock.sendmsg(parts)
    for part in parts:
        left = memoryview(part)[sent:]
        while left:
            if time.over:
                raise TimeoutError("The browser does not read.")
            left = left[sock.send(left) :]
        sent = max(0, sent - len(part))
