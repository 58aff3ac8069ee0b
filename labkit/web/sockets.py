"""labkit's own Socket.IO server, at /labkit/socket.io: what a page may ask for, and who may ask. Used by the extension.

The lab's own Socket.IO, if it has one, is none of its business: `app.extensions["socketio"]` stays as it was. Every
event is guarded first; where the guard says no, the handler does not run and the socket is disconnected. Every event
is answered with `{"ok": true, ...}` or as in `socket_answers`, whatever it carries.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import flask
import flask_socketio
from engineio.exceptions import EngineIOError
from socketio.packet import ACK

from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose
from labkit.errors import BadRequestError, StoreUnavailableError, WebLabError
from labkit.lab import Lab
from labkit.store.sessions import SessionRecord, SessionState
from labkit.threads import LabThread
from labkit.web.frames import Drop, Send
from labkit.web.lanes import Lanes
from labkit.web.origin import own_pages_only
from labkit.web.page_requests import FeedRequest, call_request, feed_request
from labkit.web.places import Places
from labkit.web.relay import ANSWERED_SECONDS, Relay
from labkit.web.session_view import shown_state
from labkit.web.socket_answers import Answer, failed_unforeseen, not_done, over, put_out, too_many
from labkit.web.socket_gate import keep_nonsense_out
from labkit.web.visitors import NOBODY, VISIT, Visitors, session_of

log = logging.getLogger("labkit.sockets")

PATH = "labkit/socket.io"
MESSAGE_BYTES = 1_000_000
MOST_FEEDS = 64
MOST_UNSENT = 256
"""Messages that wait to be sent to a page, beyond which it gets no feed more: it does not read what it has."""
PING_SECONDS = 10
PONG_SECONDS = 60
"""How late the answer to a ping may be: a browser may be busy, or on the other side of the world."""
CALL_SECONDS = 30.0
"""The longest call of a page, whatever `timeout` it asks for. What takes longer is a task."""

VOUCHED_SECONDS = 1.0
"""For how long the guard's word on a socket holds for what it acknowledges; a poll is counted as often."""

Guard = Callable[[], SessionRecord | None]
"""Reads the session of the request and counts a poll; None: there is none. Errors: `StoreUnavailableError`."""
Call = Callable[[SessionRecord, str, str, list[Any], dict[str, Any]], Any]
"""Uses a command that is marked `panel`: session, device, command, args, kwargs. Errors: `WebLabError`."""
Sort = Callable[[str, str], str]
"""How a feed travels, by device and feed: 'bytes', 'state' or 'frames'; '': it is not known."""
Logout = Callable[[SessionRecord], None]
Handler = Callable[[str, SessionRecord, Any], Answer]


