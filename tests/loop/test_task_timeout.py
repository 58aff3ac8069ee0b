"""`@weblab.task(timeout=...)`: a task that takes longer is asked to stop, has failed, and holds nothing up."""

from __future__ import annotations

import threading

import pytest

from labkit.errors import SessionLostError
from labkit.tasks import current_task, current_task_stopping
from tests.tasks.own_store import lab as lab
from tests.tasks.task_lab import GUARD, TaskLab, code_of, wait_until

LONG = 3600.0


def test_task_over_its_timeout_is_asked_to_stop_and_has_failed(lab: TaskLab) -> None:
    @lab.tasks.task(timeout=0.1)
    def patient() -> str:
        wait_until(lambda: current_task_stopping)
        return "in order"

    with lab.runners(1), lab.request(lab.session()):
        task = patient.delay().join(GUARD)
    assert (code_of(task), task.result) == ("timeout", None)
    assert task.error is not None
    assert (task.error["class"], "timeout" in task.error["message"]) == ("TaskTimeoutError", True)


def test_task_that_ends_in_time_is_done(lab: TaskLab) -> None:
    @lab.tasks.task(timeout=LONG)
    def quick() -> bool:
        return bool(current_task_stopping)

    with lab.runners(1), lab.request(lab.session()):
        assert quick.delay().join(GUARD).result is False


def test_task_that_raises_in_time_keeps_its_own_error(lab: TaskLab) -> None:
    @lab.tasks.task(timeout=LONG)
    def raises() -> None:
        raise KeyError("x")

    with lab.runners(1), lab.request(lab.session()):
        assert code_of(raises.delay().join(GUARD)) == "exception"


def test_deaf_task_fails_while_it_still_runs_and_another_runner_takes_its_place(lab: TaskLab) -> None:
    gate, refused = threading.Event(), threading.Event()

    @lab.tasks.task(unique="global", timeout=0.1)
    def deaf() -> None:
        gate.wait(GUARD)
        try:
            current_task.store()
        except SessionLostError:
            refused.set()

    @lab.tasks.task()
    def next_one() -> str:
        return "ran"

    with lab.runners(1) as runners, lab.request(lab.session()):
        try:
            task = deaf.delay()
            wait_until(lambda: task.retrieve().failed, "the timeout")
            assert code_of(task) == "timeout"
            assert next_one.delay().join(GUARD).result == "ran"
            assert repr(runners) == "<TaskRunners 1 of 1 abandoned=1>"
            again = deaf.delay()  # its lock is free, too
            wait_until(lambda: again.retrieve().finished)
            assert code_of(again) == "timeout"
        finally:
            gate.set()
        assert refused.wait(GUARD), "what the task that was given up did still counted"
        wait_until(lambda: runners.abandoned == 0, "the end of the abandoned threads")
        assert code_of(task) == "timeout"


def test_runner_that_was_replaced_tells_the_end_of_what_it_claimed_at_that_moment(lab: TaskLab) -> None:
    @lab.tasks.task()
    def quick() -> str:
        return "done"

    stopping = threading.Event()
    work = lab.tasks.work(stopping)
    with lab.request(lab.session()):
        task = quick.delay()
    assert work.step() == "ran"
    assert work.give_up() is False  # nothing runs here any more
    work.finish()
    assert task.retrieve().result == "done"


def test_task_that_runs_in_the_caller_has_its_timeout_too(lab: TaskLab) -> None:
    @lab.tasks.task(timeout=0.05)
    def patient() -> None:
        wait_until(lambda: current_task_stopping)

    with lab.request(lab.session()):
        task = patient.delay()
    assert lab.tasks.run_pending() == 1
    assert code_of(task) == "timeout"


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "30", True])
def test_timeout_is_a_number_of_seconds(lab: TaskLab, timeout: object) -> None:
    with pytest.raises(ValueError, match="it must be seconds, a number above 0"):
        lab.tasks.task(timeout=timeout)  # type: ignore[arg-type]
