"""Finding the tasks of a session: by id, name and function, all or those that have not ended; joining all of a name."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labkit import WebLabTask, current_task_stopping
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until


class Two:
    """Two functions of a lab in which nothing runs by itself, and the tasks of one session, in this order.

    ended: `blink`, done. first, second: `blink`, submitted. other: `turn`, submitted.
    """

    def __init__(self, lab: ActingLab):
        self.lab, self.weblab = lab, lab.weblab

        @lab.weblab.task()
        def blink() -> str:
            return "blinked"

        @lab.weblab.task(unique="user")
        def turn() -> str:
            return "turned"

        self.blink, self.turn = blink, turn
        self.session_id = lab.start()
        self.ended = self.here(blink.delay)
        lab.weblab.run_tasks()
        self.first, self.second, self.other = self.here(lambda: [blink.delay(), blink.delay(), turn.delay()])

    def here(self, act: Any) -> Any:
        """What something gives in a view of the session's user."""
        return self.lab.inside(self.session_id, act)


@pytest.fixture
def two(still: ActingLab) -> Two:
    return Two(still)


# -- get_task


@keeps("WebLab.get_task", "finds a task by its id")
def test_task_is_found_by_its_id(two: Two) -> None:
    for task in (two.ended, two.first, two.other):
        found = two.here(lambda task=task: two.weblab.get_task(task.task_id))
        assert isinstance(found, WebLabTask)
        assert found.task_id == task.task_id
    assert two.here(lambda: two.weblab.get_task("x" * 43)) is None


@keeps("WebLab.get_task", "finds a task by its function's name")
def test_task_is_found_by_the_name_of_its_function(two: Two) -> None:
    assert two.here(lambda: two.weblab.get_task("turn")) == two.other
    assert two.here(lambda: two.weblab.get_task("blink")) == two.second  # the newest
    assert two.here(lambda: two.weblab.get_task("unknown")) is None


@keeps("WebLab.get_task", "finds a task by its function")
def test_task_is_found_by_its_function(two: Two) -> None:
    assert two.here(lambda: two.weblab.get_task(two.turn)) == two.other
    assert two.here(lambda: two.weblab.get_task(two.blink)) == two.second


@keeps("WebLab.get_task", "finds only the current user's")
def test_nobody_finds_the_task_of_another(two: Two) -> None:
    stranger = two.lab.start(server={"request.username": "grace"})
    for identifier in (two.first.task_id, "blink", two.blink):
        assert two.lab.inside(stranger, lambda one=identifier: two.weblab.get_task(one)) is None
        assert two.weblab.get_task(identifier) is None
    assert two.lab.inside(stranger, lambda: two.weblab.tasks) == []


# -- lists


@keeps("WebLab.tasks", "has all tasks of the session, ended or not")
def test_tasks_are_all_of_the_session(two: Two) -> None:
    assert two.here(lambda: two.weblab.tasks) == [two.ended, two.first, two.second, two.other]


@keeps("WebLab.running_tasks", "has those that have not ended")
def test_running_tasks_have_not_ended(two: Two) -> None:
    assert two.here(lambda: two.weblab.running_tasks) == [two.first, two.second, two.other]
    two.weblab.run_tasks()
    assert two.here(lambda: two.weblab.running_tasks) == []


@keeps("WebLab.running_tasks", "has those that have not ended")
@keeps("WebLab.get_running_task", "gives one of a name that has not ended")
def test_task_that_runs_is_a_running_one(lab: ActingLab) -> None:
    gate = threading.Event()

    @lab.weblab.task()
    def wait() -> bool:
        return gate.wait(GUARD)

    session_id = lab.start()
    task = lab.inside(session_id, wait.delay)
    wait_until(lambda: task.retrieve().running, "the task")
    assert lab.inside(session_id, lambda: lab.weblab.running_tasks) == [task]
    assert lab.inside(session_id, lambda: lab.weblab.get_running_task("wait")).running
    gate.set()
    task.join(GUARD)


