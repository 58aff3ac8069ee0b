"""Users: who the code runs for. `weblab_user`, `get_weblab_user`, and the three kinds of user of the session API.

A user is a snapshot of the session's record; `get_weblab_user(cached=False)` takes a new one. What finds the session
is the context: a request's cookie, or the session bound in `on_start`, `on_dispose` and tasks.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any, NoReturn, Protocol

from flask import current_app, g, has_app_context, has_request_context, session
from werkzeug.local import LocalProxy

from labkit import wire
from labkit.context import bound_session
from labkit.errors import NoContextError, NotStorableError, WebLabNotInitializedError
from labkit.settings import Settings
from labkit.store.sessions import SessionRecord, Sessions, SessionState

MOST_DATA = 4_000_000
"""Characters of a session's data, as it is kept. All of it is read wherever some of it is."""
_CACHE = "_labkit_user"
EXTENSION = "labkit"


class UserServices(Protocol):
    """What users need of a lab."""

    @property
    def settings(self) -> Settings: ...
    @property
    def sessions(self) -> Sessions: ...
    def load_user(self, username_unique: str) -> Any: ...


class SessionData(dict[str, Any]):
    """A session's data: a dict that is saved after a view, `on_start` and `on_dispose`, where it was modified.

    Only top-level keys that changed are written, so two requests that change different keys keep both.
    """

    def __init__(self, sessions: Sessions, session_id: str, found: dict[str, Any]):
        super().__init__(found)
        self._sessions = sessions
        self._session_id = session_id
        self._saved = _copy(found)

    @property
    def is_modified(self) -> bool:
        return bool(self != self._saved)

    def store(self) -> None:
        """Write what changed, now. Errors: `NotStorableError`, also where there is too much."""
        changed = {key: value for key, value in self.items() if key not in self._saved or self._saved[key] != value}
        dropped = [key for key in self._saved if key not in self]
        if changed:
            self._check_size()
        if changed or dropped:
            bound = bound_session()
            by_task = bound.by_task if bound is not None else ("", "")
            self._sessions.store_data(self._session_id, changed, dropped, by_task=by_task)
        self._saved = _copy(self)

    def _check_size(self) -> None:
        size = sum(len(wire.dumps(value, f"data[{key!r}]")) for key, value in self.items())
        if size > MOST_DATA:
            most = f"at most {MOST_DATA:,} can be kept. Keep files in files, and where they are in the data."
            raise NotStorableError(f"The session's data has {size:,} characters; {most}")

    def store_if_modified(self) -> None:
        if self.is_modified:
            self.store()

    def retrieve(self) -> None:
        """Read it anew; what was changed and not stored is dropped."""
        found = self._sessions.data(self._session_id)
        self.clear()
        self.update(found)
        self._saved = _copy(found)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


class NoData(MutableMapping[str, Any]):
    """The data of an anonymous user: any use of it as a dict is an error that says so."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError("An anonymous user has no data. Guard the view with @requires_active or @requires_login.")

    __getitem__ = __setitem__ = __delitem__ = __len__ = __contains__ = __iter__ = __bool__ = _refuse
    keys = items = values = copy = _refuse


class WebLabUser:
    """A user of the lab: current, expired or anonymous."""

    @property
    def active(self) -> bool:
        """Is the user active right now, neither over time, silent too long, logged out nor ended?"""
        return False

    @property
    def is_anonymous(self) -> bool:
        return True

    @property
    def anonymous(self) -> bool:
        return self.is_anonymous


class AnonymousUser(WebLabUser):
    """Somebody without a session."""

    locale = None
    session_id = None

    def __init__(self) -> None:
        self.data = NoData()

    def __str__(self) -> str:
        return "Anonymous user"


class SessionUser(WebLabUser):
    """What current and expired users share. Dates are UTC seconds since 1970."""

    def __init__(self, services: UserServices, record: SessionRecord):
        self._services = services
        self._record = record
        self._data: SessionData | None = None
        self._taken = time.monotonic()

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return self._record.user

    @property
    def is_anonymous(self) -> bool:
        return False

    @property
    def record(self) -> SessionRecord:
        """The session's record, as it was when this user was read."""
        return self._record

    def _fact(name: str) -> Any:  # type: ignore[misc]
        return property(lambda self: self._facts.get(name))

    username = _fact("username")
    username_unique = _fact("username_unique")
    full_name = _fact("full_name")
    locale = _fact("locale")
    back = _fact("back")
    experiment_name = _fact("experiment_name")
    category_name = _fact("category_name")
    experiment_id = _fact("experiment_id")
    request_client_data = _fact("client_data")
    request_server_data = _fact("server_data")
    del _fact

    @property
    def session_id(self) -> str:
        return self._record.session_id

    @property
    def start_date(self) -> float:
        return self._record.number("start_date")

    @property
    def max_date(self) -> float:
        """When the session's time is over."""
        return self._record.number("max_date")

    @property
    def last_poll(self) -> float:
        return self._record.number("last_poll")

    @property
    def time_without_polling(self) -> float:
        """Seconds of silence."""
        return max(0.0, self._record.now - self.last_poll + time.monotonic() - self._taken)

    @property
    def exited(self) -> bool:
        return self._record.exited

    @property
    def end_reason(self) -> str:
        """Why the session ended: time, inactivity, logout, disposed, admin, start-failed, lost; '' while it goes on."""
        return self._record.reason

    @property
    def data(self) -> SessionData:
        if self._data is None:
            sessions = self._services.sessions
            self._data = SessionData(sessions, self.session_id, sessions.data(self.session_id))
        return self._data

    @property
    def user(self) -> Any:
        """What the lab's `user_loader` gives for this user, or None."""
        return self._services.load_user(self.username_unique)

    @property
    def has_unsaved_data(self) -> bool:
        """Whether the data was changed here and not stored."""
        return self._data is not None and self._data.is_modified

    def save(self) -> None:
        """Store the data where it was read and modified."""
        if self._data is not None:
            self._data.store_if_modified()


