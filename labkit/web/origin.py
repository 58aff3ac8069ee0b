"""Whose page a request comes from: one of the lab's own, or another site's. Used by guards, labkit's pages and sockets.

A browser sends a user's cookie whoever's page asks. So what changes something, and what opens a socket, looks at where
it comes from: `Origin`, which a browser puts on every POST and every WebSocket, and no page can change. On a GET there
is `Sec-Fetch-Site` at best, by https. A program that is no browser sends neither; nobody lends it a cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, request

from labkit.settings import Settings
from labkit.users import EXTENSION

_PORTS = {"http": "80", "https": "443"}
_HARMLESS = ("GET", "HEAD", "OPTIONS")


def changes_from_elsewhere(settings: Settings, *, by_get: bool = False) -> bool:
    """Whether this request may change something, and the page of another site has sent it. by_get: a GET may, too."""
    if request.method in _HARMLESS and not (by_get and request.method == "GET"):
        return False
    return is_from_elsewhere(request.environ, settings, str(current_app.config.get("SERVER_NAME") or ""))


def own_pages_only(app: Flask) -> Callable[[str | None, Mapping[str, Any]], bool]:
    """For the library of the sockets: whether a page of this origin may open one."""

    def may_open(_: str | None, environ: Mapping[str, Any]) -> bool:
        settings = app.extensions[EXTENSION].settings if EXTENSION in app.extensions else Settings()
        return not is_from_elsewhere(environ, settings, str(app.config.get("SERVER_NAME") or ""))

    return may_open


def is_from_elsewhere(environ: Mapping[str, Any], settings: Settings, server_name: str = "") -> bool:
    """Whether the page of another site has sent a request. server_name: the lab's, where it is set.

    `null` (a page in a sandbox, a file) is another site. LABKIT_ORIGINS names those that may act for the lab's users.
    """
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
    if origin is None:
        return site not in (None, "same-origin", "none")
    if site == "same-origin" or origin in settings.origins.split():
        return False
    scheme, _, host = origin.lower().partition("://")
    if scheme not in _PORTS or (scheme == "http" and _is_https(environ, settings)):
        return True
    return _host(host, scheme) not in {_host(name, scheme) for name in (*_names(environ), server_name) if name}


def _names(environ: Mapping[str, Any]) -> Iterator[str]:
    """The names under which this request has found the lab. No page can choose them for its visitor's browser."""
    yield str(environ.get("HTTP_HOST", ""))
    yield str(environ.get("HTTP_X_FORWARDED_HOST", "")).partition(",")[0].strip()


def _is_https(environ: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the lab is surely reached by https; where nobody says so, a proxy may hide it."""
    forwarded = str(environ.get("HTTP_X_FORWARDED_PROTO", "")).partition(",")[0].strip()
    return "https" in (environ.get("wsgi.url_scheme"), forwarded, settings.scheme)


def _host(name: str, scheme: str) -> tuple[str, str]:
    """Host and port; the port that goes without saying is said."""
    try:
        parts = urlsplit(f"//{name.lower()}")
        return parts.hostname or "", str(parts.port or _PORTS[scheme])
    except ValueError:
        return name, ""
