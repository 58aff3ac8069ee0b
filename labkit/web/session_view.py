"""What the pages of one session are shown of it: its state, and what happens to it.

Used by the relay, under its lock, and by the sockets for their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.store.sessions import SessionRecord, SessionState
from labkit.web.task_view import TaskView

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
        self._started = 0.0
        self._max_date = 0.0
        self._tasks: dict[str, TaskView] = {}
        self._devices: dict[str, dict[str, Any]] = {}

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
        """Take over what the store has. Returns the message for pages that were told nothing yet."""
        self._state, self._reason = record.state, record.reason
        self._now, self._max_date = record.now, record.number("max_date")
        self._started = started_at(record)
        name, data = self._message()
        tasks = [task.shown() for task in self._tasks.values()]
        return name, {**data, "tasks": tasks, "devices": list(self._devices.values())}

    def recall(self, position: str, fields: Mapping[str, str]) -> None:
        """Take over an event from before anybody was shown the session; its state comes with `see`.

        Errors: those of `hear`.
        """
        self.position = position
        if "device" in fields:
            self._hear_device(fields)
        elif "task" in fields:
            self._hear_task(fields)

    def hear(self, position: str, fields: Mapping[str, str]) -> Message | None:
        """Take over one event. Returns the message for pages; None: they know it already.

        Errors: ValueError, TypeError, KeyError for an event that makes no sense; its position is passed all the same.
        """
        self.position = position
        if "device" in fields:
            return "device", self._hear_device(fields)
        if "task" in fields:
            return "task", self._hear_task(fields)
        state = _state_of(fields.get("state", ""))
        if state is None or _ORDER.index(state) <= _ORDER.index(self._state):
            return None
        self._state = state
        self._reason = fields.get("reason", "logout" if state is SessionState.OVER else self._reason)
        self._now = float(fields.get("at", self._now))
        self._max_date = float(fields.get("max_date", self._max_date))
        return self._message()

    def _hear_device(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Note the condition of a device for pages that come later, as long as the session holds it."""
        device = fields["device"]
        data = {**fields, "at": float(fields["at"])}
        if fields.get("hold", "reserved") == "reserved":
            self._devices[device] = data
        else:
            self._devices.pop(device, None)
        return data

    def _hear_task(self, fields: Mapping[str, str]) -> dict[str, Any]:
        task_id = fields["task"]
        task = self._tasks.setdefault(task_id, TaskView(task_id, fields["name"]))
        told = task.hear(fields)
        if task.over:
            del self._tasks[task_id]
        return told

    def _message(self) -> Message:
        left = 0.0 if self.over else max(0.0, self._max_date - self._now)
        return "session", {
            "state": shown_state(self._state), "reason": self._reason, "now": self._now, "started": self._started,
            "max_date": self._max_date, "time_left": left,
        }  # fmt: skip


def started_at(record: SessionRecord) -> float:
    """When the session began for its user: a slot may have begun earlier. UTC seconds since 1970."""
    return max(record.number("start_date"), record.number("created"))


def shown_state(state: SessionState) -> str:
    """A state in the words of pages: starting, active, ending or expired."""
    return _SHOWN.get(state, state.value)


def _state_of(word: str) -> SessionState | None:
    if word == "exited":  # logged out, and nobody has begun the ending yet
        return SessionState.OVER
    return SessionState(word) if word in set(SessionState) else None
