"""The headers of labkit's own pages: what a browser may load there, who may frame them, and that it keeps nothing.

Used by pages, demo, access and the extension. They go on labkit's own answers only; a lab's responses stay untouched.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response, request
from werkzeug.routing import RequestRedirect

from labkit.users import services_here

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
"""What a browser may do on a page. LABKIT_EMBED's sites are added to its end."""


def page_headers(response: Response) -> Response:
    """Put on a response what labkit's own pages have: CSP, referrer policy, no caching of pages."""
    embed = " ".join(services_here().settings.embed.split())
    response.headers.setdefault("Content-Security-Policy", f"{POLICY} {embed}".rstrip())
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response


def keep_redirects_private(app: Flask, *paths: str) -> None:
    """Have Flask's own redirects below `paths`, each with its last slash, kept by nobody, and lead to the same host.

    It redirects `/callback//ID`, say, before any view is asked: for good, with the session's id, by http where a proxy
    hides that the lab is reached by https, and to whatever host the request has named.
    """

    def mend(response: Response) -> Response:
        if not isinstance(request.routing_exception, RequestRedirect):
            return response
        if re.sub("/+", "/", f"{request.path}/").startswith(paths):
            meant = urlsplit(response.headers["Location"])
            path = f"/{meant.path.lstrip('/')}"  # where no host was named, it has none from Python 3.13 on
            response.headers["Location"] = urlunsplit(("", "", path, meant.query, ""))
            response.headers["Cache-Control"] = "no-store"
            response.headers["Referrer-Policy"] = "no-referrer"
        return response

    app.after_request(mend)
