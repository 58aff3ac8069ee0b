"""What the pages of one session are shown of it: its state, and what happens to it.

Used by the relay, under its lock, and by the sockets for their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.store.sessions import SessionRecord, SessionState

Message = tuple[str, dict[str, Any]]
"""An event for a page: name and data."""

_ORDER = (
    SessionState.STARTING,
    SessionState.ACTIVE,
    SessionState.OVER,
    SessionState.ENDING,
    SessionState.EXPIRED,
    SessionState.UNKNOWN,
)
_SHOWN = {SessionState.OVER: "ending", SessionState.UNKNOWN: "expired"}
_GONE = (SessionState.EXPIRED, SessionState.UNKNOWN)
_NUMBERS = ("at", "progress")


class SessionView:
    """One session and the sockets that are shown it.

    untold: those of them that were told nothing yet. position: of the last event that was read; '': none was.
    A state that is behind the one shown is not shown: a record may be read ahead of its events.
    """

    def __init__(self, session_id: str):
        self.session_id = session_id
        self.position = ""
        self.sids: set[str] = set()
        self.untold: set[str] = set()
        self._state = SessionState.STARTING
        self._reason = ""
        self._now = 0.0
        self._max_date = 0.0

    def add(self, sid: str) -> None:
        self.sids.add(sid)
        self.untold.add(sid)

    def remove(self, sid: str) -> bool:
        """Take a socket off. True: it was the last one."""
        self.sids.discard(sid)
        self.untold.discard(sid)
        return not self.sids

    @property
    def over(self) -> bool:
        """Whether its pages get no more feeds."""
        return _ORDER.index(self._state) >= _ORDER.index(SessionState.OVER)

    @property
    def gone(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self._state in _GONE

    def see(self, record: SessionRecord) -> Message:
        """Take over what the store has. Returns the message for pages."""
        self._state, self._reason = record.state, record.reason
        self._now, self._max_date = record.now, record.number("max_date")
        return self._message()

    def hear(self, position: str, fields: Mapping[str, str]) -> Message | None:
        """Take over one event. Returns the message for pages; None: they know it already."""
        self.position = position
        if "device" in fields or "task" in fields:
            data = {name: float(value) if name in _NUMBERS else value for name, value in fields.items()}
            return ("device" if "device" in fields else "task"), data
        state = _state_of(fields.get("state", ""))
        if state is None or _ORDER.index(state) <= _ORDER.index(self._state):
            return None
        self._state = state
        self._reason = fields.get("reason", "logout" if state is SessionState.OVER else self._reason)
        self._now = float(fields.get("at", self._now))
        self._max_date = float(fields.get("max_date", self._max_date))
        return self._message()

    def _message(self) -> Message:
        left = 0.0 if self.over else max(0.0, self._max_date - self._now)
        return "session", {
            "state": shown_state(self._state), "reason": self._reason, "now": self._now, "max_date": self._max_date,
            "time_left": left,
        }  # fmt: skip


def shown_state(state: SessionState) -> str:
    """A state in the words of pages: starting, active, ending or expired."""
    return _SHOWN.get(state, state.value)


def _state_of(word: str) -> SessionState | None:
    if word == "exited":  # logged out, and nobody has begun the ending yet
        return SessionState.OVER
    return SessionState(word) if word in set(SessionState) else None
