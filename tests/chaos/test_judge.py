"""Each judge of the chaos runs accepts a good record, and finds what is wrong in one that was made up to be wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from tests.chaos import judge
from tests.chaos.made_up import (
    ADA,
    BENCH,
    BOB,
    DELETED,
    T1,
    T2,
    T3,
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
    with_heard,
)  # fmt: skip
from tests.chaos.record import Fault, Heard, Kept, Record, Sample, marks


def test_a_good_record_has_no_complaint() -> None:
    assert judge.complaints_about(good()) == {}


def test_a_record_reads_a_line_that_came_in_pieces_as_one() -> None:
    kinds = [(mark.kind, mark.token) for mark in marks(good().heard[BENCH])]
    assert kinds == [
        ("safe", ""), ("~", T1), ("!", T1), ("~", T2), ("!", T2), ("safe", ""), ("~", T3), ("!", T3), ("safe", ""),
    ]  # fmt: skip


def ended_again(purpose: str, *forgotten: float) -> Record:
    """Ada's ending comes back while Bob has the bench."""
    record = with_acts(line(6.8, T4, ADA, 13, purpose))
    heard = [*record.heard[BENCH], got(7.1, whole(T4) + b"halt\r")]
    return dataclasses.replace(record, heard={BENCH: heard}, forgotten=forgotten)


def shown_again(*moves: tuple[float, str]) -> Record:
    """The store has forgotten Ada's end, and her page clicks while Bob has the bench."""
    return dataclasses.replace(ended_again("view", 6.5), moves=moves)


CAME_BACK = (
    ("came back after another", ended_again("dispose")),
    ("came back after another", ended_again("dispose", 2.0, 8.0)),
    ("came back after another", ended_again("view", 6.5)),
    ("came back after another", shown_again((6.5, "bench-2"), (2.0, BENCH))),
)

