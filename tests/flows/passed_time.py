"""Time that has passed for a session, as its store has it. For tests of what ends by its time or by silence.

Such a session has more time than the busiest machine takes for what comes before; then its end is brought near.
"""

from __future__ import annotations

from labkit.store.connection import Store

SOON = 3.0
"""Seconds: more than a host, or a page's socket, goes on by what it knows of a session before it asks the store."""


def bring_end_near(store: Store, session_id: str) -> None:
    """Have the session's time be over soon."""
    _set(store, session_id, max_date=_now(store) + SOON)


def bring_silence_near(store: Store, session_id: str) -> None:
    """Have the session's silence be too long soon, unless somebody polls."""
    _set(store, session_id, last_poll=_now(store) + SOON - _fact(store, session_id, "timeout"))


def pass_silently(store: Store, session_id: str, seconds: float) -> None:
    """Have the last sign of life be so much longer ago."""
    _set(store, session_id, last_poll=_fact(store, session_id, "last_poll") - seconds)


def _fact(store: Store, session_id: str, name: str) -> float:
    return float(store.command("HGET", store.keys.of("session", session_id), name))


def _now(store: Store) -> float:
    seconds, microseconds = store.command("TIME")
    return int(seconds) + int(microseconds) / 1e6


def _set(store: Store, session_id: str, **facts: float) -> None:
    """Write facts of a session's record, and have the next beat look at it; that notes when it is to be looked at."""
    for name, value in facts.items():
        store.command("HSET", store.keys.of("session", session_id), name, f"{value:.6f}")
    store.command("ZADD", store.keys["deadlines"], _now(store), session_id)
