"""What the judges let pass, and how little: each excuse beside what looks like it and is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.chaos import judge
from tests.chaos.made_up import (
    ADA,
    BENCH,
    BOB,
    DELETED,
    T1,
    T4,
    Case,
    act,
    asked,
    changed,
    good,
    got,
    line,
    only_the_last_safe,
    whole,
    with_acts,
    with_asked,
)  # fmt: skip
from tests.chaos.record import STORE_CLOCK, Act, Fault, Heard, Kept, Record, Sample

RELEASED = f"{BENCH}/console is being released"
CLOCK = [Fault(kind=STORE_CLOCK, target="store", began=4.0, over=5.0)]
SAFE = got(9.0, b"\x03halt\r")


def released(at: float, seen: float, **more: Any) -> Record:
    """Ada was told as over though nobody made her board safe; her devices are still being released, as a look saw."""
    return changed(
        heard={BENCH: only_the_last_safe()[:2]},
        asked=[asked(at, "dispose", 200, DELETED, ADA, **more)],
        samples=[Sample(at=seen, out_of_service={BENCH: RELEASED})],
    )


def without_safe(*more: Any) -> dict[str, Any]:
    return {"heard": {BENCH: only_the_last_safe()}, "asked": [*more]}


def late_line(purpose: str, at: float, **more: Any) -> Record:
    """A status says at 2.4 that Ada's session is over, and a line of hers that was begun later comes."""
    record = with_acts(line(at, T4, ADA, 10, purpose), act(at + 0.1, "line done", token=T4))
    heard = sorted([*good().heard[BENCH], got(at + 0.05, whole(T4))], key=lambda one: one.at)
    told = [asked(2.4, "status", 200, {"should_finish": -1}, ADA)]
    return dataclasses.replace(record, heard={BENCH: heard}, asked=told, **more)


def ended_again(purpose: str = "dispose", **more: Any) -> Record:
    """Ada's ending is done once more in the middle of Bob's session."""
    record = with_acts(line(6.2, T4, ADA, 14, purpose), act(6.4, "line done", token=T4))
    heard = sorted([*good().heard[BENCH], got(6.3, whole(T4))], key=lambda one: one.at)
    return dataclasses.replace(record, heard={BENCH: heard}, **more)


def told_by_status(noted: bool, **more: Any) -> Record:
    """A dispose was answered `Deleting`, then a status says that the session is over; nobody made its board safe."""
    deleting = asked(3.2, "dispose", 200, {"message": "Deleting"}, ADA, noted=noted)
    status = asked(3.9, "status", 200, {"should_finish": -1}, ADA)
    return changed(heard={BENCH: only_the_last_safe()}, asked=[deleting, status], **more)


def unread(count: int, *after: Heard, **more: Any) -> Record:
    """So many lines of Ada were done, and never came: something else did."""
    tokens = [f"{number:012x}" for number in range(count)]
    acts: list[Act] = []
    for token in tokens:
        acts += [line(2.3, token, ADA, 10), act(2.35, "line done", token=token)]
    record = with_acts(*acts)
    heard = sorted([*record.heard[BENCH], *after], key=lambda one: one.at)
    return dataclasses.replace(record, heard={BENCH: heard}, **more)


def half_disposed(times: int = 1, claims: int = 1, **more: Any) -> Record:
    """Ada's `on_dispose` began, and its process died each time."""
    begun = [act(3.0 + number / 10, "on_dispose", session=ADA, pid=7 + number) for number in range(times)]
    acts = [one for one in good().acts if not (one.what.startswith("on_dispose") and one.session == ADA)]
    kept = Kept(state="expired", states=["starting", "active", "ending", "expired"], claims=claims)
    sessions = {ADA: kept, BOB: kept}
    return changed(acts=sorted([*acts, *begun], key=lambda one: one.at), sessions=sessions, **more)


def same_fence(**more: Any) -> Record:
    """Bob was given Ada's fence."""
    return dataclasses.replace(with_acts(line(6.2, T4, BOB, 10), act(6.3, "line failed", **lost(T4))), **more)


def lost(token: str) -> dict[str, str]:
    return {"token": token, "error": "CallLostError", "message": ""}


