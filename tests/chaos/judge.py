"""The judges of a chaos run: each reads the record and returns what is wrong with it, a sentence for each complaint.

What docs/architecture.md and docs/safety.md promise, and no more. A store that forgot something (it was started without
its file, or with an old one) may have forgotten sessions and tasks of before: those have no ending and no state that
could be judged. What came to the boards is judged all the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.chaos.record import Act, Asked, Mark, Record, marks

NEVER_RAN = {"CallExpiredError", "DeviceBusyError", "CommandError", "DeviceFaultyError"}
"""Errors of a call that say that it surely did not run."""
RESTART_SECONDS = 30.0
"""How long after a fault of a web process its port may refuse: it is started again by then, on a slow machine too."""


def no_earlier_fence_after_a_later_one(record: Record) -> list[str]:
    """At each device, nothing under an earlier fence came after the first byte under a later one."""
    lines = lines_of(record)
    complaints = []
    for bench, heard in record.heard.items():
        highest, since = 0, 0.0
        for mark in marks(heard):
            if mark.kind not in "~!":
                continue
            line = lines.get(mark.token)
            if line is None:
                complaints.append(f"{bench}: a line {mark.token} that nobody has announced")
            elif line.facts["bench"] != bench:
                complaints.append(f"{bench}: line {mark.token} was for {line.facts['bench']}")
            elif line.facts["fence"] >= highest:
                highest, since = line.facts["fence"], mark.at
            elif not record.nobody_remembers(bench, since, mark.at):
                complaints.append(f"{bench}: line {mark.token} of fence {line.facts['fence']} came after {highest}")
    return complaints


def no_device_held_by_two(record: Record) -> list[str]:
    """Sessions at a device do not overlap, the board was made safe between two, and one process at a time had it.

    A store that forgot an ending has it done again, under a later fence: `on_dispose` comes back then, nothing else.
    Only where the bench has another host since, a session goes on that was over.
    """
    lines = lines_of(record)
    complaints = [f"{bench}: open in processes {pids} at once" for _, bench, pids in record.openers]
    for bench, heard in record.heard.items():
        before, now, safe = dict[str, float](), "", False
        for mark in marks(heard):
            if mark.kind == "safe":
                safe = True
            elif mark.kind in "~!":
                line = lines.get(mark.token)
                session = line.session if line else ""
                if session in before and not _done_again(record, line, before[session], mark.at):
                    complaints.append(f"{bench}: session {session[:6]} came back after another one had begun")
                elif now and session != now and not safe:
                    complaints.append(f"{bench}: session {session[:6]} began before the board was safe")
                if session != now:
                    before[now], now = mark.at, session
                safe = False
    return complaints


def lines_of(record: Record) -> dict[str, Act]:
    """The lines that were announced, by their tokens."""
    return {act.facts["token"]: act for act in record.acts if act.what == "line"}


def _done_again(record: Record, line: Act | None, since: float, until: float) -> bool:
    """Is it a line of an ending that the store had forgotten, or of a session that nobody knows to be over?"""
    if line is None:
        return False
    again = line.facts["purpose"] == "dispose" and any(since <= moment <= until for moment in record.forgotten)
    return again or record.nobody_remembers(line.facts["bench"], since, until)


def every_session_ended_once(record: Record) -> list[str]:
    """Every session that started was disposed, and finished exactly once."""
    first = first_acts(record)
    disposed = {act.session for act in record.acts if act.what == "on_dispose"}
    complaints = []
    for session, at in first.items():
        wrong = _ending_complaint(record, session, session in disposed)
        if wrong and not record.forgot_after(at):
            complaints.append(f"session {session[:6]} {wrong}")
    return complaints


def _ending_complaint(record: Record, session: str, disposed: bool) -> str:
    kept = record.sessions.get(session)
    if kept is None or kept.state != "expired":
        return f"is {kept.state if kept else 'unknown'} at the end"
    if not disposed:
        return "was never disposed"
    counted = Counter(kept.states)
    if counted["expired"] != 1 or counted["ending"] != 1:
        return f"has the states {','.join(kept.states)}"
    return ""


def first_acts(record: Record) -> Mapping[str, float]:
    """When the lab's code first heard of each session."""
    first: dict[str, float] = {}
    for act in record.acts:
        if act.what == "on_start":
            first.setdefault(act.session, act.at)
    return first


def every_call_was_done_once(record: Record) -> list[str]:
    """A line came once where its call was done, not at all where it is said so, never twice."""
    came = {bench: list(marks(heard)) for bench, heard in record.heard.items()}
    heads = Counter(mark.token for each in came.values() for mark in each if mark.kind == "~")
    ends = Counter(mark.token for each in came.values() for mark in each if mark.kind == "!")
    ended = {act.facts["token"]: act for act in record.acts if act.what in ("line done", "line failed")}
    complaints = [f"line {token} came {count} times" for token, count in (heads | ends).items() if count > 1]
    for act in record.acts:
        if act.what == "line" and (end := ended.get(act.facts["token"])) is not None:
            token, bench = act.facts["token"], act.facts["bench"]
            if end.what == "line done" and not ends[token] and not _may_be_lost(record, came[bench], bench, act, end):
                complaints.append(f"{bench}: line {token} was done and never came")
            if end.what == "line failed" and heads[token] and _says_it_never_ran(end):
                complaints.append(f"{bench}: line {token} came, and its call said {end.facts['error']}")
    return complaints


