"""A small lab whose views and socket events do what a test tells them to. For the tests of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from flask_socketio import SocketIO, SocketIOTestClient
from werkzeug.test import TestResponse

from labkit import requires_active, requires_login, socket_requires_active, socket_requires_login
from tests.small_lab import SmallLab

Act = Callable[[], Any]


@dataclass
class Visit:
    """What became of one visit to a view, or of one event. ran: whether it got past the guard."""

    act: Act
    ran: bool = False
    result: Any = None
    answer: TestResponse | None = None

    def run(self) -> str:
        self.ran = True
        self.result = self.act()
        return "done"


class ActingLab(SmallLab):
    """Views at /free, /active and /login, the latter two guarded, and socket events `active` and `login`."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._visits: dict[str, Visit] = {}
        for path, guard in (("free", None), ("active", requires_active), ("login", requires_login)):
            self.view(f"/{path}/<visit>", guard(self._view) if guard else self._view)
        self.io = SocketIO(self.app, async_mode="threading")
        for event, socket_guard in (("active", socket_requires_active), ("login", socket_requires_login)):
            self.io.on_event(event, socket_guard(self._view))

    def _view(self, visit: str) -> str:
        return self._visits[visit].run()

    def _expect(self, act: Act) -> tuple[str, Visit]:
        key = secrets.token_hex(8)
        self._visits[key] = Visit(act)
        return key, self._visits[key]

    def visit(self, browser: FlaskClient, act: Act = lambda: None, *, guard: str = "free") -> Visit:
        """Make a request, and do something in its view."""
        key, visit = self._expect(act)
        visit.answer = browser.get(f"/{guard}/{key}")
        return visit

    def inside(self, session_id: str, act: Act) -> Any:
        """What something gives that is done in a view of the session's user."""
        visit = self.visit(self.student(session_id), act)
        assert visit.ran
        return visit.result

    def page(self, browser: FlaskClient) -> SocketIOTestClient:
        """A socket of a page in this browser."""
        page = self.io.test_client(self.app, flask_test_client=browser)
        assert page.is_connected()
        return page

    def emit(self, page: SocketIOTestClient, event: str, act: Act = lambda: None) -> Visit:
        """Send an event, and do something in its handler."""
        key, visit = self._expect(act)
        page.emit(event, key)
        return visit
