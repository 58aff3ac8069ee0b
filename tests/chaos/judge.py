"""The judges of a chaos run: each reads the record and returns what is wrong with it, a sentence for each complaint.

What docs/architecture.md and docs/safety.md promise, and no more. A store that forgot something (it was started without
its file, or with an old one) may have forgotten sessions and tasks of before: those have no ending and no state that
could be judged. What came to the boards is judged all the same. What a judge lets pass it counts (`Record.excused`).

Here are those of benches and sessions; those of calls and tasks are in `judge_calls.py`, those of what the RLMS has
heard in `judge_answers.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from labkit.sessions import MOST_CLAIMS
from tests.chaos.judge_answers import finished_means_safe, out_means_out, the_rlms_could_act
from tests.chaos.judge_calls import every_call_was_done_once, every_task_ran_once
from tests.chaos.record import DISPOSE_TIMEOUT, Act, Record

__all__ = [
    "JUDGES", "complaints_about", "every_board_ended_safe", "every_call_was_done_once", "every_session_ended_once",
    "every_task_ran_once", "finished_means_safe", "no_device_held_by_two", "no_earlier_fence_after_a_later_one",
    "no_fence_was_given_twice", "out_means_out", "the_rlms_could_act",
]  # fmt: skip

CLOCK_SECONDS = 60.0
"""How long after a jump of its clock a store may still be behind the fences that it has given: a jump is 30 s."""


def no_earlier_fence_after_a_later_one(record: Record) -> list[str]:
    """At each device, nothing under an earlier fence came after the first byte under a later one."""
    lines = record.lines
    complaints = []
    for bench, came in record.came.items():
        highest, since = 0, 0.0
        for mark in came:
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

    A store that forgot an ending has it done again, under a later fence: `on_dispose` comes back then, nothing else. It
    finds the board as a session left it that the store forgot with it, and the board is made safe after it.
    Only where the bench has another host since, a session goes on that was over.
    """
    lines = record.lines
    complaints = [f"{bench}: open in processes {pids} at once" for _, bench, pids in record.openers]
    for bench, came in record.came.items():
        before, now, safe = dict[str, float](), "", False
        for mark in came:
            if mark.kind == "safe":
                safe = True
            elif mark.kind in "~!":
                line = lines.get(mark.token)
                session = line.session if line else ""
                again = session in before
                if again and not record.done_again(line, before[session], mark.at):
                    complaints.append(f"{bench}: session {session[:6]} came back after another one had begun")
                elif (
                    now and session != now and not safe and not (again and line and line.facts["purpose"] == "dispose")
                ):
                    complaints.append(f"{bench}: session {session[:6]} began before the board was safe")
                if session != now:
                    before[now], now = mark.at, session
                safe = False
    return complaints


def every_board_ended_safe(record: Record) -> list[str]:
    """The last that each board heard made it safe. When this is asked all benches are well: `wait_until_idle`."""
    complaints = []
    for bench, came in record.came.items():
        said = [mark for mark in came if mark.kind != "cut"]
        if said and said[-1].kind != "safe":
            complaints.append(f"{bench}: the last that came was line {said[-1].token}, and nothing made it safe")
    return complaints


def no_fence_was_given_twice(record: Record) -> list[str]:
    """A fence is of one session. Only a store that forgot what it gave, while its clock is behind, gives one again."""
    owners, complaints = dict[int, tuple[str, float]](), []
    for act, fence in _fences(record):
        session, at = owners.setdefault(fence, (act.session, act.at))
        if session != act.session and not _gave_again(record, at, act.at):
            complaints.append(f"fence {fence} was given to sessions {session[:6]} and {act.session[:6]}")
    return sorted(set(complaints))


def _fences(record: Record) -> Iterator[tuple[Act, int]]:
    for act in record.acts:
        if act.what == "line":
            yield act, act.facts["fence"]
        elif act.what in ("on_start", "on_dispose"):
            for fence in act.facts.get("fences", {}).values():
                yield act, fence


def _gave_again(record: Record, since: float, until: float) -> bool:
    lost = [moment for moment in record.forgotten if since <= moment <= until]
    behind = any(record.store_clock_was_wrong(moment - CLOCK_SECONDS, moment) for moment in lost)
    return behind and record.excuse("a fence was given again by a store that forgot it and whose clock was behind")


def every_session_ended_once(record: Record) -> list[str]:
    """Every session that started was disposed, and finished exactly once."""
    complaints = []
    for session, at in record.first_acts.items():
        if not record.knows(session) and record.forgot_after(at):
            record.excuse("the store forgot a session")
        elif wrong := _ending_complaint(record, session):
            complaints.append(f"session {session[:6]} {wrong}")
    return complaints


def _ending_complaint(record: Record, session: str) -> str:
    kept = record.sessions.get(session)
    if kept is None or kept.state != "expired":
        return f"is {kept.state if kept else 'unknown'} at the end"
    begun = [act for act in record.acts_of[session] if act.what == "on_dispose"]
    if not begun:
        return "was never disposed"
    if not any(_came_to_its_end(record, act) for act in begun):
        if max(kept.claims, len(begun)) < MOST_CLAIMS:
            return f"was disposed only in part: {len(begun)} times begun, and its process died each time"
        record.excuse("on_dispose was left out after so many claims")
    counted = Counter(kept.states)
    if counted["expired"] != 1 or counted["ending"] != 1:
        return f"has the states {','.join(kept.states)}"
    return ""


def _came_to_its_end(record: Record, begun: Act) -> bool:
    """Did this `on_dispose` return or raise, or was it left behind by a process that went on without it?"""
    pid, ends = begun.facts.get("pid"), ("on_dispose done", "on_dispose raised")
    if any(act.what in ends and act.facts.get("pid") == pid for act in record.acts_of[begun.session]):
        return True
    return record.lived.get(int(pid or 0), 0.0) >= begun.at + DISPOSE_TIMEOUT


JUDGES: Sequence[Callable[[Record], list[str]]] = (
    no_earlier_fence_after_a_later_one,
    no_device_held_by_two,
    every_board_ended_safe,
    no_fence_was_given_twice,
    every_session_ended_once,
    every_call_was_done_once,
    every_task_ran_once,
    the_rlms_could_act,
    finished_means_safe,
    out_means_out,
)


def complaints_about(record: Record) -> dict[str, list[str]]:
    """What each judge says, by its name; those that have nothing to say are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for judge in JUDGES:
        if wrong := judge(record):
            found[judge.__name__] = wrong
    return dict(found)
