"""The judges of a chaos run that look at calls and tasks: each was done once, or is told as failed or lost.

Used by `judge.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.record import Act, Mark, Record

NEVER_RAN = {"CallExpiredError", "DeviceBusyError", "CommandError", "DeviceFaultyError"}
"""Errors of a call that say that it surely did not run."""
LONGEST_CALL = 20.0
"""Seconds after which a call has long come to an end, whatever was done to the lab: its limit is 3 s."""
UNREAD = 0.01
"""Part of the lines done that may be gone unread though nothing was done to their board (`_why_gone`), but for 3."""


def every_call_was_done_once(record: Record) -> list[str]:
    """A line came once where its call was done, not at all where it is said so, never twice; and each call had an end
    where its process lived on."""
    heads = Counter(mark.token for each in record.came.values() for mark in each if mark.kind == "~")
    ends = Counter(mark.token for each in record.came.values() for mark in each if mark.kind == "!")
    complaints = [f"line {token} came {count} times" for token, count in (heads | ends).items() if count > 1]
    ended = {act.facts["token"]: act for act in record.acts if act.what in ("line done", "line failed")}
    for token, line in record.lines.items():
        bench, end = line.facts["bench"], ended.get(token)
        if end is None:
            complaints += _without_end(record, line)
        elif end.what == "line failed" and heads[token] and _says_it_never_ran(end):
            complaints.append(f"{bench}: line {token} came, and its call said {end.facts['error']}")
    return complaints + _gone(record, ended, ends)


def _without_end(record: Record, line: Act) -> list[str]:
    """A call neither came back nor failed. It may where its process was killed; a page's process is this one."""
    token, pid, until = line.facts["token"], line.facts.get("pid"), line.at + LONGEST_CALL
    if record.stood_still(line.at, until):
        record.excuse("the machine stood still while a call went on")
        return []
    if line.facts["purpose"] == "page" or record.lived.get(int(pid or 0), 0.0) > until:
        return [f"{line.facts['bench']}: nobody was told what became of line {token}, and its process lived on"]
    record.excuse("the process of a call was gone before its answer")
    return []


def _says_it_never_ran(end: Act) -> bool:
    return end.facts["error"] in NEVER_RAN or "othing was done" in end.facts["message"]


def _gone(record: Record, ended: Mapping[str, Act], ends: Mapping[str, int]) -> list[str]:
    """Lines that were done and never came."""
    complaints, unread = [], list[str]()
    done = [line for token, line in record.lines.items() if token in ended and ended[token].what == "line done"]
    for line in done:
        token, bench = line.facts["token"], line.facts["bench"]
        if ends.get(token):
            continue
        text, why = f"{bench}: line {token} was done and never came", _why_gone(record, line, ended[token])
        if not why:
            complaints.append(text)
        elif why.startswith("unread"):
            unread.append(text)
        if why:
            record.excuse(why)
    return complaints + (unread if len(unread) > max(3, UNREAD * len(done)) else [])


def _why_gone(record: Record, line: Act, end: Act) -> str:
    """Why a line that was done may never have come; '' where there is no reason.

    A write is done when the kernel has the bytes: a pty keeps them until its other end reads. They are dropped by a
    board that is unplugged, and where a tty is made safe or closed that its board does not read: making safe gives it
    0.4 s and empties the queue. So the next that comes is no later line: it is the cut, or what made the board safe.
    A board that is well reads within those 0.4 s, unless it gets no processor: that is rare, and only so much of it
    passes.
    """
    came = record.came[line.facts["bench"]]
    following = next((mark for mark in came if mark.at >= line.at and _ends_it(record, mark, end)), None)
    if following is None or following.kind == "~":
        return ""
    faults = [fault for fault in record.faults if fault.target == line.facts["bench"]]
    if any(fault.touches(line.at - 0.5, following.at + 0.5) for fault in faults):
        return "a board that was unplugged or hung lost a line that was done"
    if record.stood_still(line.at, following.at + 0.5):
        return "a line that was done was lost while the machine stood still"
    return f"unread: a line that was done was lost by {'a closing' if following.kind == 'cut' else 'making safe'}"


def _ends_it(record: Record, mark: Mark, end: Act) -> bool:
    """Is it the first mark that tells what became of a line: a cut, a making safe, or a line begun when it was done?"""
    if mark.kind != "~":
        return mark.kind in ("cut", "safe")
    line = record.lines.get(mark.token)
    return line is not None and line.at > end.at


def every_task_ran_once(record: Record) -> list[str]:
    """A task began once at most, and has an end in the store.

    A store that forgot that a task was claimed may give it to another process. The one that had it knows better.
    """
    begun = defaultdict[str, list[Act]](list)
    for act in record.acts:
        if act.what == "task":
            begun[act.facts["task"]].append(act)
    complaints = [
        f"task {task} began {len(acts)} times in {len({act.facts['pid'] for act in acts})} processes"
        for task, acts in begun.items()
        if len(acts) > _most_beginnings(record, acts)
    ]
    return complaints + _tasks_without_end(record)


def _most_beginnings(record: Record, acts: Sequence[Act]) -> int:
    processes = len({act.facts["pid"] for act in acts})
    if processes > 1 and record.forgot_after(acts[0].at):
        record.excuse("a task was given to another process by a store that forgot its claim")
        return processes
    return 1


def _tasks_without_end(record: Record) -> list[str]:
    done = Counter(act.facts["task"] for act in record.acts if act.what == "task done")
    at: dict[Any, float] = {}
    for act in record.acts:
        if act.what in ("submitted", "task"):
            at.setdefault(act.facts["task"], act.at)
    complaints = []
    for task, status in record.tasks.items():
        if not status and record.forgot_after(at.get(task, 0.0)):
            record.excuse("the store forgot a task")
        elif status not in ("done", "failed"):
            complaints.append(f"task {task} is {status or 'unknown'} at the end")
        elif status == "done" and not done[task]:
            complaints.append(f"task {task} is told as done, and did not come to its end")
    return complaints
