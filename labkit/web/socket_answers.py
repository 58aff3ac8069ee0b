"""What a page is answered where it does not get what it asked for. Used by the sockets.

`{"ok": false, "error": {"kind", "message", "key"}}`; the key, where there is one, is what is wrong with the event.
"""

from __future__ import annotations

from typing import Any

from labkit.errors import BadRequestError, WebLabError
from labkit.store.sessions import SessionRecord
from labkit.web.session_view import shown_state

Answer = dict[str, Any]


def not_done(error: WebLabError) -> Answer:
    """An event that failed, or that makes no sense."""
    facts = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, BadRequestError) and error.key:
        facts["key"] = error.key
    return {"ok": False, "error": facts}


def put_out(record: SessionRecord | None) -> Answer:
    """An event of a page that has no session, or one that is over."""
    if record is None:
        return {"ok": False, "error": {"kind": "inactive", "message": "You have no session here."}}
    error = {"kind": "inactive", "message": over(record)}
    return {"ok": False, "error": error, "state": shown_state(record.state), "reason": record.reason}


def over(record: SessionRecord) -> str:
    """The sentence for a session that has ended."""
    return f"Your session is over ({record.reason or record.state.value})."


def too_many() -> Answer:
    """An event of a page that sends more than its session may."""
    message = (
        "Nothing was done: your pages send more events than this lab takes. Wait for answers before you send more."
    )
    return {"ok": False, "error": {"kind": "TooManyEvents", "message": message}}


def failed_unforeseen() -> Answer:
    """An event at which something happened that nobody foresaw."""
    return {"ok": False, "error": {"kind": "InternalError", "message": "The lab failed at this; its log says more."}}
