"""Sessions in the store: start, step, activate, touch, exit, end, claim, finish. Used by `labkit.sessions` and users.

Each method is one script, so each is one change that nobody sees half done. A start counts only when as many replicas
have it as LABKIT_STORE_REPLICAS says; an ending goes on without, for a bench must not wait for a replica.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from labkit import wire
from labkit.errors import NotCopiedError, NotStorableError, SessionLostError
from labkit.store.connection import NO_TASK, Entry, Store, record, text


class SessionState(StrEnum):
    """starting -> active -> ending -> expired. OVER is an active session whose end nobody has begun yet."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    ACTIVE = "active"
    OVER = "over"
    ENDING = "ending"
    EXPIRED = "expired"


class EndReason(StrEnum):
    """Why a session ended."""

    TIME = "time"
    INACTIVITY = "inactivity"
    LOGOUT = "logout"
    DISPOSED = "disposed"
    ADMIN = "admin"
    START_FAILED = "start-failed"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why one bench can't be given out. state: reserved, releasing (own-...: by the session that asks), drained,
    maintenance, no-host, offline or faulty."""

    bench: str
    state: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """A session as the store has it, read at `now`. Times are UTC seconds since 1970."""

    session_id: str
    state: SessionState
    now: float
    fields: Mapping[str, str]

    @property
    def user(self) -> dict[str, Any]:
        """What the RLMS said of the user: name, unique name, data, back, and so on."""
        return dict(json.loads(self.fields["user"])) if "user" in self.fields else {}

    @property
    def fences(self) -> dict[str, int]:
        return wire.load_fences(self.fields.get("benches", ""))

    def number(self, name: str) -> float:
        return float(self.fields.get(name) or 0.0)

    @property
    def reason(self) -> str:
        return self.fields.get("reason", "")

    @property
    def step(self) -> str:
        return self.fields.get("step", "")

    @property
    def exited(self) -> bool:
        return self.fields.get("exited") == "1"

    @property
    def disposing(self) -> bool:
        return self.fields.get("disposing") == "1"

    @property
    def time_left(self) -> float:
        """Seconds until the time is over, 0 if it is or the session has ended."""
        if self.state not in (SessionState.STARTING, SessionState.ACTIVE):
            return 0.0
        return max(0.0, self.number("max_date") - self.now)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A session that was written. bench: '' where none was wished for."""

    fence: int
    bench: str
    max_date: float


@dataclass(frozen=True, kw_only=True)
class NewSession:
    """What `start` writes. Durations in seconds; bench: '-' none, '' any, or its name."""

    session_id: str
    user: Mapping[str, Any]
    slot_start: float | None
    slot_length: float
    timeout: float
    start_timeout: float
    bench: str = ""
    features: Sequence[str] = ()


