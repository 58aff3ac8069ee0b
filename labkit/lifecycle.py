"""The life of each session in the app's log: a JSON line for each event (rlms.md). Used by web and sessions.

Never holds a session's id, a user's name or the way back: ids are secrets, so the start of their hash stands for them.
"""

from __future__ import annotations

import json
from typing import Any

from flask import has_request_context, request

from labkit.lab import Lab
from labkit.log_text import hashed
from labkit.store.sessions import EndReason, SessionRecord, SessionState

_REASONS = {
    EndReason.TIME: "time_limit_reached",
    EndReason.INACTIVITY: "inactivity_timeout",
    EndReason.LOGOUT: "user_exited",
}


def write_lifecycle(
    lab: Lab, record: SessionRecord | None, action: str, source: str | None = None, *, reason: str = ""
) -> None:
    """Write one event: `protected_request_rejected`, `expiry_detected` (once a session) or `disposed`.

    source: `status_time` or `dispose_user`, where one of these found or made the end.
    """
    if not lab.settings.log_lifecycle:
        return
    if action == "expiry_detected" and record is not None and not lab.sessions.first_to_see_end(record.session_id):
        return
    lab.app.logger.info(json.dumps(_line(lab, record, action, source, reason)))


def _line(lab: Lab, record: SessionRecord | None, action: str, source: str | None, reason: str) -> dict[str, Any]:
    known = record if record is not None and record.state is not SessionState.UNKNOWN else None
    user = known.user if known else {}
    here = request if has_request_context() else None
    why = reason or (
        _REASONS.get(EndReason(known.reason), "unknown_expiry") if known and known.reason else "unknown_expiry"
    )
    return {
        "event": "weblab_session_lifecycle",
        "action": action,
        "reason": why,
        "session_id_hash": hashed(known.session_id) if known else None,
        "experiment_name": user.get("experiment_name"),
        "category_name": user.get("category_name"),
        "experiment_id": user.get("experiment_id"),
        "status": known.state.value if known else None,
        "path": here.url_rule.rule if here is not None and here.url_rule is not None else None,
        "endpoint": here.endpoint if here is not None else None,
        "method": here.method if here is not None else None,
        "source": source,
        "seconds_since_start": round(known.now - known.number("start_date"), 3) if known else None,
        "seconds_since_last_poll": round(known.now - known.number("last_poll"), 3) if known else None,
        "seconds_past_max_date": round(known.now - known.number("max_date"), 3) if known else None,
        "configured_timeout_seconds": lab.settings.timeout,
    }
