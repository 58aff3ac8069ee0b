"""The relay: passes feeds and events of sessions from the store to the browsers of one web process.

Used by `sockets`, which decides who may see what. One thread with one blocking read serves everybody; each viewer has
a place of its own in each feed, held as a cursor that the browser knows too, so that nothing hangs on this process.

That one thread must not end: what fails unforeseen in one step is logged and costs one event, or one socket, which is
sent away and comes again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from labkit.clock import Deadline
from labkit.errors import StoreUnavailableError
from labkit.store.feeds import READ_COUNT, Cursor, FeedEntry, FeedId, FeedStore, Piece, joined, pieces_after
from labkit.store.frames import FramesId
from labkit.store.sessions import Sessions
from labkit.threads import LabThread, stop_all
from labkit.web.frames import Drop, FrameRelay, Send
from labkit.web.pace import Pace
from labkit.web.session_view import Message, SessionView
from labkit.web.subscription import Subscription

log = logging.getLogger("labkit.relay")

BLOCK_SECONDS = 5.0
RETRY_SECONDS = 0.5
MESSAGE_BYTES = 64 * 1024
DISMISS_SECONDS = 0.5
ANSWERED_SECONDS = 3.0
"""As long, where the answer is still to be given: the thread that gives it may lose its turn on a busy machine."""


class Relay:
    """Feeds and events for the sockets of one process. All methods may be called from any thread; none waits for long.

    The thread starts with the first viewer, and anew with the next sign of one where it has ended. While the store is
    away viewers are told so (event `store`), and everything goes on by itself, without a gap that is not stated, when
    it is back.
    """

    def __init__(self, feeds: FeedStore, sessions: Sessions, send: Send, drop: Drop):
        self._feeds = feeds
        self._sessions = sessions
        self._send = send
        self._drop = drop
        self._frames = FrameRelay(feeds.frames, send, drop)
        self._watch = feeds.watch()
        self._lock = threading.RLock()
        self._views: dict[str, SessionView] = {}
        self._view_of: dict[str, SessionView] = {}
        self._subscriptions: dict[tuple[str, str, str], Subscription] = {}
        self._dismissed: dict[str, Deadline] = {}
        self._thread: LabThread | None = None
        self._store_answers = True

    def __repr__(self) -> str:
        return f"<Relay viewers={len(self._view_of)} subscriptions={len(self._subscriptions)}>"

    # -- called by the sockets' threads

    def watch(self, sid: str, session_id: str) -> None:
        """Show a session to a socket: its state now (event `session`), then all that happens to it."""
        with self._lock:
            view = self._views.setdefault(session_id, SessionView(session_id))
            view.add(sid)
            self._view_of[sid] = view
        self._nudge()

    def shows(self, sid: str) -> str | None:
        """The session that a socket is shown; None: none (any more)."""
        view = self._view_of.get(sid)
        return None if view is None else view.session_id

    def has_pages(self, session_id: str) -> bool:
        """Whether a session is shown to some socket here."""
        return session_id in self._views

    def goes_on(self, sid: str) -> bool:
        """Whether a socket is shown a session that goes on, as far as is known here."""
        view = self._view_of.get(sid)
        return view is not None and not view.over

    def subscribe(self, sid: str, device: str, feed: str, cursor: Cursor | None) -> bool:
        """Send a feed to a socket that watches its session, from a cursor on (None: all that is kept).

        Once more: from the new cursor. False: it watches none that goes on.
        """
        with self._lock:
            view = self._view_of.get(sid)
            if view is None or view.over:
                return False
            self._end([(sid, device, feed)])
            name = FeedId(session_id=view.session_id, device=device, feed=feed)
            self._subscriptions[sid, device, feed] = Subscription(sid, name, cursor)
        self._nudge()
        return True

    def show_frames(self, sid: str, device: str, feed: str) -> bool:
        """Send the newest frames of a feed of frames to a socket. Returns as `subscribe`."""
        with self._lock:
            view = self._view_of.get(sid)
            if view is None or view.over:
                return False
            self._frames.add(sid, FramesId(session_id=view.session_id, device=device, feed=feed))
        self._frames.wake()
        return True

    def subscribed(self, sid: str) -> int:
        """How many feeds a socket is sent."""
        with self._lock:
            return sum(1 for key in self._subscriptions if key[0] == sid) + self._frames.count(sid)

    def unsubscribe(self, sid: str, device: str, feed: str) -> None:
        """Stop sending a feed. One that is not sent is no error."""
        with self._lock:
            self._end([(sid, device, feed)])
        self._frames.remove(sid, device, feed)

    def acknowledge(self, sid: str, device: str, feed: str, cursor: Cursor) -> bool:
        """The browser has shown a feed up to a cursor, so more may be sent. False: it was never sent that much."""
        with self._lock:
            subscription = self._subscriptions.get((sid, device, feed))
            if subscription is None:
                return True  # it was on its way when the feed ended
            had_room = subscription.has_room
            known = subscription.acknowledge(cursor)
            resumes = subscription.wants and not had_room
        if resumes:
            self._nudge()
        return known

    def acknowledge_frame(self, sid: str, device: str, feed: str, number: int) -> None:
        """The browser has shown a frame, so the next one may be sent. One that it was never sent is no error."""
        self._frames.acknowledge(sid, device, feed, number)

    def keep_going(self) -> None:
        """A viewer is still there: where the thread has ended all the same, it starts anew."""
        with self._lock:
            if self._view_of and self._start():
                log.error("relay had ended and was started anew")

    def dismiss(self, sid: str, seconds: float = DISMISS_SECONDS) -> None:
        """Disconnect a socket in so many seconds: what it is being answered still goes out first."""
        with self._lock:
            self._dismissed.setdefault(sid, Deadline(seconds))
        self._nudge()

    def forget(self, sid: str) -> None:
        """A socket has gone. Twice is fine."""
        with self._lock:
            self._dismissed.pop(sid, None)
            self._end_all([sid])
            view = self._view_of.pop(sid, None)
            if view is not None and view.remove(sid):
                self._views.pop(view.session_id, None)

    def close(self, seconds: float = 2.0) -> None:
        """End the thread. Twice is fine."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            stop_all([thread], seconds)
        self._frames.close(seconds)

    def _end_all(self, sids: Collection[str]) -> None:
        """Send these sockets nothing more of any device."""
        self._end([key for key in self._subscriptions if key[0] in sids])
        self._frames.forget(sids)

    def _end(self, keys: Iterable[tuple[str, str, str]]) -> None:
        for key in keys:
            subscription = self._subscriptions.pop(key, None)
            if subscription is not None:
                subscription.closed = True

    def _nudge(self) -> None:
        with self._lock:
            self._start()
        self._wake()

    def _start(self) -> bool:
        """Start the thread unless it runs. True: it did not."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._set_back()  # what the last one had read and not sent
        self._thread = LabThread("relay", self._work, wake=self._wake)  # a forked child has none either
        self._thread.start()
        return True

    def _wake(self) -> None:
        with contextlib.suppress(StoreUnavailableError):  # the thread sees that for itself, and looks again soon
            self._watch.wake()

    # -- the relay's own thread

    def _work(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if not self._store_answers:
                    self._watch.wait({}, {}, 0)
                    self._store_is_back()
                self._round(stopping)
            except StoreUnavailableError as error:
                self._store_is_away(error)
                self._drop_dismissed()
                stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("relay round failed; it goes on")
                with self._lock:
                    self._set_back()
                stopping.wait(RETRY_SECONDS)

    def _set_back(self) -> None:
        """Have each feed read from its viewer's own place again."""
        for subscription in self._subscriptions.values():
            subscription.live = False

    @contextlib.contextmanager
    def _serving(self, sids: Iterable[str], what: str) -> Iterator[None]:
        """Do one step for some sockets: what fails there unforeseen is logged, and only they are sent away."""
        try:
            yield
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("relay failed at one step step=%s", what)
            for sid in list(sids):
                self._send_away(sid)

    def _send_away(self, sid: str) -> None:
        """Do nothing more for a socket, and disconnect it."""
        with self._lock:
            self._end_all([sid])
            if sid in self._view_of:
                self._view_of[sid].untold.discard(sid)
        self.dismiss(sid)

    def _round(self, stopping: threading.Event) -> None:
        pace = Pace()
        self._drop_dismissed()
        self._show_sessions()
        sent = self._catch_up()
        live, sessions, seconds = self._places()
        places = {feed: min(one.position for one in viewers) for feed, viewers in live.items()}
        news = self._watch.wait(places, sessions, seconds)
        for session_id, events in news.sessions.items():
            self._tell(session_id, events)  # before the feeds: who is out gets nothing more
        for feed, entries in news.feeds.items():
            sent = self._pass_on(live[feed], entries) or sent
        if sent:
            stopping.wait(pace.rest())

    def _places(self) -> tuple[dict[FeedId, list[Subscription]], dict[str, str], float]:
        """Who is to have what comes of each feed, from where to read each session, and how long to wait for more."""
        with self._lock:
            live: dict[FeedId, list[Subscription]] = {}
            for subscription in self._subscriptions.values():
                if subscription.live:
                    live.setdefault(subscription.feed, []).append(subscription)
            sessions = {view.session_id: view.position for view in self._views.values() if view.position}
            due = [deadline.left() for deadline in self._dismissed.values()]
            hurry = any(s.wants for s in self._subscriptions.values()) or any(v.untold for v in self._views.values())
        return live, sessions, 0.0 if hurry else min([BLOCK_SECONDS, *due])

    def _catch_up(self) -> bool:
        """Read for each viewer that is behind, from its own place. True: something was sent."""
        with self._lock:
            behind = [subscription for subscription in self._subscriptions.values() if subscription.wants]
        sent = False
        for subscription in behind:
            with self._serving([subscription.sid], "catch-up"):
                pieces = self._feeds.read(subscription.feed, subscription.cursor)
                with self._lock:
                    subscription.live = len(pieces) < READ_COUNT  # until `take` finds that there is no room for all
                sent = self._send_pieces(subscription, pieces) or sent
                with self._lock:
                    subscription.history = subscription.history and not subscription.live
        return sent

    def _pass_on(self, live: Sequence[Subscription], entries: Sequence[FeedEntry]) -> bool:
        sent = False
        for subscription in live:
            with self._serving([subscription.sid], "feed"):
                sent = self._send_pieces(subscription, pieces_after(subscription.cursor, entries)) or sent
                with self._lock:
                    if subscription.live:
                        subscription.position = max(subscription.position, entries[-1].end)
        return sent

    def _send_pieces(self, subscription: Subscription, pieces: Sequence[Piece]) -> bool:
        sent = False
        for piece in joined(pieces, MESSAGE_BYTES):
            with self._lock:
                if not subscription.take(piece):
                    break
            self._send(subscription.sid, "feed", subscription.message(piece))
            sent = True
        return sent

    def _show_sessions(self) -> None:
        """Tell sockets that were told nothing yet how their session stands; what happens afterwards are events."""
        with self._lock:
            fresh = [view for view in self._views.values() if view.untold]
        for view in fresh:
            with self._serving(view.untold, "session"):
                self._recall(view)
                record = self._sessions.touch(view.session_id, poll=False)
                with self._lock:
                    message = view.see(record)
                    told, view.untold = view.untold, set()
                self._show(view, told, message)

    def _recall(self, view: SessionView) -> None:
        """Read what has happened in a session that nobody here was shown before: the tasks that run, the devices."""
        more = not view.position
        view.position = view.position or "0-0"
        while more:
            events = self._watch.wait({}, {view.session_id: view.position}, 0).sessions.get(view.session_id, ())
            for position, fields in events:
                with self._lock, _one_event(position):
                    view.recall(position, fields)
            more = len(events) == READ_COUNT

    def _tell(self, session_id: str, events: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        view = self._views.get(session_id)
        if view is None:
            return
        for position, fields in events:
            message = None
            with self._lock:
                with _one_event(position):
                    message = view.hear(position, fields)
                told = view.sids - view.untold
            if message is not None:
                self._show(view, told, message)

    def _show(self, view: SessionView, sids: set[str], message: Message) -> None:
        with self._lock:
            if view.over:
                self._end_all(view.sids)
        for sid in sids:
            with self._serving([sid], message[0]):
                self._send(sid, *message)
            if view.gone:
                self.dismiss(sid)

    def _drop_dismissed(self) -> None:
        with self._lock:
            due = [sid for sid, deadline in self._dismissed.items() if deadline.over]
            for sid in due:
                del self._dismissed[sid]
        for sid in due:
            with self._serving([], "drop"):
                self._drop(sid)

    def _store_is_away(self, error: StoreUnavailableError) -> None:
        if self._store_answers:
            log.warning("relay waits for the store error=%s", error)
            self._store_answers = False
            self._send_all("store", {"ok": False})

    def _store_is_back(self) -> None:
        log.info("relay has the store back")
        self._store_answers = True
        with self._lock:
            for view in self._views.values():
                view.untold = set(view.sids)  # events of the last moments may be lost with them
            self._set_back()
        self._send_all("store", {"ok": True})

    def _send_all(self, event: str, data: dict[str, Any]) -> None:
        with self._lock:
            sids = list(self._view_of)
        for sid in sids:
            with self._serving([sid], event):
                self._send(sid, event, data)


@contextlib.contextmanager
def _one_event(position: str) -> Iterator[None]:
    """Take over one event of a session: one that makes no sense is logged and left out."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError):
        log.exception("event of a session was left out position=%s", position)
