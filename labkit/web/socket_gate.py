"""What a browser may send to labkit's sockets at all: the request that opens one, and its frames. Used by the sockets.

The libraries below answer an odd request with a 500, and an odd frame with a traceback in the log and a connection that
hangs. Here such a request is refused, and such a connection closed, before they see it; and who asks for too much is
made to wait, see `visitors`. What a well-formed event asks for is none of this module's business.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
from collections.abc import Mapping
from typing import Any

import wsproto
from engineio.async_drivers._websocket_wsgi import SimpleWebSocketWSGI
from socketio.packet import ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT, Packet

from labkit.threads import LabThread
from labkit.web.link import Link
from labkit.web.places import RETRY_AFTER, Places
from labkit.web.visitors import VISIT, Verdict, Visit, Visitors

log = logging.getLogger("labkit.sockets")

MOST_ATTACHMENTS = 16
MOST_WAITING, MOST_WAITING_BYTES, FEW = 10_000, 8_000_000, 32
"""Messages, and bytes in more than a few of them, that wait to be sent to a page that goes on asking: beyond this it is
let go. What feeds send waits for acknowledgements; what a task says does not, and may come in thousands of lines."""
GOODBYE_SECONDS = 2.0
"""For so long a connection that is to be closed goes on sending what its page was to be told."""
MOST_LEVELS = 200
"""Lists and objects within each other, in one event: what is nested deeper can't be taken apart safely."""

_FULL = {
    "status": "503 SERVICE UNAVAILABLE",
    "headers": [("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", str(RETRY_AFTER))],
    "response": b"The lab is full: too many of its pages are open. Try again in a moment.",
}
_TOO_MANY = {
    "status": "429 TOO MANY REQUESTS",
    "headers": [("Content-Type", "application/json"), ("Retry-After", str(RETRY_AFTER))],
    "response": json.dumps(
        {"error": True, "message": "Your session has too many pages open here, or opens them too quickly."}
    ).encode(),
}
_LEAST_PRICE, _PRICES, _BYTES_FOR_ONE = 0.1, {"ack": 0.1, "subscribe": 4.0}, 10_000
"""What a frame costs of what a session may ask: an event 1, an acknowledgement less (one goes with each picture), a
subscription more (it is sent what was kept); so many bytes cost 1 more."""
_CONTROL = re.compile(r"1|[23](?:probe)?|5|6")
"""Frames of the connection itself: close, ping, pong, upgrade, noop."""
_MESSAGE = re.compile("4[0-6]")
_RESERVED = ("connect", "disconnect", "*")
"""Names that mean something to the library and are no events of a page."""


def keep_nonsense_out(server: Any, message_bytes: int, places: Places, visitors: Visitors) -> None:
    """Stand before a Socket.IO server that speaks WebSocket only: requests, then frames, none above `message_bytes`.

    Each connection has a place for as long as it is open; where there is none, or none for its session, it is told so.
    """
    engine = server.eio
    connect = engine._handle_connect

    def handle_connect(environ: dict[str, Any], *rest: Any) -> Any:
        if not _shakes_hands(environ):
            return engine._bad_request("Invalid websocket upgrade")
        with places.one() as found:
            if not found:
                return _FULL
            with visitors.visit(environ, places.most) as visit:
                environ[VISIT] = visit
                return connect(environ, *rest) if visit else _TOO_MANY  # it returns when the connection is over

    class WebSocket(_WebSocket):
        def __init__(self, handler: Any, server: Any):
            patience = engine.ping_interval + engine.ping_timeout
            super().__init__(handler, server, max_message_size=message_bytes, patience=patience)

    engine._handle_connect = handle_connect
    engine._log_error_once = _log_refusal
    engine._async = {**engine._async, "websocket": WebSocket}  # a copy: the lab's own server has the other


def _log_refusal(_: str, reason: str) -> None:
    """In the library's place: its line has what was sent in it, be that lines of their own or what moves a cursor."""
    log.info("connection was refused reason=%s", reason)


