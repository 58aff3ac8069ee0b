"""How much a browser may ask of labkit's own routes: requests a second, bytes of a body. Used by the extension.

Only a browser with a session is counted, by that session: those of a class may share one address. What the RLMS asks
is not counted at all, for it asks for all its users; it has credentials, and nothing opens without those (rlms.py). A
lab's own routes are the lab's own.
"""

from __future__ import annotations

import json

from flask import Flask, Response, request, session

from labkit.lab import Lab
from labkit.web.access import same_page
from labkit.web.headers import page_headers
from labkit.web.rates import Buckets
from labkit.web.rendering import render

BODY_BYTES = 1_000_000
"""The longest body that is let through; none of these routes looks at one."""
MOST_RETRY = 60
"""Seconds; for a lab with very few requests a second."""
_OURS = ("labkit.", "labkit_", "weblab_callback_url", "weblab_poll_url", "weblab_logout_url")


def limit_requests(app: Flask, lab: Lab) -> None:
    """Look at each request before anything is done for it; one too many is answered here, without the store."""
    buckets = Buckets(lab.settings.most_requests)

    def look() -> Response | None:
        if not (request.endpoint or "").startswith(_OURS):
            return None
        if request.method == "POST" and (request.content_length or 0) > BODY_BYTES:
            return _refusal(413, f"The body is longer than {BODY_BYTES} bytes.", key="body")
        who = session.get(lab.settings.session_id_name)
        seconds = buckets.take(who) if isinstance(who, str) and who else 0.0
        return _too_many(lab, min(MOST_RETRY, 1 + int(seconds))) if seconds else None

    app.before_request(look)


def _too_many(lab: Lab, seconds: int) -> Response:
    text = "Your session asks for more than this lab answers in a second. Nothing is lost: try again in a moment."
    if "text/html" in request.headers.get("Accept", "") and request.method == "GET":
        facts = {"title": lab.title, "kind": "busy", "heading": "Too many requests", "text": text, "back": ""}
        page = render("message.html", **facts, retry=same_page())
        answer = page_headers(Response(page, 429, mimetype="text/html"))
    else:
        answer = _refusal(429, text)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _refusal(status: int, message: str, **more: str) -> Response:
    """In JSON, as an RLMS gets it. It has no `success`: the script that polls would take a False for the end."""
    body = json.dumps({"error": True, "message": message, **more})
    return Response(body, status, mimetype="application/json", headers={"Cache-Control": "no-store"})
