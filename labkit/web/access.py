"""Who may come in: the poll of each request, the guards, logout, what a refusal looks like. Used by web and labs.

One script reads the user and moves the last poll on: one round trip for a guarded request. A guard that can't ask the
store fails closed; pages without a guard work while the store is away.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, g, has_request_context, make_response, redirect, render_template, request, session

from labkit.context import BoundSession, Purpose, bind, unbind
from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.lifecycle import write_lifecycle
from labkit.store.sessions import SessionRecord, SessionState
from labkit.users import remember, services_here, session_id_here, user_here, user_of
from labkit.web.cookies import protect_cookie
from labkit.web.headers import page_headers
from labkit.web.origin import changes_from_elsewhere
from labkit.web.rendering import render
from labkit.web.request_log import keep_ids_out

log = logging.getLogger("labkit.web")

View = TypeVar("View", bound=Callable[..., Any])

_RECORD = "_labkit_record"
_TOKEN = "_labkit_bound"
_POLL_AT_END = "_labkit_poll_at_end"
_WAY_BACK = re.compile(r"(?:https?://|/(?![/\\]))[^\x00-\x20\x7f\\]*", re.IGNORECASE)


def lab_here() -> Lab:
    """The lab of the current app. Errors: `WebLabNotInitializedError`."""
    lab = services_here()
    if not isinstance(lab, Lab):
        raise TypeError("app.extensions['labkit'] was replaced by something that is no lab.")
    return lab


def install(app: Flask, lab: Lab) -> None:
    """Have every request of the app read its session (and poll, with WEBLAB_AUTOPOLL), bind it, and save its data.

    Sets how the cookie travels that holds the session's id, and keeps such ids out of the logs of requests.
    """
    protect_cookie(app, lab.settings)
    keep_ids_out(app)

    def enter() -> None:
        if lab.settings.autopoll and session.get(lab.settings.session_id_name):
            try:
                enter_request(lab, poll=request.method != "HEAD")
            except StoreUnavailableError as error:
                log.warning("request without its session endpoint=%s error=%s", request.endpoint, error)

    def save(response: Response) -> Response:
        try:
            lab.save_user_data()
            if _POLL_AT_END in g:
                lab.sessions.touch(g.pop(_POLL_AT_END), poll=True)
        except StoreUnavailableError:
            log.warning("session data or poll was not saved: the store is away endpoint=%s", request.endpoint)
        return response

    app.before_request(enter)
    app.after_request(save)
    app.teardown_request(leave_request)


def enter_request(lab: Lab, *, poll: bool) -> SessionRecord | None:
    """Read the request's session once, remember its user, and bind it. None: there is none.

    One that is over is bound too: an expired user may look at tasks and submit some. Its devices refuse its old fences.
    Errors: `StoreUnavailableError`.
    """
    known: SessionRecord | None = g.get(_RECORD)
    session_id = session_id_here(lab)
    if session_id is None or (known is not None and known.session_id == session_id):
        return known if session_id is not None else None
    record = lab.sessions.touch(session_id, poll=poll)
    setattr(g, _RECORD, record)
    remember(user_of(lab, record))
    leave_request()  # a guard in a guard: what the outer one bound would stay bound in this thread for ever
    if record.state not in (SessionState.UNKNOWN, SessionState.STARTING):
        bound = BoundSession(session_id=session_id, purpose=Purpose.REQUEST, fences=record.fences)
        setattr(g, _TOKEN, bind(bound))
    return record


def enter_anew(lab: Lab) -> None:
    """Read and bind the session that was put into the cookie just now: until here this request was the one's before."""
    leave_request()
    g.pop(_RECORD, None)
    enter_request(lab, poll=False)


def leave_request(_: BaseException | None = None) -> None:
    """Unbind the request's session."""
    token = g.pop(_TOKEN, None)
    if token is not None:
        try:
            unbind(token)
        except ValueError:  # a kept test context is torn down elsewhere; the variable there was never ours
            log.debug("request was left in another context")


# -- guards: they decide whether; `forbidden` and `away` decide what a refusal looks like


def _guard(allowed: Callable[[Any], bool], refusal: Callable[[Lab, Any], Any]) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            lab = lab_here()
            try:
                enter_request(lab, poll=False)
                user = user_here(lab)
            except StoreUnavailableError:
                return away(lab)
            record = g.get(_RECORD)
            if allowed(user):
                if not changes_from_elsewhere(lab.settings):
                    return view(*args, **kwargs)
                write_lifecycle(lab, record, "protected_request_rejected", reason="page_of_another_site")
                return forbidden(lab)
            write_lifecycle(lab, record, "protected_request_rejected", reason=_why(record))
            return refusal(lab, user)

        return guarded  # type: ignore[return-value]

    return decorate


