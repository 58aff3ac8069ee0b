"""The judges of a chaos run that look at what the RLMS was answered, and at what came to the boards afterwards.

Used by `judge.py`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from typing import Any

from tests.chaos.record import RELEASE_TIMEOUT, Act, Asked, Mark, Record

RESTART_SECONDS = 30.0
"""How long after a fault of a web process its port may refuse: it is started again by then, on a slow machine too."""
LAST_ANSWERS = 2.0
"""Seconds for which a web process that was told to end may still answer."""
ENDING_WAITS = RELEASE_TIMEOUT + 3.0
"""Seconds that an ending waits for its devices to be safe; then it is over without, and they stay out of service."""
RELEASING = "is being released"
FRESH = 1.0
"""Seconds for which a look at the benches counts."""
STALE = 5.0
"""Seconds for which a process may go by what a store knew before it forgot."""
OWN_CALLS = 3.0
"""Seconds for which a loop lets a task of its own go on that has logged out its session, where no news reach it: a call
at its own device goes by a beat that is at most 2 s old."""


def the_rlms_could_act(record: Record) -> list[str]:
    """Each answer was JSON of a form that an RLMS knows; none was missing where the web process was not disturbed."""
    complaints = []
    for asked in record.asked:
        if asked.status == 0:
            if not _web_was_down(record, asked):
                complaints.append(f"no answer to {asked.what} at {asked.web}: {asked.body}")
        elif not _known_form(asked):
            complaints.append(f"{asked.what} was answered with {asked.status} {asked.body!r:.200}")
    return complaints


def _web_was_down(record: Record, asked: Asked) -> bool:
    """Was it disturbed, and has it answered nothing since?"""
    for began, over in _disturbances(record, asked.web):
        if began <= asked.answered and over >= asked.sent - RESTART_SECONDS and not _was_back(record, asked, over):
            return record.excuse("a web process was down or stopped")
    return False


def _was_back(record: Record, asked: Asked, over: float) -> bool:
    """Had the web process answered something that it was asked after that moment, and before this?"""
    answered = record.answered[asked.web]
    first = bisect.bisect(answered, (over + LAST_ANSWERS, math.inf))
    last = bisect.bisect(answered, (asked.sent, 0.0))
    return any(at < asked.sent for _, at in answered[first:last])


def _disturbances(record: Record, web: str) -> Iterator[tuple[float, float]]:
    """When a web process was stopped, killed, told to end, ended by the lab's own code, or not there."""
    for fault in record.faults:
        if fault.target == web and fault.kind.startswith("web-"):
            yield fault.began, fault.over
    for act in record.exits:
        if act.facts.get("part") == web:
            yield act.at, act.at
    yield from record.downs.get(web, ())


def _known_form(asked: Asked) -> bool:
    body: Any = asked.body
    if not isinstance(body, dict):
        return False
    if asked.what == "start":
        fine = {"url", "session_id"} <= set(body) if asked.status == 200 else bool(body.get("error"))
        return fine and (asked.status == 200 or (asked.status in (400, 503) and isinstance(body.get("message"), str)))
    if asked.what == "status":
        return asked.status == 200 and isinstance(body.get("should_finish"), (int, float))
    return asked.status == 200 and body.get("message") in ("Deleted", "Deleting", "Not found")


def finished_means_safe(record: Record) -> list[str]:
    """The RLMS heard "finished" only when the board had been made safe after the session's last line, or was out of
    service; and nothing of the session came afterwards. A status says so too, once the store has a dispose."""
    first, noted, complaints = record.first_acts, dict[str, float](), []
    for asked in sorted(record.asked, key=lambda one: one.answered):
        message = asked.body.get("message") if asked.what == "dispose" and isinstance(asked.body, dict) else ""
        if message == "Not found" and asked.session in first:
            if record.forgot_after(first[asked.session]):
                record.excuse("a session was not found that the store forgot")
            else:
                complaints.append(f"session {asked.session[:6]} was not found")
        if asked.noted:
            noted.setdefault(asked.session, asked.answered)
        told = asked.should_finish < 0 and noted.get(asked.session, asked.sent) < asked.sent
        if message == "Deleted" or (told and not record.forgot_between(noted[asked.session], asked.answered)):
            complaints += _unsafe(record, asked)
    return complaints


def _unsafe(record: Record, asked: Asked) -> Iterator[str]:
    own = {token: line for token, line in record.lines.items() if line.session == asked.session}
    for bench, came in record.came.items():
        indices = [
            index
            for index, mark in enumerate(came)
            if mark.token in own and not _never_finished(record, asked, own[mark.token], mark.at)
        ]
        if not indices:
            continue
        last = came[indices[-1]]
        if last.at > asked.answered:
            yield f"{bench}: a line of session {asked.session[:6]} came after it was finished"
        safe = any(mark.kind == "safe" and mark.at <= asked.answered for mark in came[indices[-1] :])
        if not safe and not _out_of_service(record, bench, asked, last):
            yield f"{bench}: session {asked.session[:6]} was finished before the board was safe"


def _never_finished(record: Record, asked: Asked, line: Act, at: float) -> bool:
    """Is it a line of a session whose end was forgotten since? Where its bench was out of service then, only the store
    knew of that end."""
    if at <= asked.answered:
        return False
    if asked.out_of_service and record.forgot_between(asked.answered, at):
        return record.excuse("only the store knew of an end, and forgot it")
    return record.done_again(line, asked.answered, at)


def _out_of_service(record: Record, bench: str, asked: Asked, last: Mark) -> bool:
    """Could the bench be given to nobody, as the looks around the answer saw it? One that is still being released only
    where the ending has waited for that as long as it may."""
    looks = [sample for sample in record.samples if sample.is_of(asked.answered - FRESH, asked.answered)]
    whys = {asked.out_of_service, *(sample.out_of_service.get(bench, "") for sample in looks)} - {""}
    if any(not why.endswith(RELEASING) for why in whys):
        return record.excuse("a session was over whose bench was out of service")
    waited = asked.answered >= last.at + ENDING_WAITS
    return bool(whys) and waited and record.excuse("a session was over whose bench could not be made safe in time")


def out_means_out(record: Record) -> list[str]:
    """Where a status says that a session is over, its user is out: no line of a page, a view or a task came that was
    begun later. Only `on_dispose` still has the bench."""
    out: dict[str, float] = {}
    for asked in record.asked:
        if asked.should_finish < 0:
            out[asked.session] = min(asked.answered, out.get(asked.session, asked.answered))
    came = {mark.token: mark.at for marks in record.came.values() for mark in marks if mark.kind == "~"}
    complaints = []
    for token, line in record.lines.items():
        since = out.get(line.session)
        if since is None or token not in came or line.facts["purpose"] in ("dispose", "start"):
            continue
        if line.at > since and not _still_in(record, line, since):
            complaints.append(
                f"{line.facts['bench']}: a {line.facts['purpose']} of session {line.session[:6]} sent line {token} "
                f"{line.at - since:.1f} s after its status was finished"
            )
    return complaints


def _still_in(record: Record, line: Act, since: float) -> bool:
    if record.forgot_between(since - STALE, line.at):
        return record.excuse("a user was out, and the store forgot it")
    if record.store_clock_was_wrong(since - FRESH, line.at):
        return record.excuse("a user was out by a store's clock that was wrong")
    if line.facts["purpose"] == "task" and line.at <= since + OWN_CALLS:
        return record.excuse("a task went on for a moment after its user was out")
    return False
