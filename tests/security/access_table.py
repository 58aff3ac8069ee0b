"""Who may do what: a row for each route and method of the app, and for each event of labkit's socket.

The one place to look for it, and the one to change with it: `test_access_table.py` tries each cell, and fails where the
app has a route, a method or an event without a row, or the table a row for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.security.busy_lab import RIGHT, BusyLab, basic

BROWSERS = ("own", "other", "expired")
"""The user of the session that is asked for; one with another session, which goes on; one whose session is over."""
RLMS: Mapping[str, str] = {
    "rlms": RIGHT,
    "rlms, wrong name": basic("nobody:secret"),
    "rlms, wrong password": basic("rlms:wrong"),
    "rlms, longer password": basic("rlms:secret "),
    "rlms, empty": basic(":"),
    "rlms, no password": basic("rlms:"),
    "rlms, none": "Basic",
}
"""The RLMS, and who would like to be it: the Authorization header of each."""
WHO = ("anonymous", *(name for name in RLMS if name != "rlms"), "rlms", "expired", "other", "own")
"""Everybody; those who may do the least come first."""


def headers_of(lab: BusyLab, who: str) -> dict[str, str]:
    """What a request of somebody carries."""
    if who in BROWSERS:
        return {"Cookie": lab.cookie(getattr(lab, who))}
    return {"Authorization": RLMS[who]} if who in RLMS else {}


@dataclass(frozen=True)
class Answer:
    """What somebody gets. says: what stands in the answer's body or Location. does: whether the store is changed."""

    status: int
    says: str = ""
    does: bool = False


@dataclass(frozen=True)
class Row:
    """One method of one route. path: `{own}` is the id of the session that goes on, `{known}` the one that who asks
    has been given, where it has been given one."""

    path: str
    method: str
    all: Answer
    """What everybody gets that is not named."""
    but: Mapping[str, Answer]
    body: Mapping[str, object] | None = None

    def answer_for(self, who: str) -> Answer:
        return self.but.get(who, self.all)


def _row(path: str, method: str, all: Answer, body: Mapping[str, object] | None = None, /, **but: Answer) -> Row:
    return Row(path, method, all, but, body)


NO_CREDENTIALS = Answer(401, "WEBLAB_USERNAME")
FORBIDDEN = Answer(403, "Access forbidden")
NOT_YOURS = Answer(200, "Different session identifier")
YES = Answer(200, '"success":true')
BACK = Answer(302, "http://rlms.invalid/b")

_START = {
    "client_initial_data": {},
    "server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 60},
}
_BASE = "/weblab/sessions"
_PAGE = Answer(200, "page-data")