def nobody_answered(purpose: str, pid: int) -> Record:
    """A call of Ada's neither came back nor failed."""
    added = act(2.3, "line", token=T4, session=ADA, fence=10, bench=BENCH, purpose=purpose, pid=pid)
    return dataclasses.replace(with_acts(added), lived={1: 30.0, 2: 4.0})


UNREAD = Heard(at=2.6, event="hangup")
KILLED = [Fault(kind="web-kill", target="web-1", began=1.0, over=1.0)]
UNPLUGGED = [Fault(kind="device-unplug", target=BENCH, began=2.5, over=4.0)]
REFUSED = asked(9.0, "start", 0, "refused")

BAD: Sequence[Case] = (
    ("came back after another one", judge.no_device_held_by_two, ended_again()),
    ("came back after another one", judge.no_device_held_by_two, ended_again(forgotten=[2.0])),
    ("came back after another one", judge.no_device_held_by_two, ended_again("view", forgotten=[6.1])),
    ("before the board was safe", judge.finished_means_safe, released(4.5, 4.4)),
    ("before the board was safe", judge.finished_means_safe, released(8.9, 8.8)),
    ("before the board was safe", judge.finished_means_safe, released(9.5, 7.9)),
    ("before the board was safe", judge.finished_means_safe, released(8.9, 0.0, out_of_service=RELEASED)),
    (
        "before the board was safe",
        judge.finished_means_safe,
        changed(
            **without_safe(asked(4.5, "dispose", 200, DELETED, ADA)),
            samples=[Sample(at=3.2, out_of_service={BENCH: "no host"})],
        ),
    ),
    ("before the board was safe", judge.finished_means_safe, told_by_status(True)),
    ("before the board was safe", judge.finished_means_safe, told_by_status(True, forgotten=[3.0])),
    ("nothing made it safe", judge.every_board_ended_safe, changed(heard={BENCH: good().heard[BENCH][:-1]})),
    (
        "nothing made it safe",
        judge.every_board_ended_safe,
        changed(heard={BENCH: [*good().heard[BENCH], got(9.0, whole(T1)[:15]), Heard(at=9.1, event="hangup")]}),
    ),
    ("was given to sessions", judge.no_fence_was_given_twice, same_fence()),
    ("was given to sessions", judge.no_fence_was_given_twice, same_fence(forgotten=[4.5])),
    ("was given to sessions", judge.no_fence_was_given_twice, same_fence(forgotten=[1.5], faults=CLOCK)),
    (
        "was given to sessions",
        judge.no_fence_was_given_twice,
        with_acts(act(5.9, "on_start", session=BOB, fences={BENCH: 11}), without=["on_start"]),
    ),
    ("disposed only in part", judge.every_session_ended_once, half_disposed()),
    ("disposed only in part", judge.every_session_ended_once, half_disposed(times=2, lived={7: 5.9, 8: 5.9})),
    ("disposed only in part", judge.every_session_ended_once, half_disposed(times=4, claims=4)),
    (
        "is active at the end",
        judge.every_session_ended_once,
        changed(sessions={ADA: Kept(state="active")}, forgotten=[9.0]),
    ),
    ("is running at the end", judge.every_task_ran_once, changed(tasks={"t1": "running"}, forgotten=[9.0])),
    ("nobody was told", judge.every_call_was_done_once, nobody_answered("view", 1)),
    ("nobody was told", judge.every_call_was_done_once, nobody_answered("page", 0)),
    ("was done and never came", judge.every_call_was_done_once, unread(1)),
    ("was done and never came", judge.every_call_was_done_once, unread(4, UNREAD)),
    (
        "was done and never came",
        judge.every_call_was_done_once,
        unread(4, UNREAD, faults=[Fault(kind="device-unplug", target="bench-2", began=2.0, over=4.0)]),
    ),
    ("was done and never came", judge.every_call_was_done_once, unread(4, UNREAD, stills=[(3.5, 3.9)])),
    ("no answer to start", judge.the_rlms_could_act, with_asked(REFUSED, faults=KILLED)),
    ("no answer to start", judge.the_rlms_could_act, with_asked(REFUSED, downs={"web-1": [(1.0, 2.0)]})),
    ("no answer to start", judge.the_rlms_could_act, with_asked(REFUSED, downs={"web-2": [(8.0, 9.5)]})),
    (
        "no answer to start",
        judge.the_rlms_could_act,
        dataclasses.replace(with_acts(act(8.5, "exit", part="web-2")), asked=[REFUSED]),
    ),
    ("a view of session", judge.out_means_out, late_line("view", 2.45)),
    ("a page of session", judge.out_means_out, late_line("page", 2.45)),
    ("a task of session", judge.out_means_out, late_line("task", 5.5)),
    ("a view of session", judge.out_means_out, late_line("view", 3.0, forgotten=[3.5])),
    ("a view of session", judge.out_means_out, late_line("view", 3.0, faults=CLOCK)),
)