class LabSockets:
    """The sockets of one app. Making it starts nothing; `make_relay` is called with the first page that comes in.

    most: sockets that may be open at once, 0: any number. visitors: what one session may ask for, None: anything.
    """

    def __init__(
        self,
        app: flask.Flask,
        *,
        guard: Guard,
        call: Call,
        logout: Logout,
        make_relay: Callable[[Send, Drop], Relay],
        sort: Sort,
        most: int = 0,
        visitors: Visitors | None = None,
    ):
        self._guard = guard
        self._call = call
        self._logout = logout
        self._make_relay = make_relay
        self._sort = sort
        self.places = Places(most)
        self.visitors = visitors or Visitors(lambda environ: NOBODY, events=0, sockets=0)
        self._relay: Relay | None = None
        self._lock = threading.Lock()
        self._sending = threading.RLock()
        self._transports: dict[str, str] = {}
        self._vouched: dict[str, Deadline] = {}
        self._lanes = Lanes()
        self._server = self._install(app)

    def __repr__(self) -> str:
        return f"<LabSockets /{PATH} sockets={len(self._transports)}>"

    @property
    def relay(self) -> Relay:
        """What passes feeds and events to the pages."""
        with self._lock:
            if self._relay is None:
                self._relay = self._make_relay(self._send, self._drop)
            return self._relay

    def full_for(self, session_id: str) -> bool:
        """Whether there is no place for a page of a session. One that has a page here may be reloading that one."""
        if not self.places.full:
            return False
        with self._lock:
            relay = self._relay
        return relay is None or not relay.has_pages(session_id)

    def close(self) -> None:
        """End the relay's thread. Twice is fine; the next page starts it again."""
        with self._lock:
            relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    def _install(self, app: flask.Flask) -> Any:
        """Put a server before the app, and leave the name under which the lab's own is found alone."""
        before = app.extensions.get("socketio")
        sockets = flask_socketio.SocketIO()
        sockets.on_event("connect", self._connect)
        sockets.on_event("disconnect", self._disconnect)
        for name, handler in self._handlers().items():
            sockets.on_event(name, self._guarded(handler))
        sockets.on_event("*", self._guarded(_no_event))
        sockets.on_error_default(_failed_unforeseen)
        sockets.init_app(
            app, path=PATH, async_mode="threading", transports=["websocket"], async_handlers=False,
            ping_interval=PING_SECONDS, ping_timeout=PONG_SECONDS, max_http_buffer_size=MESSAGE_BYTES,
            cors_allowed_origins=own_pages_only(app),
        )  # fmt: skip
        app.extensions.pop("socketio")
        if before is not None:
            app.extensions["socketio"] = before
        self._keep_frames_together(sockets.server)
        self._sort_events(sockets.server)
        keep_nonsense_out(sockets.server, MESSAGE_BYTES, self.places, self.visitors)
        return sockets.server

    def _keep_frames_together(self, server: Any) -> None:
        """Let one thread at a time send: a message with bytes is several frames, and a browser that finds another one's
        between them (the relay sends feeds while a socket's own thread answers) takes the connection for broken."""
        send_packet = server._send_packet

        def send_whole(*args: Any) -> None:
            with self._sending:
                send_packet(*args)

        server._send_packet = send_whole

    def _sort_events(self, server: Any) -> None:
        """Have calls dealt with beside the other events: one that waits for its device must not hold up its page. And
        have what a page acknowledges taken at once: it does so with every picture."""
        handle = server._handle_event_internal

        def deal_with(server: Any, sid: str, eio_sid: str, data: list[Any], namespace: str, id: Any) -> None:
            if server.environ[eio_sid][VISIT].refused:
                if id is not None:
                    packet = server.packet_class(ACK, namespace=namespace, id=id, data=[too_many()])
                    server._send_packet(eio_sid, packet)
                return
            if data[0] == "ack" and id is None and self._vouched_for(sid):
                self._take_acknowledgement(sid, data)
                return
            device = _device_called(data)
            if device is None:
                handle(server, sid, eio_sid, data, namespace, id)
            else:
                self._lanes.run(sid, device, lambda: handle(server, sid, eio_sid, data, namespace, id))

        server._handle_event_internal = deal_with

    def _vouched_for(self, sid: str) -> bool:
        """Whether the guard has let this socket in a moment ago, and its session goes on as far as the relay has heard.

        Enough for an acknowledgement, which asks for nothing that the relay would not refuse by itself.
        """
        vouched = self._vouched.get(sid)
        return vouched is not None and not vouched.over and self.relay.goes_on(sid)

    def _take_acknowledgement(self, sid: str, data: list[Any]) -> None:
        with contextlib.suppress(BadRequestError):  # nobody waits for an answer that would say so
            self._pass_acknowledgement(sid, feed_request(data[1] if len(data) > 1 else None))

    def _send(self, sid: str, event: str, data: dict[str, Any]) -> None:
        with self._sending:
            try:
                self._server.emit(event, data, to=sid)
            except (EngineIOError, KeyError):  # it went at this moment
                log.debug("event found no socket event=%s", event)

    def _drop(self, sid: str) -> None:
        transport = self._transports.pop(sid, None)
        if transport is not None:
            LabThread("socket-drop", lambda _: self._close_socket(sid, transport)).start()  # it tells who listens

    def _close_socket(self, sid: str, transport: str) -> None:
        """Say good-bye. What is still to be sent is sent first, by the connection's own thread, as long as the link has
        patience with a browser that does not read: nobody else waits for that."""
        try:
            socket = self._server.eio.sockets.get(transport)
            self._server.disconnect(sid)
            if socket is not None:
                socket.close(wait=False)
        except (EngineIOError, KeyError):
            log.debug("socket was gone already")

    # -- coming and going

    def _connect(self, auth: Any = None) -> None:
        sid = _sid()
        self._transports[sid] = self._server.manager.eio_sid_from_sid(sid, "/")
        try:
            self.relay.watch(sid, self._session_to_enter())
        except (StoreUnavailableError, _NoEntry) as error:
            self.relay.dismiss(sid, ANSWERED_SECONDS)
            reason = error.reason if isinstance(error, _NoEntry) else "store"
            raise flask_socketio.ConnectionRefusedError(str(error), {"reason": reason}) from error
        flask.request.environ[VISIT].come_in()

    def _session_to_enter(self) -> str:
        record = self._guard()
        if record is None:
            raise _NoEntry("unknown", "You have no session here. Enter by the link that you were given.")
        if record.state is SessionState.STARTING:
            raise _NoEntry("starting", "Your session is being prepared. Try again in a moment.")
        if record.state is not SessionState.ACTIVE:
            raise _NoEntry(record.reason or "unknown", over(record))
        return record.session_id

    def _disconnect(self, *_: Any) -> None:
        self._transports.pop(_sid(), None)
        self._vouched.pop(_sid(), None)
        flask.request.environ[VISIT].leave()
        with self._lock:
            relay = self._relay
        if relay is not None:  # none is made for who goes
            relay.forget(_sid())

    def _guarded(self, handler: Handler) -> Callable[..., Answer]:
        """The one way to a handler: only for a socket whose session is active now, and the one it came in with."""

        def guarded(*values: Any) -> Answer:
            sid = _sid()
            try:
                record = self._guard()
            except StoreUnavailableError as error:
                return not_done(error)
            if record is None or record.state is not SessionState.ACTIVE or self.relay.shows(sid) != record.session_id:
                self._vouched.pop(sid, None)
                self.relay.dismiss(sid, ANSWERED_SECONDS)
                return put_out(record)
            if sid in self._transports:
                self._vouched[sid] = Deadline(VOUCHED_SECONDS)
            try:
                return {"ok": True, **handler(sid, record, values[0] if values else None)}
            except WebLabError as error:
                return not_done(error)

        return guarded

    # -- what a page may ask for

    def _handlers(self) -> dict[str, Handler]:
        return {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ack": self._acknowledge,
            "call": self._call_command,
            "poll": self._poll,
            "logout": self._log_out,
        }

    def _subscribe(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        asked = feed_request(given)
        asked.check(record)
        if self.relay.subscribed(sid) >= MOST_FEEDS:
            raise WebLabError(f"This page has {MOST_FEEDS} feeds already. Unsubscribe from one first.")
        if self._unsent(sid) > MOST_UNSENT:
            raise WebLabError("This page does not read what it is sent already.")
        if self._sort(asked.device, asked.feed) == "frames":
            goes_on = self.relay.show_frames(sid, asked.device, asked.feed)
        else:
            goes_on = self.relay.subscribe(sid, asked.device, asked.feed, asked.cursor)
        if not goes_on:
            raise WebLabError("The session is over; its devices say nothing more.")
        return {}

    def _unsent(self, sid: str) -> int:
        socket = self._server.eio.sockets.get(self._transports.get(sid))
        return 0 if socket is None else int(socket.queue.qsize())

    def _unsubscribe(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        asked: FeedRequest = feed_request(given)
        self.relay.unsubscribe(sid, asked.device, asked.feed)
        return {}

    def _acknowledge(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        self._pass_acknowledgement(sid, feed_request(given))
        return {}

    def _pass_acknowledgement(self, sid: str, asked: FeedRequest) -> None:
        if asked.frame is not None:
            self.relay.acknowledge_frame(sid, asked.device, asked.feed, asked.frame)
        else:
            self.relay.acknowledge(sid, asked.device, asked.feed, asked.require_cursor())

    def _call_command(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        asked = call_request(given)
        return {"result": self._call(record, asked.device, asked.command, asked.args, asked.kwargs)}

    def _poll(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        self.relay.keep_going()
        return {"state": shown_state(record.state), "now": record.now, "time_left": record.time_left}

    def _log_out(self, sid: str, record: SessionRecord, given: Any) -> Answer:
        self._logout(record)
        return {}


def lab_sockets(lab: Lab) -> LabSockets:
    """Make the sockets of a lab's app."""

    def guard() -> SessionRecord | None:
        session_id = flask.session.get(lab.settings.session_id_name)
        if not isinstance(session_id, str) or not session_id:
            return None
        return lab.sessions.touch(session_id, poll=True)

    def call(record: SessionRecord, device: str, command: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        bound = BoundSession(session_id=record.session_id, purpose=Purpose.REQUEST, fences=record.fences)
        name = lab.devices.proxy(bound, device).name
        fence = bound.fences[name.partition("/")[0]]
        seconds = min(CALL_SECONDS, lab.caller.seconds_for(name, command, args, kwargs))
        return lab.caller.submit(
            name, command, fence=fence, seconds=seconds, args=args, kwargs=kwargs, panel=True
        ).result()

    def make_relay(send: Send, drop: Drop) -> Relay:
        return Relay(lab.feeds, lab.sessions, send, drop)

    def sort(device: str, feed: str) -> str:
        bench, _, name = device.partition("/")
        return str(lab.caller.devices_of(bench).get(name, {}).get("feeds", {}).get(feed, {}).get("type", ""))

    def logout(record: SessionRecord) -> None:
        lab.sessions.exit(record.session_id)

    limits = lab.settings
    who = session_of(lab.app, limits.session_id_name)
    visitors = Visitors(who, events=limits.most_events, sockets=limits.most_sockets)
    return LabSockets(
        lab.app, guard=guard, call=call, logout=logout, make_relay=make_relay, sort=sort, most=limits.most_pages,
        visitors=visitors,
    )  # fmt: skip


class _NoEntry(WebLabError):
    """A browser that may not come in; `reason` is for its page: 'starting', 'unknown', or why the session ended."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)


def _sid() -> str:
    return str(flask.request.sid)  # type: ignore[attr-defined]  # set by flask_socketio


def _device_called(data: list[Any]) -> str | None:
    """The device that an event calls; None where it is no call, or none that makes sense."""
    asked = data[1] if data[0] == "call" and len(data) > 1 else None
    device = asked.get("device") if isinstance(asked, dict) else None
    return device if isinstance(device, str) else None


def _no_event(sid: str, record: SessionRecord, name: Any) -> Answer:
    raise BadRequestError("event", f"There is no event {str(name)[:40]!a}.")


def _failed_unforeseen(error: Exception) -> Answer:
    """What nobody foresaw: logged, and never taken for a yes (what this returned for a `connect` would let it in)."""
    event = flask.request.event["message"]  # type: ignore[attr-defined]  # set by flask_socketio
    log.error("socket event failed event=%s", event, exc_info=error)
    if event == "connect":
        raise flask_socketio.ConnectionRefusedError("The lab failed to check your session.", {"reason": "store"})
    return failed_unforeseen()
