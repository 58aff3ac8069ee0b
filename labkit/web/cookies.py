"""How the cookie travels in which Flask keeps the session's id: not by other sites' requests, not in the clear.

Used by access. labkit sets no cookie of its own; these are flags of Flask's, where the app leaves them as they come.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Response, has_request_context, request
from flask.sessions import SecureCookieSessionInterface

from labkit.settings import Settings

MOST_KNOWN = 1000
"""Cookies that a process knows again. One is at most 4 kB long."""


class _KnownCookies:
    """What signs and reads a cookie, of Flask's making; one that was read before is not verified once more.

    A signature that holds, holds: it is a matter of the key and the text alone, and only texts that were verified are
    known. How old it is, is looked at each time. It is a quarter of what a guarded view takes (benchmarks/FINDINGS.md).
    """

    def __init__(self, serializer: Any):
        self._serializer = serializer
        self._signed_at: dict[str, int] = {}
        self.dumps = serializer.dumps

    def loads(self, text: str, max_age: int) -> Any:
        """What is in a cookie, each time a new dict. Errors: `itsdangerous.BadSignature`."""
        at = self._signed_at.get(text)
        if at is not None and 0 <= int(time.time()) - at <= max_age:
            return self._serializer.load_payload(text.rsplit(".", 2)[0].encode())
        found, when = self._serializer.loads(text, max_age=max_age, return_timestamp=True)
        if len(self._signed_at) >= MOST_KNOWN:
            self._signed_at.clear()
        self._signed_at[text] = int(when.timestamp())
        return found


class _OwnCookie(SecureCookieSessionInterface):
    """Flask's, but for three things: what was set over https never goes over http, each Flask keeps it apart for the
    sites around a frame, and see `_KnownCookies`."""

    def __init__(self) -> None:
        self._known: tuple[Any, _KnownCookies | None] = (None, None)

    def get_signing_serializer(self, app: Flask) -> Any:
        keys = (app.secret_key, *(app.config.get("SECRET_KEY_FALLBACKS") or ()))
        if self._known[0] != keys:
            made = super().get_signing_serializer(app)
            self._known = (keys, None if made is None else _KnownCookies(made))
        return self._known[1]

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or (has_request_context() and request.is_secure)

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        super().save_session(app, session, response)
        if app.config.get("SESSION_COOKIE_PARTITIONED"):  # Flask knows it from 3.1 on
            name, cookies = self.get_cookie_name(app), response.headers.getlist("Set-Cookie")
            missing = [one.startswith(f"{name}=") and "; Partitioned" not in one for one in cookies]
            marked = [f"{one}; Partitioned" if lacks else one for one, lacks in zip(cookies, missing, strict=True)]
            response.headers.setlist("Set-Cookie", marked)


def protect_cookie(app: Flask, settings: Settings) -> None:
    """Set the flags of the app's session cookie. What its author has chosen stays.

    SameSite is Lax, so that a browser sends it along only where its user goes to the lab. In a frame on another site
    (LABKIT_EMBED) that would be never; there it is None, Secure, and kept apart for each site around it.
    """
    embedded = bool(settings.embed)
    if app.config["SESSION_COOKIE_SAMESITE"] is None:
        app.config["SESSION_COOKIE_SAMESITE"] = "None" if embedded else "Lax"
        if embedded:
            app.config["SESSION_COOKIE_PARTITIONED"] = True
    if embedded or settings.scheme == "https":
        app.config["SESSION_COOKIE_SECURE"] = True
    if type(app.session_interface) is SecureCookieSessionInterface:
        own = _OwnCookie()
        vars(own).update(vars(app.session_interface))  # what the author has set there, a salt say
        app.session_interface = own