def _says_it_never_ran(end: Act) -> bool:
    return end.facts["error"] in NEVER_RAN or "othing was done" in end.facts["message"]


def _may_be_lost(record: Record, came: Sequence[Mark], bench: str, act: Act, end: Act) -> bool:
    """A write is done when the kernel has the bytes. Whoever unplugs the board takes them away, and so does making safe
    where the board was too slow to read them."""
    faulty = any(f.target == bench and f.touches(act.at - 1.0, end.at + 3.0) for f in record.faults)
    later = [mark for mark in came if mark.at >= act.at]
    return faulty or not later or later[0].kind in ("cut", "safe")


def every_task_ran_once(record: Record) -> list[str]:
    """A task began once at most, and has an end in the store.

    A store that forgot that a task was claimed may give it to another process. The one that had it knows better.
    """
    begun = defaultdict[str, list[Act]](list)
    for act in record.acts:
        if act.what == "task":
            begun[act.facts["task"]].append(act)
    done = Counter(act.facts["task"] for act in record.acts if act.what == "task done")
    at: dict[str, float] = {}
    for act in record.acts:
        if act.what in ("submitted", "task"):
            at.setdefault(act.facts["task"], act.at)
    complaints = [
        f"task {task} began {len(acts)} times in {len({act.facts['pid'] for act in acts})} processes"
        for task, acts in begun.items()
        if len(acts) > (len({act.facts["pid"] for act in acts}) if record.forgot_after(acts[0].at) else 1)
    ]
    for task, status in record.tasks.items():
        if record.forgot_after(at.get(task, 0.0)):
            continue
        if status not in ("done", "failed"):
            complaints.append(f"task {task} is {status or 'unknown'} at the end")
        elif status == "done" and not done[task]:
            complaints.append(f"task {task} is told as done, and did not come to its end")
    return complaints


def the_rlms_could_act(record: Record) -> list[str]:
    """Each answer was JSON of a form that an RLMS knows; none was missing where no web process was disturbed."""
    complaints = []
    for asked in record.asked:
        if asked.status == 0:
            if not _web_was_down(record, asked):
                complaints.append(f"no answer to {asked.what} at {asked.web}: {asked.body}")
        elif not _known_form(asked):
            complaints.append(f"{asked.what} was answered with {asked.status} {asked.body!r:.200}")
    return complaints


def _web_was_down(record: Record, asked: Asked) -> bool:
    since = asked.sent - RESTART_SECONDS
    own = [fault for fault in record.faults if fault.target == asked.web and fault.kind.startswith("web-")]
    exits = [act for act in record.acts if act.what == "exit" and since <= act.at <= asked.answered]
    return bool(exits) or any(fault.touches(since, asked.answered) for fault in own)


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
    service; and nothing of the session came afterwards."""
    first, complaints = first_acts(record), []
    for asked in record.asked:
        if asked.what != "dispose" or not isinstance(asked.body, dict):
            continue
        message = asked.body.get("message")
        if message == "Not found" and asked.session in first and not record.forgot_after(first[asked.session]):
            complaints.append(f"session {asked.session[:6]} was not found")
        if message == "Deleted":
            complaints += _unsafe(record, asked)
    return complaints


def _unsafe(record: Record, asked: Asked) -> Iterator[str]:
    own = {token: line for token, line in lines_of(record).items() if line.session == asked.session}
    for bench, heard in record.heard.items():
        came = list(marks(heard))
        last = max(
            (
                index
                for index, mark in enumerate(came)
                if mark.token in own and not _never_finished(record, asked, own[mark.token], mark.at)
            ),
            default=None,
        )
        if last is None:
            continue
        if came[last].at > asked.answered:
            yield f"{bench}: a line of session {asked.session[:6]} came after it was finished"
        safe = any(mark.kind == "safe" and mark.at <= asked.answered for mark in came[last:])
        if not safe and not asked.out_of_service and not _out_of_service(record, bench, asked):
            yield f"{bench}: session {asked.session[:6]} was finished before the board was safe"


def _never_finished(record: Record, asked: Asked, line: Act, at: float) -> bool:
    """Is it a line of a session whose end was forgotten since? Where its bench was out of service then, only the store
    knew of that end."""
    only_the_store = asked.out_of_service and any(asked.answered <= moment <= at for moment in record.forgotten)
    return bool(only_the_store) or _done_again(record, line, asked.answered, at)


def _out_of_service(record: Record, bench: str, asked: Asked) -> str:
    """What the last look before the answer saw."""
    seen = [sample for sample in record.samples if sample.at <= asked.answered]
    return seen[-1].out_of_service.get(bench, "") if seen else ""


JUDGES: Sequence[Callable[[Record], list[str]]] = (
    no_earlier_fence_after_a_later_one,
    no_device_held_by_two,
    every_session_ended_once,
    every_call_was_done_once,
    every_task_ran_once,
    the_rlms_could_act,
    finished_means_safe,
)


def complaints_about(record: Record) -> dict[str, list[str]]:
    """What each judge says, by its name; those that have nothing to say are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for judge in JUDGES:
        if wrong := judge(record):
            found[judge.__name__] = wrong
    return dict(found)
