"""The headers of labkit's own pages: what a browser may load there, who may frame them, and that it keeps nothing.

Used by pages, demo and access. They go on labkit's own answers only; a lab's responses stay untouched.
"""

from __future__ import annotations

from flask import Response

from labkit.users import services_here

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


def page_headers(response: Response) -> Response:
    """Put on a response what labkit's own pages have: CSP, referrer policy, no caching of pages."""
    embed = " ".join(services_here().settings.embed.split())
    response.headers.setdefault("Content-Security-Policy", f"{_CSP} {embed}".rstrip())
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response
