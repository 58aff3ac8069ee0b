"""What happened in a chaos run, as plain values: at the far ends of the ttys, in the lab's code, at the RLMS's desk.

The judges (`judge.py`) read nothing else. All times are CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = re.compile(rb"([~!])([0-9a-f]{12})")
SAFE = b"halt\r"
LOOKS = 2.0
"""Seconds from one look at who has which tty to the next, at most."""


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

    out_of_service: what the store said of the session's bench right after a dispose that was done: why nobody gets it.
    """

    sent: float
    answered: float
    web: str
    what: str
    status: int
    body: Any
    session: str = ""
    out_of_service: str = ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the store has of a session at the end. states: those that its events tell, in order."""

    state: str
    states: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. target: what it was done to. over: when it was undone."""

    kind: str
    target: str
    began: float
    over: float

    def touches(self, since: float, until: float) -> bool:
        return self.began <= until and self.over >= since


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Why a bench can be given to nobody, as the store had it at one moment; '' where it can."""

    at: float
    out_of_service: Mapping[str, str]


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

    def forgot_after(self, at: float) -> bool:
        """Has the store forgotten anything since?"""
        return any(moment >= at for moment in self.forgotten)

    def nobody_remembers(self, bench: str, since: float, until: float) -> bool:
        """Has the store forgotten what was at a bench then, and has that another host by now? Then a session that was
        over may be shown again, and go on: nobody knows of a later fence."""
        store = any(since <= moment <= until for moment in self.forgotten)
        return store and any(where == bench and since <= at <= until + LOOKS for at, where in self.moves)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something in the bytes that a board got, in their order. kind: '~' head of a line, '!' its end, 'safe', or 'cut':
    bytes may have been lost."""

    at: float
    kind: str
    token: str = ""


def marks(heard: Sequence[Heard]) -> Iterator[Mark]:
    """Read a board's record; what stands at the border of two chunks is whole again."""
    rest = b""
    for one in heard:
        if one.event != "received":
            rest = b""
            yield Mark(at=one.at, kind="cut")
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
