"""The URLs of the user: callback, poll, logout. Used by browsers that come from an RLMS.

The callback puts the session's id into Flask's own session and redirects to the lab's `initial_url`; labkit sets no
cookie of its own. What another site's page asks of these URLs, other than to follow the link, is refused: it could put
its visitor into a session that is not the visitor's, or end the visitor's own.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from flask import Flask, Response, current_app, jsonify, make_response, redirect, request, session
from werkzeug.wrappers import Response as BaseResponse

from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.store.sessions import SessionState
from labkit.web.access import away, enter_anew, enter_request, forbidden
from labkit.web.origin import changes_from_elsewhere

log = logging.getLogger("labkit.web")

R = TypeVar("R", bound=BaseResponse)

_NO_INITIAL_URL = (
    "<h1>ERROR</h1><p>This lab has no initial URL. Register one with <code>@weblab.initial_url</code>: "
    "a function that returns where users begin, for example <code>url_for('labkit.page')</code>.</p>"
)

_NO_SECRET_KEY = "<h1>ERROR</h1><p>This lab has no <code>SECRET_KEY</code>, so it can't let anybody in.</p>"


def add_callback_routes(app: Flask, lab: Lab, callback_url: str) -> None:
    """Add the three URLs, under the endpoint names that labs rely on."""
    routes = CallbackRoutes(lab)
    both = ["GET", "POST"]
    app.add_url_rule(f"{callback_url}/<session_id>", "weblab_callback_url", routes.enter)
    app.add_url_rule(f"{callback_url}/<session_id>/poll", "weblab_poll_url", routes.poll, methods=both)
    app.add_url_rule(f"{callback_url}/<session_id>/logout", "weblab_logout_url", routes.logout, methods=both)


class CallbackRoutes:
    """What each URL does for one lab."""

    def __init__(self, lab: Lab):
        self._lab = lab

    def enter(self, session_id: str) -> Any:
        if self._lab.hooks.initial_url is None:
            return _private(make_response(_NO_INITIAL_URL, 500))
        if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":  # an image, say, of whatever page
            return _private(make_response(forbidden(self._lab)))
        try:
            record = self._lab.sessions.touch(session_id, poll=request.method != "HEAD")
        except StoreUnavailableError:
            return away(self._lab)
        if record.state is SessionState.UNKNOWN:
            return _private(make_response(forbidden(self._lab)))
        if request.method != "HEAD":
            try:
                self._let_in(session_id)
            except RuntimeError:  # Flask's own, without a key; the process that started the session has one
                log.error("user was not let in: this process has no SECRET_KEY")
                return _private(make_response(_NO_SECRET_KEY, 503))
            try:
                enter_anew(self._lab)
            except StoreUnavailableError:
                return away(self._lab)
        return _private(redirect(self._lab.hooks.initial_url()))

    def _let_in(self, session_id: str) -> None:
        """Put the id into Flask's session. One that is kept at the server gets a new id of its own, where its interface
        can do that (Flask-Session's can): somebody else may have put the old one into this browser."""
        interface = current_app.session_interface
        if session.get(self._lab.settings.session_id_name) != session_id and hasattr(interface, "regenerate"):
            interface.regenerate(session)
        session[self._lab.settings.session_id_name] = session_id

    def poll(self, session_id: str) -> Response:
        return self._answer(session_id, poll=request.method != "HEAD")

    def logout(self, session_id: str) -> Response:
        return self._answer(session_id, leave=request.method != "HEAD")

    def _answer(self, session_id: str, *, poll: bool = False, leave: bool = False) -> Response:
        if changes_from_elsewhere(self._lab.settings, by_get=True):
            return _told(False, "Page of another site", 403)
        try:
            if session.get(self._lab.settings.session_id_name) != session_id:
                return _told(False, "Different session identifier")
            record = enter_request(self._lab, poll=poll)  # with WEBLAB_AUTOPOLL that has been done already
            if record is None or record.state is SessionState.UNKNOWN:
                return _told(False, "Not found")
            if record.state is not SessionState.ACTIVE:
                return _told(False, "User inactive")
            if leave:
                self._lab.sessions.exit(session_id)
            return _told(True)
        except StoreUnavailableError:
            return _private(make_response(jsonify(success=False, reason="Store away"), 503))


def _told(success: bool, reason: str = "", status: int = 200) -> Response:
    facts = {"success": success, "reason": reason} if reason else {"success": success}
    return _private(make_response(jsonify(facts), status))


def _private(response: R) -> R:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