class CurrentUser(SessionUser):
    """A user whose session goes on (or, in `on_dispose`, is just ending)."""

    @property
    def active(self) -> bool:
        return self._record.state is SessionState.ACTIVE

    @property
    def data(self) -> SessionData:
        return super().data

    @data.setter
    def data(self, value: dict[str, Any]) -> None:
        current = super().data
        current.clear()
        current.update(value)

    def update_data(self, new_data: dict[str, Any] | None = None) -> None:
        """Replace the data and store it."""
        if new_data is not None:
            self.data = new_data
        self.data.store()

    @property
    def time_left(self) -> float:
        """Seconds left, 0 if the time is over."""
        return max(0.0, self._record.time_left - (time.monotonic() - self._taken))

    def to_expired_user(self) -> ExpiredUser:
        return ExpiredUser(self._services, self._record)

    def __str__(self) -> str:
        return f"Current user (id: {self.session_id})"


class ExpiredUser(SessionUser):
    """A user whose session is over; readable for `WEBLAB_EXPIRED_USERS_TIMEOUT` seconds."""

    time_left = 0.0

    @property
    def data(self) -> SessionData:
        return super().data

    @data.setter
    def data(self, value: dict[str, Any]) -> None:
        raise NotImplementedError("The data of an expired user can't be changed.")

    def update_data(self, value: dict[str, Any] | None = None) -> None:
        raise NotImplementedError("The data of an expired user can't be changed.")

    def save(self) -> None:
        """Nothing: an expired user's data stays as it is."""

    def __str__(self) -> str:
        return f"Expired user (id: {self.session_id})"


def user_of(
    services: UserServices, record: SessionRecord, *, ending: bool = False
) -> CurrentUser | ExpiredUser | AnonymousUser:
    """The user that a record stands for. ending: the code is the session's own ending, so it is still current."""
    if record.state is SessionState.UNKNOWN:
        return AnonymousUser()
    if record.state in (SessionState.STARTING, SessionState.ACTIVE) or (ending and record.state is SessionState.ENDING):
        return CurrentUser(services, record)
    return ExpiredUser(services, record)


def services_here() -> UserServices:
    """The lab of the current app. Errors: `WebLabNotInitializedError`, `NoContextError`."""
    if not has_app_context():
        raise NoContextError("No Flask app is bound here: use `with app.app_context():`, a view, or a task.")
    services = current_app.extensions.get(EXTENSION)
    if services is None:
        raise WebLabNotInitializedError("This app has no WebLab: call weblab.init_app(app), or WebLab(app).")
    found: UserServices = services
    return found


def session_id_here(services: UserServices) -> str | None:
    """The session that the running code belongs to, or None."""
    bound = bound_session()
    if bound is not None:
        return bound.session_id
    if not has_request_context():
        return None
    found = session.get(services.settings.session_id_name)
    return found if isinstance(found, str) and found else None


def get_weblab_user(cached: bool = True) -> CurrentUser | ExpiredUser | AnonymousUser:
    """The user here. cached: the same object each time in one request, hook or task; else a new one."""
    return user_here(services_here(), cached=cached)


def user_here(services: UserServices, *, cached: bool = True) -> CurrentUser | ExpiredUser | AnonymousUser:
    """As `get_weblab_user`, for who has the lab at hand."""
    session_id = session_id_here(services)
    if session_id is None:
        return AnonymousUser()
    known = g.get(_CACHE)
    if cached and known is not None and getattr(known, "session_id", None) == session_id:
        user: CurrentUser | ExpiredUser | AnonymousUser = known
        return user
    bound = bound_session()
    ending = bound is not None and bound.purpose == "ending"
    user = user_of(services, services.sessions.touch(session_id, poll=False), ending=ending)
    if cached:
        remember(user)
    return user


def remember(user: CurrentUser | ExpiredUser | AnonymousUser) -> None:
    """Keep the user for the rest of this app context."""
    setattr(g, _CACHE, user)


def remembered() -> CurrentUser | ExpiredUser | AnonymousUser | None:
    """The user that was kept, or None."""
    user: CurrentUser | ExpiredUser | AnonymousUser | None = g.get(_CACHE) if has_app_context() else None
    return user


weblab_user: Any = LocalProxy(get_weblab_user)
socket_weblab_user: Any = LocalProxy(lambda: get_weblab_user(cached=False))