ROUTES: Mapping[str, list[Row]] = {
    "weblab_rlms.api": [_row(f"{_BASE}/api", "GET", Answer(200, "api_version"))],
    "weblab_rlms.test": [
        _row(f"{_BASE}/test", "GET", Answer(401, "Invalid credentials"), rlms=Answer(200, '"valid": true'))
    ],
    "weblab_rlms.start": [
        _row(f"{_BASE}/", "POST", NO_CREDENTIALS, _START, rlms=Answer(200, "session_id", does=True)),
        _row(_BASE, "POST", NO_CREDENTIALS, _START, rlms=Answer(200, "session_id", does=True)),
    ],
    "weblab_rlms.status_multiple": [
        _row(
            f"{_BASE}/status/multiple", "POST", NO_CREDENTIALS, {"session_ids": ["nobody"]},
            rlms=Answer(200, '"nobody": -1'),
        ),
    ],
    "weblab_rlms.status": [_row(f"{_BASE}/{{own}}/status", "GET", NO_CREDENTIALS, rlms=Answer(200, "should_finish"))],
    "weblab_rlms.dispose": [
        _row(
            f"{_BASE}/{{own}}", "POST", NO_CREDENTIALS, {"action": "delete"}, rlms=Answer(200, "Delet", does=True)
        )
    ],
    # The link lets in who has it; that one is known to nobody else is its only protection.
    "weblab_callback_url": [
        _row("/callback/{known}", "GET", FORBIDDEN, **dict.fromkeys(BROWSERS, Answer(302, "/lab"))),
    ],
    "weblab_poll_url": [
        _row("/callback/{own}/poll", "GET", NOT_YOURS, own=YES),
        _row("/callback/{own}/poll", "POST", NOT_YOURS, own=YES),
        _row("/callback/{known}/poll", "POST", NOT_YOURS, own=YES, other=YES, expired=Answer(200, "User inactive")),
    ],
    "weblab_logout_url": [
        _row("/callback/{own}/logout", "GET", NOT_YOURS, own=Answer(200, '"success":true', does=True)),
        _row("/callback/{own}/logout", "POST", NOT_YOURS, own=Answer(200, '"success":true', does=True)),
    ],
    "labkit.page": [
        _row("/labkit/", "GET", FORBIDDEN, own=_PAGE, other=_PAGE, expired=Answer(302, "/labkit/ended")),
    ],
    "labkit.ended": [
        _row(
            "/labkit/ended", "GET", FORBIDDEN, own=Answer(302, "/labkit/"), other=Answer(302, "/labkit/"),
            expired=Answer(200, "You have logged out"),
        ),
    ],
    "labkit.panel": [_row("/labkit/panels/serial.js", "GET", Answer(200, "export"))],
    "labkit.static": [_row("/labkit/static/page.js", "GET", Answer(200, "import"))],
    # The demo has no RLMS: whoever opens it gets a session. `labkit demo` alone has these two.
    "labkit_demo.welcome": [_row("/labkit/demo", "GET", Answer(200, "Start a session"))],
    "labkit_demo.start": [
        _row(
            "/labkit/demo", "POST", Answer(303, "/callback/", does=True), own=Answer(302, "/labkit/"),
            other=Answer(302, "/labkit/"),
        ),
    ],
    "labkit_home.home": [
        _row("/", "GET", Answer(200, "need a session"), own=Answer(302, "/labkit/"), other=Answer(302, "/labkit/")),
    ],
    # What is the lab's own: its files, and what it guards.
    "static": [_row("/static/lab.txt", "GET", Answer(200, "of the lab itself"))],
    "/active": [
        _row("/active", method, FORBIDDEN, own=Answer(200, "active"), other=Answer(200, "active"), expired=BACK)
        for method in ("GET", "POST")
    ],
    "/login": [
        _row("/login", method, FORBIDDEN, **dict.fromkeys(BROWSERS, Answer(200, "login"))) for method in ("GET", "POST")
    ],
}  # fmt: skip
"""For each endpoint: each of its methods. HEAD gets the status of GET, and does nothing."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
"""Whatever is not in a row is tried too, and answered with 405 (below the RLMS's path with 401 without credentials)."""


@dataclass(frozen=True)
class Event:
    """An event of the socket. asks: what it carries; `{bench}` is the bench of the session that goes on.

    other: what the page of another session gets: 'refused', or 'own', where the event can only mean its own session.
    ends: whether it ends the session.
    """

    asks: Mapping[str, object] | None
    other: str
    ends: bool = False


EVENTS: Mapping[str, Event] = {
    "subscribe": Event({"device": "{bench}/toy", "feed": "received"}, other="refused"),
    "unsubscribe": Event({"device": "{bench}/toy", "feed": "received"}, other="own"),
    "ack": Event({"device": "{bench}/toy", "feed": "received", "cursor": "1:1"}, other="own"),
    "call": Event({"device": "{bench}/toy", "command": "write", "args": ["word"], "kwargs": {}}, other="refused"),
    "poll": Event(None, other="own"),
    "logout": Event(None, other="own", ends=True),
}
"""Each event that labkit's socket takes. Without a session that goes on there is none."""

NO_EVENTS = ("connect", "disconnect", "*")
"""What the socket's library has handlers for, and no page can send as an event."""