@pytest.mark.parametrize(("text", "found_by", "record"), BAD)
def test_what_looks_like_an_excuse_is_none(text: str, found_by: Callable[[Record], list[str]], record: Record) -> None:
    assert any(text in complaint for complaint in found_by(record)), found_by(record)
    assert found_by.__name__ in judge.complaints_about(record)


EXCUSED: Sequence[Case] = (
    ("was done again", judge.no_device_held_by_two, ended_again(forgotten=[6.1])),
    ("could not be made safe in time", judge.finished_means_safe, released(9.5, 9.4)),
    ("could not be made safe in time", judge.finished_means_safe, released(9.5, 0.0, out_of_service=RELEASED)),
    (
        "bench was out of service",
        judge.finished_means_safe,
        changed(
            **without_safe(asked(4.5, "dispose", 200, DELETED, ADA)),
            samples=[Sample(at=1.0, until=4.3, out_of_service={BENCH: "no host"})],
        ),
    ),
    (
        "bench was out of service",
        judge.finished_means_safe,
        told_by_status(True, samples=[Sample(at=3.8, out_of_service={BENCH: "no host"})]),
    ),
    ("", judge.finished_means_safe, told_by_status(False)),
    ("", judge.finished_means_safe, told_by_status(True, forgotten=[3.5])),
    ("and whose clock was behind", judge.no_fence_was_given_twice, same_fence(forgotten=[4.5], faults=CLOCK)),
    ("", judge.every_session_ended_once, half_disposed(lived={7: 6.1})),
    ("after so many claims", judge.every_session_ended_once, half_disposed(times=5)),
    ("after so many claims", judge.every_session_ended_once, half_disposed(times=2, claims=6)),
    ("", judge.every_session_ended_once, half_disposed(times=2, lived={7: 3.2, 8: 6.2})),
    ("the process of a call was gone", judge.every_call_was_done_once, nobody_answered("view", 2)),
    ("lost by a closing", judge.every_call_was_done_once, unread(3, UNREAD)),
    ("lost by making safe", judge.every_call_was_done_once, unread(1, got(2.7, b"\x03halt\r"))),
    ("unplugged or hung", judge.every_call_was_done_once, unread(9, UNREAD, faults=UNPLUGGED)),
    ("stood still", judge.every_call_was_done_once, unread(9, UNREAD, stills=[(2.0, 2.4)])),
    ("down or stopped", judge.the_rlms_could_act, with_asked(REFUSED, downs={"web-1": [(8.5, 8.95)]})),
    ("forgot it", judge.out_means_out, late_line("view", 2.45, forgotten=[1.0])),
    ("clock that was wrong", judge.out_means_out, late_line("view", 5.0, faults=CLOCK)),
    ("went on for a moment", judge.out_means_out, late_line("task", 3.5)),
    ("", judge.out_means_out, late_line("dispose", 3.5)),
)


@pytest.mark.parametrize(("why", "found_by", "record"), EXCUSED)
def test_an_excuse_is_counted(why: str, found_by: Callable[[Record], list[str]], record: Record) -> None:
    assert found_by(record) == []
    assert not why or any(why in excuse for excuse in record.excused), record.excused


def test_a_good_record_needs_no_excuse() -> None:
    record = good()
    assert judge.complaints_about(record) == {}
    assert not record.excused
