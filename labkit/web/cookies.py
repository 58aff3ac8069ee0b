"""How the cookie travels in which Flask keeps the session's id: not by other sites' requests, not in the clear.

Used by access. labkit sets no cookie of its own; these are flags of Flask's, where the app leaves them as they come.
"""

from __future__ import annotations

from flask import Flask, has_request_context, request
from flask.sessions import SecureCookieSessionInterface

from labkit.settings import Settings


class _OwnCookie(SecureCookieSessionInterface):
    """Flask's, but for one thing: what was set over https never goes over http."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or (has_request_context() and request.is_secure)


def protect_cookie(app: Flask, settings: Settings) -> None:
    """Set the flags of the app's session cookie. What its author has chosen stays.

    SameSite is Lax, so that a browser sends it along only where its user goes to the lab. In a frame on another site
    (LABKIT_EMBED) that would be never; there it is None, Secure, and kept apart for each site around it.
    """
    embedded = bool(settings.embed)
    if app.config["SESSION_COOKIE_SAMESITE"] is None:
        app.config["SESSION_COOKIE_SAMESITE"] = "None" if embedded else "Lax"
        if embedded:
            app.config["SESSION_COOKIE_PARTITIONED"] = True  # Flask 3.1 and later know it
    if embedded or settings.scheme == "https":
        app.config["SESSION_COOKIE_SECURE"] = True
    if type(app.session_interface) is SecureCookieSessionInterface:
        app.session_interface = _OwnCookie()