class Sessions:
    """Sessions in the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def start(self, new: NewSession, owner: str) -> Started | list[Refusal]:
        """Write a session and reserve a bench, all or nothing.

        Returns what was started, or why no bench was free. A slot that is over already makes a session that is over.
        Errors: `NotCopiedError`; the session is written then, and has to be ended.
        """
        answer, copied = self._store.run_copied(
            "session_start",
            new.session_id,
            owner,
            new.start_timeout,
            new.bench,
            " ".join(new.features),
            "",
            "" if new.slot_start is None else repr(new.slot_start),
            repr(new.slot_length),
            repr(new.timeout),
            json.dumps(new.user),
        )
        word = text(answer[0])
        if word == "started":
            self._must_be_copied(copied)
            return Started(fence=int(answer[1] or 0), bench=text(answer[2]), max_date=float(answer[3]))
        return refusals(answer[1])

    def step(self, session_id: str, owner: str, fence: int | None, step: str) -> bool:
        """Record how far a start (fence None) or an ending has come. False: it is not the caller's any more."""
        return text(self._store.run("session_step", session_id, owner, "" if fence is None else fence, step)) == "ok"

    def activate(self, session_id: str, owner: str) -> str:
        """From starting to active. Returns 'active', 'asked' (its end was asked for meanwhile) or 'lost'.

        Errors: `NotCopiedError`; the session is active then, and has to be ended.
        """
        answer, copied = self._store.run_copied("session_activate", session_id, owner)
        if text(answer) == "active":
            self._must_be_copied(copied)
        return text(answer)

    def _must_be_copied(self, copied: bool) -> None:
        if not copied:
            raise NotCopiedError(
                f"The lab's store has fewer than {self._store.replicas} replicas just now (LABKIT_STORE_REPLICAS), and "
                "no session starts that could be forgotten. Try again in a few seconds."
            )

    def touch(self, session_id: str, *, poll: bool) -> SessionRecord:
        """Read a session; where it is active and `poll`, its silence counts from now."""
        try:
            session_id.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, from a cookie that a lab has written
            return SessionRecord(session_id=session_id, state=SessionState.UNKNOWN, now=0.0, fields={})
        return _touched(session_id, self._store.run("session_touch", session_id, "1" if poll else ""))

    def exit(self, session_id: str) -> bool:
        """The user logs out: out at once. False: was not active any more."""
        return text(self._store.run("session_exit", session_id)) == "exited"

    def end(self, session_id: str, reason: EndReason | None, *, owner: str = "", detail: str = "") -> tuple[str, str]:
        """Begin the ending; `reason` None: only if it is due. Returns (word, reason): 'begun', 'ending', 'expired',
        'unknown', 'not-due', or 'starting' (noted; it ends when on_start is over)."""
        answer, _ = self._store.run_copied("session_end", session_id, reason.value if reason else "", owner, detail)
        return text(answer[0]), text(answer[1])

    def claim_ending(self, session_id: str, process: str, longest: float) -> SessionRecord | str:
        """Take over an ending that nobody alive is at, under a new fence. Returns its record, 'held' or its state."""
        answer, _ = self._store.run_copied("ending_claim", session_id, process, longest)
        if text(answer[0]) != "claimed":
            return text(answer[0])
        return SessionRecord(session_id=session_id, state=SessionState.ENDING, now=0.0, fields=record(answer[1:]))

    def finish(self, session_id: str, owner: str, fence: int, keep: float) -> bool:
        """The last step of an ending. False: it is not the caller's any more."""
        answer, _ = self._store.run_copied("session_finish", session_id, owner, fence, keep)
        return text(answer) == "finished"

    def due(self, count: int = 1000) -> list[str]:
        """Sessions that somebody must look at now, at most `count`."""
        return [text(item) for item in self._store.run("session_due", count)]

    def first_to_see_end(self, session_id: str) -> bool:
        """Note that the end of a session was seen. True for the first who does."""
        return bool(self._store.run("session_seen", session_id))

    def data(self, session_id: str) -> dict[str, Any]:
        """The session's data."""
        flat = self._store.command("HGETALL", self._store.keys.of("data", session_id))
        pairs = flat.items() if isinstance(flat, dict) else record(flat).items()
        return {text(key): wire.loads(value) for key, value in pairs}

    def store_data(
        self,
        session_id: str,
        changed: Mapping[str, Any],
        dropped: Sequence[str],
        *,
        replace: bool = False,
        by_task: tuple[str, str] = NO_TASK,
    ) -> bool:
        """Write changed keys of the data. False: the session is over. Errors: `NotStorableError`, and
        `SessionLostError` where a task (id, process) asks that was given up."""
        for key in changed:
            if not isinstance(key, str):
                raise NotStorableError(f"data has the key {key!r}; only text can be a key.")
        pairs = [part for key, value in changed.items() for part in (key, wire.dumps(value, f"data[{key!r}]"))]
        answer = text(
            self._store.run(
                "session_data", session_id, "1" if replace else "", *by_task, len(changed), *pairs, *dropped
            )
        )
        if answer == "task-lost":
            raise SessionLostError("The task that changes the data was given up; nothing that it does counts any more.")
        return answer == "stored"

    def events(self, session_id: str, position: str, seconds: float) -> list[Entry]:
        """Wait at most `seconds` for what happens to a session after a position ('0-0': from its start)."""
        key = self._store.keys.of("events", session_id)
        found = self._store.read_streams({key: position}, seconds)
        return found[0][1] if found else []


def _touched(session_id: str, answer: bytes) -> SessionRecord:
    """Read the one text that `session_touch.lua` gives."""
    word, now, *parts = answer.decode("utf-8", "replace").split("\0")
    fields = dict(zip(parts[::2], parts[1::2], strict=True))
    return SessionRecord(session_id=session_id, state=SessionState(word), now=float(now), fields=fields)


def refusals(rows: Sequence[Sequence[bytes]]) -> list[Refusal]:
    """Rows of the scripts' `pick` as values."""
    return [Refusal(bench=text(row[0]), state=text(row[1]), first=text(row[2]), second=text(row[3])) for row in rows]
