"""A Socket.IO client that hears messages in the order in which they were sent, as a browser does. For any test."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import engineio
import socketio


class EngineInOrder(engineio.Client):  # type: ignore[misc]
    """Handles messages in the order of their coming, and goes without ceremony, as a browser does that is closed.

    By itself the client gives each message a thread of its own, and mixes up the frames of those with bytes; and when
    it goes it waits 3 s for a good-bye that may have been said already.
    """

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        return super()._trigger_event(event, *args, **{**options, "run_async": False})

    def disconnect(self, abort: bool = False, reason: str | None = None) -> None:
        self.cut()
        if threading.current_thread() is not self.read_loop_task:  # that one ends by itself now
            super().disconnect(reason=reason)

    def cut(self) -> None:
        """Break the connection."""
        if self.ws is not None and self.ws.sock is not None:
            self.ws.connected = False
            with contextlib.suppress(OSError):
                self.ws.sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Disconnect, and wait until nothing of the connection is left."""
        self.disconnect()
        self.wait()
        if self.ws is not None:
            self.ws.shutdown()


class ClientInOrder(socketio.Client):  # type: ignore[misc]
    def _engineio_client_class(self) -> type[engineio.Client]:
        return EngineInOrder