def _shakes_hands(environ: Mapping[str, Any]) -> bool:
    """Whether the request's headers open a WebSocket; tried as the server below will do it."""
    tokens = {token.strip() for token in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    if "upgrade" not in tokens:
        return False
    head = "".join(
        f"{key[5:].replace('_', '-')}: {value}\r\n" for key, value in environ.items() if key.startswith("HTTP_")
    )
    try:
        connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        connection.receive_data(f"GET / HTTP/1.1\r\n{head}\r\n".encode())
        return any(isinstance(event, wsproto.events.Request) for event in connection.events())
    except (wsproto.utilities.ProtocolError, ValueError):
        return False


_ENDS: Mapping[str, type[Exception]] = {"gunicorn": StopIteration, "werkzeug": ConnectionError}
"""By what a server learns that the connection has been used up and is over."""


class _WebSocket(SimpleWebSocketWSGI):  # type: ignore[misc]  # it brings no types
    """One connection, which ends with the first frame that makes no sense."""

    _missing = 0
    """Attachments that the last event has announced, and that did not come yet."""
    _visit: Visit
    _end: LabThread | None = None

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Any:
        self._visit = environ[VISIT]
        self.ws = Link(environ, **self.server_args, leaving=lambda: self._over, pay=self._pay)
        answer = self.app(self)
        self.ws.end()  # Flask's own server would wait on it for the next request
        if self._end is not None:
            self._end.stop()
        if self.ws.mode in _ENDS:
            raise _ENDS[self.ws.mode]
        return answer

    @property
    def _over(self) -> bool:
        """Whether one of both has said good-bye."""
        return bool(self.app.__self__.closed)

    def _pay(self, frames: int) -> bool:
        return self._visit.ask(frames * _LEAST_PRICE, 0) is not Verdict.END

    def wait(self) -> str | bytes | None:
        """The next frame; None: the connection is over."""
        frame: str | bytes | None = super().wait()
        if frame is None:
            return None
        if self._over:  # the library would deal with what comes now as if it had not forgotten who says it
            self._let_go()
            return None
        price = self._price(frame)
        if price is None:
            log.info("socket was closed: it sent what makes no sense bytes=%d", len(frame))
            self._let_go()
            return None
        verdict = self._visit.ask(price + len(frame) / _BYTES_FOR_ONE, len(self.ws.input_buffer))
        if verdict is Verdict.END:
            log.warning("socket was closed: it did not come in, or sent on and on while it was refused")
            self._let_go()
            return None
        if too_much_waits(self.app.__self__.queue):
            log.warning("socket was closed: it asks on and on, and does not read the answers")
            self.ws.end()
            return None
        if isinstance(frame, str):  # what belongs to an event shares its fate
            self._visit.refused = verdict is Verdict.REFUSE
        return frame

    def _let_go(self) -> None:
        """Of a thread that sends still, too: the library waits for that one, and the browser may not read. What it was
        told before is sent first, for a moment."""

        def end(stopping: threading.Event) -> None:
            stopping.wait(GOODBYE_SECONDS)
            self.ws.end()

        self._end = LabThread("socket-end", end)
        try:
            self._end.start()
        except RuntimeError:  # no thread can be had
            self.ws.end()

    def _price(self, frame: str | bytes) -> float | None:
        """What a frame costs, beside its bytes; None: it makes no sense."""
        if isinstance(frame, bytes):
            self._missing -= 1
            return _LEAST_PRICE if self._missing >= 0 else None
        if self._missing:
            return None
        if not _MESSAGE.match(frame):
            return _LEAST_PRICE if _CONTROL.fullmatch(frame) else None
        try:
            packet = Packet(encoded_packet=frame[1:])
        except (ValueError, TypeError, RecursionError):
            return None
        self._missing = packet.attachment_count
        if self._missing and not self._visit.is_in:  # the library below fails at that
            return None
        return packet_price(packet) if packet_makes_sense(packet) else None


def too_much_waits(unsent: queue.Queue[Any]) -> bool:
    """Whether more packets wait to be sent than a page that reads ever has before it."""
    count = unsent.qsize()
    if count <= FEW or count > MOST_WAITING:
        return count > FEW
    with unsent.mutex:
        return sum(len(packet.data or "") for packet in unsent.queue if packet is not None) > MOST_WAITING_BYTES


def packet_price(packet: Any) -> float:
    """What a packet that makes sense costs: coming in is like an event, and going or an answer is next to nothing."""
    if packet.packet_type in (EVENT, BINARY_EVENT):
        return _PRICES.get(packet.data[0], 1.0)
    return 1.0 if packet.packet_type == CONNECT else _LEAST_PRICE


def packet_makes_sense(packet: Any) -> bool:
    """Whether a decoded packet of Socket.IO can be dealt with: an event with its attachments, coming, going, an ack."""
    if packet.packet_type in (CONNECT, DISCONNECT):
        return not packet.attachment_count
    if packet.packet_type == ACK:
        return isinstance(packet.data, list) and not packet.attachment_count
    if packet.packet_type == BINARY_EVENT:
        if not 0 < packet.attachment_count <= MOST_ATTACHMENTS:
            return False
    elif packet.packet_type != EVENT or packet.attachment_count:
        return False
    data = packet.data
    if not isinstance(data, list) or not data or not isinstance(data[0], str) or data[0] in _RESERVED:
        return False
    return _fits_together(data, packet.attachment_count)


def _fits_together(data: list[Any], attachments: int) -> bool:
    """Whether an event is not nested too deep, and each place for an attachment names one."""
    level: list[Any] = [data]
    for _ in range(MOST_LEVELS):
        if not level:
            return True
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if attachments and item.get("_placeholder") and not _names_one(item.get("num"), attachments):
                    return False
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
    return False


def _names_one(number: Any, attachments: int) -> bool:
    return isinstance(number, int) and 0 <= number < attachments
