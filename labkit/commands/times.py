"""Times as commands print them: of this machine's zone, which the person at the terminal lives in."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def local_time(seconds: float) -> str:
    """A time of day, with its date where that is another day than today. Gets UTC seconds since 1970; 0 gives ''."""
    if not seconds:
        return ""
    moment = time.localtime(seconds)
    today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%b %d %H:%M", moment)


def iso_time(seconds: float) -> str | None:
    """A time for programs: ISO 8601 in UTC. Gets UTC seconds since 1970; 0 gives None."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def zone() -> str:
    """The name of this machine's time zone."""
    return time.strftime("%Z")
