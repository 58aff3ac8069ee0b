"""What happened in a chaos run, as plain values: at the far ends of the ttys, in the lab's code, at the RLMS's desk.

The judges (`judge.py`) read nothing else. All times are CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

MARK = re.compile(rb"([~!])([0-9a-f]{12})")
SAFE = b"halt\r"
LOOKS = 2.0
"""Seconds from one look at who has which tty to the next, at most; the harness says where it was longer."""
RELEASE_TIMEOUT = 3
DISPOSE_TIMEOUT = 3
"""Seconds, as the lab of the runs is told."""
STORE_CLOCK = "store-clock-jump"


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What reached one board, or what was done to it. event: received, hangup, unplug, plug, hang, normal, boot."""

    at: float
    event: str
    data: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One line of the lab's own log. what: on_start, line, line done, line failed, task, on_dispose, ..."""

    at: float
    what: str
    facts: Mapping[str, Any]

    @property
    def session(self) -> str:
        return str(self.facts.get("session", ""))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of the RLMS. what: start, status, dispose. status: HTTP's, 0 where no answer came.

    out_of_service: what the store said of the session's bench right after it was told as over: why nobody gets it.
    noted: the store has it, that the RLMS wants the session's end; asked right after the answer.
    """

    sent: float
    answered: float
    web: str
    what: str
    status: int
    body: Any
    session: str = ""
    out_of_service: str = ""
    noted: bool = False

    @property
    def should_finish(self) -> float:
        """What a status says; 0 where it says nothing."""
        said = self.body.get("should_finish") if self.what == "status" and isinstance(self.body, dict) else 0.0
        return float(said) if isinstance(said, (int, float)) else 0.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the store has of a session at the end. states: those that its events tell, in order; claims: how often its
    ending was claimed."""

    state: str
    states: Sequence[str] = ()
    claims: int = 0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. target: what it was done to. over: when it was undone.

    happened: did it take effect? order: its number at the RLMS, where the lab's own code is to do it: that says itself
    whether it did.
    """

    kind: str
    target: str
    began: float
    over: float
    happened: bool = True
    order: str = ""

    def touches(self, since: float, until: float) -> bool:
        return self.began <= until and self.over >= since


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Why a bench can be given to nobody, as the store had it at one moment; '' where it can.

    at: when the store was asked; until: when it had answered, which is later where it hung.
    """

    at: float
    out_of_service: Mapping[str, str]
    until: float = 0.0

    def is_of(self, since: float, until: float) -> bool:
        return self.at <= until and max(self.at, self.until) >= since


@dataclass(kw_only=True)
class Record:
    """All of it. forgotten: when the store came back without its memory, or a part of it."""

    heard: Mapping[str, Sequence[Heard]] = field(default_factory=dict)
    acts: Sequence[Act] = ()
    asked: Sequence[Asked] = ()
    sessions: Mapping[str, Kept] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)
    """Task -> its status at the end, '' where the store does not know it."""
    faults: Sequence[Fault] = ()
    samples: Sequence[Sample] = ()
    openers: Sequence[tuple[float, str, Sequence[int]]] = ()
    """Moments at which a tty was open in more than one process: when, whose bench, the processes."""
    forgotten: Sequence[float] = ()
    moves: Sequence[tuple[float, str]] = ()
    """Moments at which it was seen that another process than before has a bench's tty open: when, which bench."""

    lived: Mapping[int, float] = field(default_factory=dict)
    """Process -> when it was last seen alive."""
    downs: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Web process or loop -> from when to when it was not there at all."""
    stills: Sequence[tuple[float, float]] = ()
    """From when to when the machine stood still, as far as this could be felt."""
    excused: Counter[str] = field(default_factory=Counter)
    """How often a judge let something pass, by why."""

    @cached_property
    def came(self) -> dict[str, list[Mark]]:
        """What came to each board."""
        return {bench: list(marks(heard)) for bench, heard in self.heard.items()}

    @cached_property
    def acts_of(self) -> dict[str, list[Act]]:
        """What was done for each session; '' for what names none."""
        found = defaultdict[str, list[Act]](list)
        for act in self.acts:
            found[act.session].append(act)
        return found

    @cached_property
    def exits(self) -> list[Act]:
        """When the lab's own code ended a process."""
        return [act for act in self.acts if act.what == "exit"]

    @cached_property
    def answered(self) -> dict[str, list[tuple[float, float]]]:
        """When each web process was asked something that it answered, and when it did; in order."""
        found = defaultdict[str, list[tuple[float, float]]](list)
        for asked in sorted(self.asked, key=lambda one: one.sent):
            if asked.status:
                found[asked.web].append((asked.sent, asked.answered))
        return found

    @cached_property
    def lines(self) -> dict[str, Act]:
        """The lines that were announced, by their tokens."""
        return {act.facts["token"]: act for act in self.acts if act.what == "line"}

    @cached_property
    def first_acts(self) -> dict[str, float]:
        """When the lab's code first heard of each session."""
        first: dict[str, float] = {}
        for act in self.acts:
            if act.what == "on_start":
                first.setdefault(act.session, act.at)
        return first

    def excuse(self, why: str) -> bool:
        """Let something pass, and count it. Always True."""
        self.excused[why] += 1
        return True

    def knows(self, session: str) -> bool:
        """Does the store have the session at the end?"""
        kept = self.sessions.get(session)
        return kept is not None and kept.state != "unknown"

    def forgot_between(self, since: float, until: float) -> bool:
        """Has the store forgotten anything then?"""
        return any(since <= moment <= until for moment in self.forgotten)

    def forgot_after(self, at: float) -> bool:
        """Has the store forgotten anything since?"""
        return any(moment >= at for moment in self.forgotten)

    def stood_still(self, since: float, until: float) -> bool:
        return any(began <= until and over >= since for began, over in self.stills)

    def store_clock_was_wrong(self, since: float, until: float) -> bool:
        return any(fault.kind == STORE_CLOCK and fault.touches(since, until) for fault in self.faults)

    def nobody_remembers(self, bench: str, since: float, until: float) -> bool:
        """Has the store forgotten what was at a bench then, and has that another host by now? Then a session that was
        over may be shown again, and go on: nobody knows of a later fence."""
        moved = any(where == bench and since <= at <= until + LOOKS for at, where in self.moves)
        return moved and self.forgot_between(since, until) and self.excuse("nobody remembers that it was over")

    def done_again(self, line: Act | None, since: float, until: float) -> bool:
        """Is it a line of an ending that the store had forgotten, or of a session that nobody knows to be over?"""
        if line is None:
            return False
        if line.facts["purpose"] == "dispose" and self.forgot_between(since, until):
            return self.excuse("an ending that the store forgot was done again")
        return self.nobody_remembers(line.facts["bench"], since, until)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something in the bytes that a board got, in their order. kind: '~' head of a line, '!' its end, 'safe', or 'cut':
    bytes may have been lost, by that event."""

    at: float
    kind: str
    token: str = ""
    event: str = ""


def marks(heard: Sequence[Heard]) -> Iterator[Mark]:
    """Read a board's record; what stands at the border of two chunks is whole again."""
    rest = b""
    for one in heard:
        if one.event != "received":
            rest = b""
            yield Mark(at=one.at, kind="cut", event=one.event)
            continue
        data = rest + one.data
        end = 0
        for found in re.finditer(rb"([~!])([0-9a-f]{12})|halt\r", data):
            end = found.end()
            if found.group(1):
                yield Mark(at=one.at, kind=found.group(1).decode(), token=found.group(2).decode())
            else:
                yield Mark(at=one.at, kind="safe")
        rest = data[end:][-12:]
