"""Who comes to labkit's sockets, and how much they ask: nobody must take what all others need. Used by the socket gate.

A session has so many sockets, opens them only so quickly, and asks so much a second by all of them together. Who asks
for more has to wait, and its browser with it: TCP sees to that. Who sends on all the same is refused, event by event,
and who goes on with that is disconnected. All of it counts in this process only, in memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

import flask

from labkit.clock import Deadline
from labkit.web.rates import Buckets

VISIT = "labkit.visit"
"""Where a socket's visit is in the environment of its request."""
OPENED_PER_SECOND, OPENED_AT_ONCE = 2.0, 30.0
"""How quickly a session may open sockets."""
ENTER_SECONDS = 20.0
"""A connection that has not come in by then has no business here."""
MOST_WAITING = 64
"""Frames that have come and were not dealt with, beyond which they are refused instead of waiting."""
MOST_REFUSED = 500
"""Events that are refused before the connection is ended."""
CALM_SECONDS = 5.0
"""Without a moment in which it was too much, after which nobody counts those that were refused any more."""

NOBODY = ""
"""Who comes without a session; all such share one place."""

Who = Callable[[Mapping[str, Any]], str]
"""The session of a request's environment, or NOBODY."""


def session_of(app: flask.Flask, name: str) -> Who:
    """Reads sessions out of the cookies of an app, for requests that have not reached it yet."""

    def who(environ: Mapping[str, Any]) -> str:
        with app.request_context(dict(environ)):
            session_id = flask.session.get(name)
        return session_id if isinstance(session_id, str) else NOBODY

    return who


class Verdict(Enum):
    """What becomes of a frame."""

    PASS = "pass"
    REFUSE = "refuse"
    END = "end"


class Visit:
    """One connection. Its own thread asks; the others may be called from any.

    refused: what its last event was told, so that whoever deals with that does nothing.
    """

    def __init__(self, who: str, events: Buckets):
        self._who = who
        self._events = events
        self._refusals = 0
        self._calm = Deadline(0.0)
        self._entering: Deadline | None = Deadline(ENTER_SECONDS)
        self._pause = threading.Event()  # nobody sets it: it is only waited for
        self.refused = False

    def come_in(self) -> None:
        """The session's page is in."""
        self._entering = None

    def leave(self) -> None:
        """The page has left, and may come in again."""
        self._entering = Deadline(ENTER_SECONDS)

    @property
    def is_in(self) -> bool:
        return self._entering is None

    def ask(self, price: float, waiting: int) -> Verdict:
        """Pay for a frame; blocks where there was too much lately. waiting: how many frames have come behind it."""
        if self._entering is not None and self._entering.over:
            return Verdict.END
        if self._calm.over:
            self._refusals = 0
        while seconds := self._events.take(self._who, price):
            self._calm = Deadline(CALM_SECONDS)
            if waiting > MOST_WAITING:
                self._refusals += 1
                return Verdict.REFUSE if self._refusals <= MOST_REFUSED else Verdict.END
            self._pause.wait(seconds)
        return Verdict.PASS


class Visitors:
    """Those of one process. events: a second, of one session. sockets: of one session; 0: any number, of both."""

    def __init__(self, who: Who, *, events: float, sockets: int):
        self._who = who
        self._most = sockets
        self._events = Buckets(events)
        self._opened = Buckets(OPENED_PER_SECOND if sockets else 0.0, OPENED_AT_ONCE)
        self._lock = threading.Lock()
        self._here: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Visitors sessions={len(self._here)} sockets={sum(self._here.values())}>"

    @contextlib.contextmanager
    def visit(self, environ: Mapping[str, Any], places: int) -> Iterator[Visit | None]:
        """A connection, for as long as the block lasts. None: its session has too many, or opens them too quickly.

        places: of this process, 0: any number; one session gets a quarter of them at most.
        """
        who = self._who(environ)
        allowed = not self._opened.take(who) and self._enter(who, places)
        try:
            yield Visit(who, self._events) if allowed else None
        finally:
            if allowed:
                self._leave(who)

    def _enter(self, who: str, places: int) -> bool:
        most = min(self._most, max(2, places // 4)) if places else self._most
        with self._lock:
            here = self._here.get(who, 0)
            if self._most and here >= most:
                return False
            self._here[who] = here + 1
            return True

    def _leave(self, who: str) -> None:
        with self._lock:
            self._here[who] -= 1
            if not self._here[who]:
                del self._here[who]
