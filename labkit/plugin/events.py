"""What the life-cycle hooks are told. For plugin authors: audit logs, notices, lamps at the door.

Facts of one moment. They hold no secret: a session is named by the start of its id's hash, as everywhere in logs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SessionEvent:
    """A session has started or has ended. at: UTC seconds since 1970."""

    at: float
    session: str
    """The start of the hash of its id: the same in every log line about it."""
    username: str
    """Who had it, as the RLMS names people."""
    benches: tuple[str, ...]
    reason: str = ""
    """Why it ended: time, inactivity, logout, disposed, admin, start-failed or lost; '' where it has started."""


@dataclass(frozen=True, kw_only=True)
class DeviceEvent:
    """A device has changed its condition. at: UTC seconds since 1970."""

    at: float
    device: str
    """Full name, `bench/device`."""
    before: str
    condition: str
    """ok, offline or faulty."""
    reason: str = ""
    blame: str = ""
    """Whose fault it seems to be: user, driver, device or lab; '' where nothing is wrong."""
