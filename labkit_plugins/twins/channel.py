"""One end of a control connection inside a twin's program: packets of JSON both ways, without waiting.

Used by `program` and `neighbours`. Packets that the other side does not take yet wait here, so many at most: who reads
nothing is cut off, and finds everything as it is when it comes again.
"""

from __future__ import annotations

import json
import select
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from labkit_plugins.twins.control import PACKET

_WAITING_LIMIT = 10_000


class Channel:
    """A connection. `received` gets each packet's text, `gone` is called once when it ends other than by `close`."""

    def __init__(
        self, connected: socket.socket, received: Callable[[Channel, str], None], gone: Callable[[Channel], None]
    ):
        connected.setblocking(False)
        self._socket = connected
        self._received = received
        self._gone = gone
        self._waiting: deque[bytes] = deque()
        self.fd = connected.fileno()
        self.closed = False

    @property
    def wanted(self) -> int:
        """The events of `poll` that this connection waits for."""
        return select.POLLIN | (select.POLLOUT if self._waiting else 0)

    def send(self, packet: Mapping[str, Any] | str) -> None:
        """Send an object as JSON, or a request as it is; it goes out in its turn."""
        if self.closed:
            return
        self._waiting.append((packet if isinstance(packet, str) else json.dumps(packet)).encode())
        if len(self._waiting) > _WAITING_LIMIT:
            self._end()
        else:
            self._flush()

    def serve(self, events: int) -> None:
        """Do what `poll` has said is possible: take one packet, send what waits."""
        if events & select.POLLOUT:
            self._flush()
        if events & ~select.POLLOUT and not self.closed:
            self._take()

    def close(self) -> None:
        """Close it; twice is fine."""
        self.closed = True
        self._socket.close()

    def _take(self) -> None:
        try:
            packet = self._socket.recv(PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._received(self, packet.decode("utf-8", "replace"))
        else:
            self._end()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._socket.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError:  # it has gone
            self._end()

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._gone(self)
