"""A made-up record of a chaos run in which all is well, and how to change it. Used by the tests of the judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.record import Act, Asked, Heard, Kept, Record, Sample

ADA, BOB = "ada-session", "bob-session"
T1, T2, T3, T4 = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"
BENCH = "bench-1"


def whole(token: str) -> bytes:
    return f"# ~{token} .. !{token}\r".encode()


def got(at: float, data: bytes) -> Heard:
    return Heard(at=at, event="received", data=data)


def act(at: float, what: str, **facts: Any) -> Act:
    return Act(at=at, what=what, facts=facts)


def line(at: float, token: str, session: str, fence: int, purpose: str = "view") -> Act:
    return act(at, "line", token=token, session=session, fence=fence, bench=BENCH, purpose=purpose)


def asked(at: float, what: str, status: int, body: Any, session: str = "", **more: Any) -> Asked:
    return Asked(sent=at - 0.1, answered=at, web="web-1", what=what, status=status, body=body, session=session, **more)


DELETED = {"message": "Deleted", "finished": True, "should_finish": -1}


def good() -> Record:
    """Ada has the bench and one task, and is disposed; then it is Bob's."""
    return Record(
        heard={
            BENCH: [
                got(1.0, b"\x03halt\r"),
                got(2.1, whole(T1)),
                got(3.1, whole(T2)[:9]),
                got(3.2, whole(T2)[9:] + b"\x03ha"),
                got(4.0, b"lt\r"),
                got(6.0, whole(T3)),
                got(7.0, b"\x03halt\r"),
            ]
        },
        acts=[
            act(2.0, "on_start", session=ADA, fences={BENCH: 10}),
            line(2.0, T1, ADA, 10),
            act(2.2, "line done", token=T1),
            act(2.5, "task", task="t1", session=ADA, pid=1),
            act(2.6, "task done", task="t1", session=ADA),
            act(3.0, "on_dispose", session=ADA, fences={BENCH: 11}, pid=1),
            line(3.0, T2, ADA, 11, "dispose"),
            act(3.3, "line done", token=T2),
            act(3.4, "on_dispose done", session=ADA, pid=1),
            act(5.9, "on_start", session=BOB, fences={BENCH: 12}),
            line(5.9, T3, BOB, 12),
            act(6.1, "line done", token=T3),
            act(6.5, "on_dispose", session=BOB, fences={BENCH: 13}, pid=1),
            act(6.6, "on_dispose done", session=BOB, pid=1),
        ],
        asked=[
            asked(2.3, "start", 200, {"url": "http://lab.invalid/callback/1", "session_id": ADA}),
            asked(2.4, "status", 200, {"should_finish": 5.0}, ADA),
            asked(3.9, "dispose", 200, {"message": "Deleting", "finished": False}, ADA),
            asked(4.5, "dispose", 200, DELETED, ADA),
            asked(5.0, "start", 503, {"error": True, "message": "No bench is free."}),
            asked(8.0, "dispose", 200, DELETED, BOB),
        ],
        sessions={
            ADA: Kept(state="expired", states=["starting", "active", "ending", "expired"]),
            BOB: Kept(state="expired", states=["starting", "active", "ending", "expired"]),
        },
        tasks={"t1": "done"},
        samples=[Sample(at=4.4, out_of_service={})],
    )


def changed(**more: Any) -> Record:
    """The good record with other facts."""
    return dataclasses.replace(good(), **more)


def with_heard(*heard: Heard) -> Record:
    return changed(heard={BENCH: heard})


def with_acts(*added: Act, without: Sequence[str] = ()) -> Record:
    kept = [one for one in good().acts if one.what not in without]
    return changed(acts=sorted([*kept, *added], key=lambda one: one.at))


def with_asked(*added: Asked, **more: Any) -> Record:
    return changed(asked=[*good().asked, *added], **more)


def only_the_last_safe() -> tuple[Heard, ...]:
    """Nobody has made the board safe between Ada and Bob."""
    return (got(2.1, whole(T1)), got(3.1, whole(T2)), got(6.0, whole(T3)), got(7.0, b"\x03halt\r"))


Case = tuple[str, Callable[[Record], list[str]], Record]
"""What a judge is to say of a record."""