def _sent_back(lab: Lab, user: Any) -> Any:
    back = None if user.is_anonymous else way_back(user.back)
    return redirect(back) if back else forbidden(lab)


def requires_active(func: View) -> View:
    """Only for a user whose session is active. An expired user is sent back where it came from, others are refused."""
    return _guard(lambda user: bool(user.active), _sent_back)(func)


def requires_login(func: View) -> View:
    """Only for a user with a session, active or expired (to show results, say; not for devices)."""
    return _guard(lambda user: not user.is_anonymous, lambda lab, _: forbidden(lab))(func)


def way_back(back: Any) -> str | None:
    """Where a user came from, if a link may lead there: http or https, or a path of the lab's own host. No script, and
    no `//host`, which looks like a path and leads elsewhere."""
    return back if isinstance(back, str) and _WAY_BACK.fullmatch(back) else None


def _socket_guard(allowed: Callable[[Any], bool]) -> Callable[[View], View]:
    def decorate(func: View) -> View:
        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            lab = lab_here()
            try:
                g.pop(_RECORD, None)
                enter_request(lab, poll=True)
                user = user_here(lab)
                if allowed(user):
                    result = func(*args, **kwargs)
                    lab.save_user_data()
                    return result
            except StoreUnavailableError as error:
                log.warning("socket event refused error=%s", error)
            return _put_out()

        return guarded  # type: ignore[return-value]

    return decorate


def _put_out() -> None:
    """Disconnect the socket of this event. One that is just coming in is refused: it is not connected yet, so there is
    nothing to disconnect, and it would be let in."""
    from flask_socketio import ConnectionRefusedError, disconnect  # the lab's own Socket.IO, which only such labs need

    if getattr(request, "event", {}).get("message") == "connect":  # set by flask_socketio
        raise ConnectionRefusedError("You have no active session here.")
    disconnect()


socket_requires_active = _socket_guard(lambda user: bool(user.active))
socket_requires_active.__doc__ = (
    "Only for an active user; else the socket is disconnected and the handler does not run."
)
socket_requires_login = _socket_guard(lambda user: not user.is_anonymous)
socket_requires_login.__doc__ = (
    "Only for a user with a session; else the socket is disconnected and the handler does not run."
)


def _why(record: SessionRecord | None) -> str:
    if record is None:
        return "anonymous_no_session_cookie"
    return "anonymous_session_not_found" if record.state is SessionState.UNKNOWN else ""


def forbidden(lab: Lab) -> Any:
    """The refusal: WEBLAB_UNAUTHORIZED_LINK, WEBLAB_UNAUTHORIZED_TEMPLATE, or 403 "Access forbidden".

    The last one is a page for a browser, which asks for HTML by name, and these two words for anybody else.
    """
    if lab.settings.unauthorized_link:
        return redirect(lab.settings.unauthorized_link)
    if lab.settings.unauthorized_template:
        return make_response(render_template(lab.settings.unauthorized_template), 403)
    if not _wants_html():
        return make_response("Access forbidden", 403, {"Vary": "Accept", "Cache-Control": "no-store"})
    page = render("message.html", kind="forbidden", title=lab.title)
    return page_headers(make_response(page, 403, {"Vary": "Accept"}))


def _wants_html() -> bool:
    """Whether the request names HTML as what it takes; who takes anything (a program) does not."""
    return any(kind.lower() == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes)


def away(lab: Lab) -> Response:
    """The answer of a guarded page while the store does not answer."""
    page = render("message.html", kind="store", title=lab.title, retry=same_page())
    return page_headers(make_response(page, 503, {"Retry-After": "5"}))


def same_page() -> str:
    """A link to the page that was asked for, wherever the lab is mounted. A path could be taken for another host's."""
    return "?" + request.query_string.decode("latin-1")


# -- what lab code calls


def poll() -> None:
    """Count this moment as a poll of the user, and in a view the end of the request too: it may be a long one."""
    lab = lab_here()
    session_id = session_id_here(lab)
    if session_id is None:
        return
    lab.sessions.touch(session_id, poll=True)
    if has_request_context():
        setattr(g, _POLL_AT_END, session_id)


def logout() -> None:
    """The user leaves: out at once, and the session is ended by the loop. Returns at once. Twice is fine."""
    lab = lab_here()
    session_id = session_id_here(lab)
    if session_id is not None:
        lab.sessions.exit(session_id)
