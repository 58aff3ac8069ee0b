"""What pages are shown of one running task: how far it is, what it does, the last lines of its log.

Used by `session_view`, which tells it the task's events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from labkit import wire

LINES = 20
"""Lines of a log that are kept for a page that comes later."""
LINE = 500
"""Characters of a line that are shown."""
_OVER = ("done", "failed")


class TaskView:
    """One task, as its events tell it."""

    def __init__(self, task_id: str, name: str):
        self.task_id = task_id
        self.name = name
        self.status = "running"
        self._progress: dict[str, Any] | None = None
        self._log: deque[str] = deque(maxlen=LINES)

    @property
    def over(self) -> bool:
        return self.status in _OVER

    def hear(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Take over one event. Returns what pages are told of it.

        Errors: ValueError, TypeError, KeyError where it makes no sense.
        """
        lines = _lines(fields["log"]) if "log" in fields else []
        if "progress" in fields:
            self._progress = _progress(fields["progress"])
        self.status = fields.get("status", self.status)
        self._log.extend(lines)
        return self._shown(lines)

    def shown(self) -> dict[str, Any]:
        """How it stands, for a page that knows nothing of it yet."""
        return self._shown(list(self._log))

    def _shown(self, lines: list[str]) -> dict[str, Any]:
        return {
            "task": self.task_id,
            "name": self.name,
            "status": self.status,
            "progress": self._progress,
            "log": lines,
        }


def _progress(written: str) -> dict[str, Any]:
    """Read what `current_task.progress` wrote: part from 0 to 1, and a text."""
    value = wire.loads(written)
    return {"part": min(1.0, max(0.0, float(value["part"]))), "text": str(value.get("text", ""))[:LINE]}


def _lines(written: str) -> list[str]:
    """Read what `current_task.log` wrote, line by line, the last ones."""
    return [line[:LINE] for line in str(wire.loads(written)).splitlines()[-LINES:]]
