"""Processes of a lab in the store: beats, roles, and the news that a beat brings. Used by `labkit.process`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labkit.errors import WrongAppError
from labkit.store.connection import Store, record, text

GONE_AFTER = 4.0
"""Seconds without a beat after which a process counts as gone; the prelude of the scripts has the same number."""


@dataclass(frozen=True, kw_only=True)
class HoldNews:
    """One device's hold as a beat tells it to the device's host. state: none, reserved or releasing."""

    state: str
    fence: int
    session: str = ""
    until: float = 0.0
    """The store's time up to which the session is active if nobody does anything; 0: it isn't."""


@dataclass(frozen=True, kw_only=True)
class BeatNews:
    """What one beat brings."""

    now: float
    """The store's time, UTC seconds since 1970."""
    went_back: bool
    """The store knew a lower fence than a host: it has lost its last moments."""
    queued_tasks: int
    urgent_tasks: int = 0
    """How many of the queued tasks somebody waits for who may hold everything up: a start, an ending, another task."""
    due: Sequence[str]
    """Sessions that somebody must look at."""
    gone: Sequence[str]
    """Processes that are silent too long and not buried yet."""
    benches: Mapping[str, bool]
    """Benches that this process hosts -> whether its claim still stands."""
    claims: Mapping[str, int] = field(default_factory=dict)
    """Those benches -> the fence of the claim that was asked about; there may be a later one by now."""
    holds: Mapping[str, HoldNews]
    """Devices of those benches that are held; a device that is missing here has no hold."""
    maintained: Mapping[str, str] = field(default_factory=dict)
    """Those benches that are in maintenance -> the reason."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Devices of those benches -> the condition that the store has of them."""
    watched: str = ""
    """When somebody last began to look at a feed of frames: another word than the last time says that one has."""


class Processes:
    """Beats in the store."""

    def __init__(self, store: Store):
        self._store = store

    def claim_app(self, app: str) -> None:
        """Write the app's name under the prefix at the first start. Errors: `WrongAppError` where it is another's."""
        owner = text(self._store.run("lab_claim", app))
        if owner != app:
            raise WrongAppError(
                f"The key prefix '{self._store.keys.prefix}' belongs to the app '{owner}', this one is '{app}'. "
                "Give each lab on one store its own WEBLAB_REDIS_BASE."
            )

    def beat(
        self,
        process: str,
        *,
        first: bool,
        roles: str,
        highest_fence: int,
        benches: Mapping[str, int],
        kept: Mapping[str, int] | None = None,
    ) -> BeatNews | None:
        """Beat once, and close what connections nobody has used for a while. None: this process was silent for too long
        and counts as gone; it must take a new name.

        benches: those that it hosts -> the fence of the claim. kept: those that it hosts no more and that are still
        open in it, being closed or because a device of them hangs; no other machine gets them.
        """
        hosted = [f"{bench}={fence}" for bench, fence in benches.items()]
        hosted += [f"{bench}~{fence}" for bench, fence in (kept or {}).items()]
        self._store.tidy()
        answer = self._store.run("beat", process, "1" if first else "", roles, highest_fence, *hosted)
        if text(answer[0]) == "gone":
            return None
        _, now, back, queued, urgent, due, gone, states, holds, maintained, watched, conditions = answer
        return BeatNews(
            now=float(now),
            went_back=text(back) == "1",
            queued_tasks=int(queued),
            urgent_tasks=int(urgent),
            due=[text(item) for item in due],
            gone=[text(item) for item in gone],
            benches={text(states[i]): text(states[i + 1]) == "ok" for i in range(0, len(states), 2)},
            claims=dict(benches),
            holds={
                text(device): HoldNews(state=text(state), fence=int(fence), session=text(session), until=float(until))
                for device, state, fence, session, until in zip(*[iter(holds)] * 5, strict=True)
            },
            maintained=record(maintained),
            watched=text(watched),
            conditions=record(conditions),
        )

    def leave(self, process: str) -> None:
        """Say that a process ends in order."""
        self._store.run("process_leave", process)

    def with_role(self, role: str, *, but: str = "") -> str:
        """A live process that has a role, or ''."""
        return text(self._store.run("process_role", role, but))

    def wait_for_changes(self, position: str, seconds: float) -> str:
        """Wait at most `seconds` for a change that concerns hosts or reapers; returns the new position."""
        for _, entries in self._store.read_streams({self._store.keys["changes"]: position}, seconds):
            position = entries[-1][0]
        return position

    def changes_position(self) -> str:
        """The present end of the stream of changes."""
        rows = self._store.command("XREVRANGE", self._store.keys["changes"], "+", "-", "COUNT", 1)
        return text(rows[0][0]) if rows else "0-0"
