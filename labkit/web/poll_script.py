"""`weblab_poll_script()`, for a lab's own pages: the script that keeps the session alive while the page is open.

Every template of a lab has it. labkit's ready page does not need it: that one polls through its socket. What the script
does in the browser is in templates/labkit/poll_script.html.
"""

from __future__ import annotations

import re
from typing import Any

from flask import has_request_context, request, url_for
from markupsafe import Markup

from labkit.errors import StoreUnavailableError
from labkit.users import CurrentUser, SessionUser, UserServices, get_weblab_user, services_here, session_id_here
from labkit.web.rendering import render

NO_TIMEOUT = Markup("<!-- timeout is 0 or negative; no script -->")
NO_SESSION = Markup("<!-- session_id not found; no script -->")

SHORTEST = 50
"""Milliseconds between two polls, at least."""
LONGEST = 2**31 - 1
"""Milliseconds that a browser's timer can wait; it takes more for 0."""
AFTER_THE_END = 250
"""Milliseconds after the end of the session's time, when the page asks whether it is over."""

_RESERVED = re.compile(
    "arguments|await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|eval|export|extends|"
    "false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|"
    "public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield"
)
"""Words of JavaScript that are no name of a function."""


def weblab_poll_script(
    logout_on_close: bool = False, callback: str | None = None, *, nonce: str | None = None
) -> Markup:
    """The script for the page that is being rendered; a comment where silence ends nothing, or there is no session.

    logout_on_close: log out when the page is closed, and don't wait for the silence. callback: name of a JavaScript
    function that is called once when the session is over, `ended` or `lab.ended`. nonce: of the page's
    Content-Security-Policy. Errors: ValueError for a callback that is no such name, on every page.
    """
    if callback is not None:
        _check_name(callback)
    lab = services_here()
    if lab.settings.timeout <= 0:
        return NO_TIMEOUT
    session_id = session_id_here(lab) if has_request_context() else None
    user = _user() if session_id is not None else None
    if session_id is None or (user is not None and user.is_anonymous):
        return NO_SESSION
    page = {
        "poll": url_for("weblab_poll_url", session_id=session_id),
        "every": _every(lab, user),
        "left": _left(user),
        "callback": callback,
        "logout": url_for("weblab_logout_url", session_id=session_id) if logout_on_close else None,
        "root": request.script_root.rstrip("/"),
    }
    return Markup(render("poll_script.html", page=page, nonce=nonce))


def _check_name(callback: Any) -> None:
    parts = callback.split(".") if isinstance(callback, str) else [""]
    if _RESERVED.fullmatch(parts[0]) or not all(part.replace("$", "_").isidentifier() for part in parts):
        raise ValueError(
            f"weblab_poll_script: callback is {callback!r}, which is no name of a JavaScript function. "
            "Give its name in quotes: callback='ended', or callback='lab.ended'."
        )


def _user() -> Any:
    """The user here. None: the store is away, and the page has to ask until it is back."""
    try:
        return get_weblab_user()
    except StoreUnavailableError:
        return None


def _every(lab: UserServices, user: Any) -> int:
    """Milliseconds between two polls: half of what the lab, or this session since its start, allows of silence."""
    limits = [lab.settings.timeout]
    if isinstance(user, SessionUser):
        limits.append(user.record.number("timeout"))
    return int(min(max(SHORTEST, min(limit for limit in limits if limit > 0) * 500), LONGEST))


def _left(user: Any) -> int | None:
    """Milliseconds after which the session's time is surely over. None: not known, or it is over already."""
    return int(min(user.time_left * 1000 + AFTER_THE_END, LONGEST)) if isinstance(user, CurrentUser) else None