@keeps("WebLab.get_running_tasks", "gives those of a name that have not ended", "takes the function too")
def test_running_tasks_of_a_name(two: Two) -> None:
    for wanted in ("blink", two.blink):
        assert two.here(lambda wanted=wanted: two.weblab.get_running_tasks(wanted)) == [two.first, two.second]
    two.weblab.run_tasks()
    assert two.here(lambda: two.weblab.get_running_tasks("blink")) == []


@keeps("WebLab.get_running_task", "gives one of a name that has not ended", "takes the function too")
def test_one_running_task_of_a_name(two: Two) -> None:
    for wanted in ("blink", two.blink):
        assert two.here(lambda wanted=wanted: two.weblab.get_running_task(wanted)) in (two.first, two.second)
    two.weblab.run_tasks()
    assert two.here(lambda: two.weblab.get_running_task("blink")) is None


@keeps("WebLab.get_running_task", "finds the only one of a unique task")
def test_running_unique_task_is_found_and_its_losers_are_not(two: Two) -> None:
    assert two.here(two.turn.delay).failed
    assert two.here(lambda: two.weblab.get_running_task("turn")) == two.other
    assert two.here(lambda: two.weblab.get_running_task(two.turn)) == two.other


@keeps("WebLab.get_tasks", "gives those of a name, ended or not", "takes the function too")
def test_all_tasks_of_a_name(two: Two) -> None:
    for wanted in ("blink", two.blink):
        assert two.here(lambda wanted=wanted: two.weblab.get_tasks(wanted)) == [two.ended, two.first, two.second]
    assert two.here(lambda: two.weblab.get_tasks("unknown")) == []


# -- join_tasks


class Stoppable:
    """A task of a lab with threads, `drive`, which runs until it is let go or asked to stop; and two of them."""

    def __init__(self, lab: ActingLab):
        self.lab, self.go = lab, threading.Event()

        @lab.weblab.task()
        def drive() -> str:
            wait_until(lambda: self.go.is_set() or current_task_stopping, "the end of the drive")
            return "stopped" if current_task_stopping else "went"

        self.drive = drive
        self.session_id = lab.start()
        self.tasks: list[WebLabTask] = lab.inside(self.session_id, lambda: [drive.delay(), drive.delay()])

    def join(self, *wanted: Any, **options: Any) -> list[str | None]:
        """Join in a view; the tasks' states right afterwards."""

        def act() -> list[str | None]:
            self.lab.weblab.join_tasks(*wanted, **options)
            return [task.retrieve().status for task in self.tasks]

        status: list[str | None] = self.lab.inside(self.session_id, act)
        return status


@pytest.fixture
def stoppable(lab: ActingLab) -> Stoppable:
    return Stoppable(lab)


@keeps("WebLab.join_tasks", "waits for all of a name", "takes the function too", "waits for ever by default")
@pytest.mark.parametrize("by", ["name", "function"])
def test_join_waits_until_all_of_a_name_have_ended(stoppable: Stoppable, by: str) -> None:
    seen: list[list[str | None]] = []
    wanted = "drive" if by == "name" else stoppable.drive
    thread = threading.Thread(target=lambda: seen.append(stoppable.join(wanted)))
    thread.start()
    wait_until(lambda: all(task.retrieve().running for task in stoppable.tasks), "both tasks")
    assert seen == []
    stoppable.go.set()
    thread.join(GUARD)
    assert seen == [["done", "done"]]


@keeps("WebLab.join_tasks", "waits no longer than its timeout")
def test_join_gives_up_after_its_timeout_and_raises_nothing(stoppable: Stoppable) -> None:
    assert "done" not in stoppable.join("drive", timeout=0.05)
    stoppable.go.set()
    assert stoppable.join("drive", GUARD) == ["done", "done"]


@keeps("WebLab.join_tasks", "stop asks each of them to stop first")
def test_join_with_stop_asks_all_to_stop(stoppable: Stoppable) -> None:
    wait_until(lambda: all(task.retrieve().running for task in stoppable.tasks), "both tasks")
    assert stoppable.join("drive", stop=True) == ["done", "done"]
    assert [task.result for task in stoppable.tasks] == ["stopped", "stopped"]