BAD: Sequence[Case] = (
    (
        "came after 12",
        judge.no_earlier_fence_after_a_later_one,
        with_heard(*good().heard[BENCH], got(6.1, b"!" + T2.encode())),
    ),
    (
        "of fence 10 came after 12",
        judge.no_earlier_fence_after_a_later_one,
        dataclasses.replace(
            with_heard(*good().heard[BENCH], got(7.1, b"!" + T1.encode())), forgotten=[6.5], moves=[(5.0, BENCH)]
        ),
    ),
    ("nobody has announced", judge.no_earlier_fence_after_a_later_one, with_heard(got(1.0, whole("d" * 12)))),
    (
        "was for bench-2",
        judge.no_earlier_fence_after_a_later_one,
        with_acts(act(1.9, "line", token=T1, session=ADA, fence=10, bench="bench-2", purpose="view"), without=["line"]),
    ),
    (
        "came back after another",
        judge.no_device_held_by_two,
        with_heard(got(1.0, whole(T1) + b"halt\r" + whole(T3) + b"halt\r" + whole(T2))),
    ),
    ("began before the board was safe", judge.no_device_held_by_two, with_heard(*only_the_last_safe())),
    ("open in processes", judge.no_device_held_by_two, changed(openers=[(3.0, BENCH, [1, 2])])),
    (
        "was never disposed",
        judge.every_session_ended_once,
        with_acts(act(3.0, "on_dispose", session=ADA), without=["on_dispose"]),
    ),
    ("is active at the end", judge.every_session_ended_once, changed(sessions={ADA: Kept(state="active")})),
    ("is unknown at the end", judge.every_session_ended_once, changed(sessions={}, forgotten=[1.0])),
    (
        "has the states ending,expired,expired",
        judge.every_session_ended_once,
        changed(sessions=dict.fromkeys([ADA, BOB], Kept(state="expired", states=["ending", "expired", "expired"]))),
    ),
    (
        "came 2 times",
        judge.every_call_was_done_once,
        with_heard(got(2.1, whole(T1) + whole(T1)), got(3.1, whole(T2)), got(6.0, whole(T3))),
    ),
    (
        "was done and never came",
        judge.every_call_was_done_once,
        with_heard(got(2.1, whole(T2)), got(6.0, whole(T3) + b"halt\r")),
    ),
    (
        "its call said CallExpiredError",
        judge.every_call_was_done_once,
        with_acts(act(2.2, "line failed", token=T1, error="CallExpiredError", message=""), without=["line done"]),
    ),
    (
        "its call said ReservationLostError",
        judge.every_call_was_done_once,
        with_acts(
            act(2.2, "line failed", token=T1, error="ReservationLostError", message="It is over. Nothing was done."),
            without=["line done"],
        ),
    ),
    ("began 2 times", judge.every_task_ran_once, with_acts(act(2.7, "task", task="t1", session=ADA, pid=2))),
    (
        "began 2 times in 1",
        judge.every_task_ran_once,
        dataclasses.replace(with_acts(act(2.7, "task", task="t1", session=ADA, pid=1)), forgotten=[2.6]),
    ),
    ("is running at the end", judge.every_task_ran_once, changed(tasks={"t1": "running"})),
    ("did not come to its end", judge.every_task_ran_once, with_acts(without=["task done"])),
    ("no answer to start", judge.the_rlms_could_act, with_asked(asked(2.0, "start", 0, "refused"))),
    (
        "no answer to start",
        judge.the_rlms_could_act,
        with_asked(
            asked(2.0, "start", 0, "refused"),
            faults=[
                Fault(kind="web-kill", target="web-2", began=1.0, over=1.0),
                Fault(kind="net-cut", target="web-1", began=1.0, over=1.0),
                Fault(kind="web-kill", target="web-1", began=3.0, over=3.0),
            ],
        ),
    ),
    ("start was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "start", 500, "<html>"))),
    ("start was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "start", 200, {"url": "x"}))),
    ("start was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "start", 503, {"message": "full"}))),
    ("status was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "status", 503, {"should_finish": 2}))),
    ("status was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "status", 200, {"message": "hm"}))),
    ("dispose was answered", judge.the_rlms_could_act, with_asked(asked(2.0, "dispose", 503, {"error": True}))),
    ("was not found", judge.finished_means_safe, with_asked(asked(4.6, "dispose", 200, {"message": "Not found"}, ADA))),
    (
        "came after it was finished",
        judge.finished_means_safe,
        with_asked(asked(3.1, "dispose", 200, DELETED, ADA)),
    ),
    (
        "came after it was finished",
        judge.finished_means_safe,
        changed(
            asked=[asked(2.15, "dispose", 200, DELETED, ADA, out_of_service="no host")],
            heard={BENCH: [*good().heard[BENCH], got(8.0, whole(T1))]},
            forgotten=[2.1],
        ),
    ),
    ("finished before the board was safe", judge.finished_means_safe, with_heard(*only_the_last_safe())),
    *((text, judge.no_device_held_by_two, record) for text, record in CAME_BACK),
    *(("came after it was finished", judge.finished_means_safe, record) for _, record in CAME_BACK),
)


@pytest.mark.parametrize(("text", "found_by", "record"), BAD)
def test_a_judge_finds_what_is_wrong(text: str, found_by: Callable[[Record], list[str]], record: Record) -> None:
    assert any(text in complaint for complaint in found_by(record)), found_by(record)
    assert found_by.__name__ in judge.complaints_about(record)


EXCUSED: Sequence[tuple[Callable[[Record], list[str]], Record]] = (
    (judge.every_session_ended_once, changed(sessions={}, forgotten=[9.0])),
    (judge.every_task_ran_once, changed(tasks={"t1": ""}, forgotten=[9.0])),
    (
        judge.every_task_ran_once,
        dataclasses.replace(with_acts(act(2.7, "task", task="t1", session=ADA, pid=2)), forgotten=[2.6]),
    ),
    (
        judge.finished_means_safe,
        with_asked(asked(4.6, "dispose", 200, {"message": "Not found"}, ADA), forgotten=[4.0]),
    ),
    (
        judge.finished_means_safe,
        changed(
            heard={BENCH: only_the_last_safe()},
            samples=[Sample(at=4.4, out_of_service={BENCH: "no host"})],
        ),
    ),
    (
        judge.finished_means_safe,
        changed(
            heard={BENCH: only_the_last_safe()},
            asked=[asked(4.5, "dispose", 200, DELETED, ADA, out_of_service="bench-1/console offline: unplugged")],
        ),
    ),
    (
        judge.the_rlms_could_act,
        with_asked(
            asked(4.8, "start", 0, "refused"), faults=[Fault(kind="web-kill", target="web-1", began=3.0, over=3.0)]
        ),
    ),
    (judge.no_device_held_by_two, ended_again("dispose", 6.5)),
    (judge.no_device_held_by_two, shown_again((6.6, BENCH))),
    (judge.finished_means_safe, shown_again((6.6, BENCH))),
    (
        judge.finished_means_safe,
        changed(
            asked=[asked(2.15, "dispose", 200, DELETED, ADA, out_of_service="no host")],
            heard={BENCH: [*good().heard[BENCH], got(8.0, whole(T1))]},
            forgotten=[2.5],
        ),
    ),
    (
        judge.no_earlier_fence_after_a_later_one,
        dataclasses.replace(
            with_heard(*good().heard[BENCH], got(7.1, b"!" + T1.encode())), forgotten=[6.5], moves=[(6.6, BENCH)]
        ),
    ),
    (judge.finished_means_safe, ended_again("dispose", 6.5)),
    (
        judge.the_rlms_could_act,
        changed(acts=[act(1.0, "exit", part="web-1")], asked=[asked(9.0, "start", 0, "refused")]),
    ),
    (judge.the_rlms_could_act, changed(downs={"web-1": [(1.0, 2.0)]}, asked=[asked(9.0, "start", 0, "refused")])),
    (
        judge.every_call_was_done_once,
        changed(
            heard={BENCH: [Heard(at=2.3, event="unplug"), got(3.1, whole(T2)), got(6.0, whole(T3))]},
            faults=[Fault(kind="device-unplug", target=BENCH, began=2.0, over=4.0)],
        ),
    ),
)


@pytest.mark.parametrize(("found_by", "record"), EXCUSED)
def test_a_judge_knows_what_labkit_does_not_promise(found_by: Callable[[Record], list[str]], record: Record) -> None:
    assert found_by(record) == []
