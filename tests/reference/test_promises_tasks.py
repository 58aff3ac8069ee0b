"""`@weblab.task()`: the ways to call a task, unique ones, running what is pending, the task as it sees itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit import WebLabTask, current_task, current_task_stopping
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until


def here() -> str:
    return threading.current_thread().name


def add_task(lab: ActingLab) -> Any:
    @lab.weblab.task()
    def function(a: int, b: int) -> list[Any]:
        return [a + b, here()]

    return function


def gated(lab: ActingLab, unique: str | None) -> tuple[Any, threading.Event]:
    """A task that runs until the event is set."""
    gate = threading.Event()

    @lab.weblab.task(unique=unique)
    def wait() -> bool:
        return gate.wait(GUARD)

    return wait, gate


# -- the ways to call it


@keeps("WebLab.task", "direct call runs the function here")
def test_direct_call_is_a_call(still: ActingLab) -> None:
    function = add_task(still)
    assert function(5, 3) == [8, here()]
    assert function(a=5, b=3) == [8, here()]


@keeps("WebLab.task", "delay runs it in a thread of the background", "delay gives a task with id, status and result")
def test_delayed_call_runs_in_another_thread(lab: ActingLab) -> None:
    function = add_task(lab)
    task = lab.inside(lab.start(), lambda: function.delay(5, 3))
    assert isinstance(task, WebLabTask)
    assert isinstance(task.task_id, str)
    assert task.status in ("submitted", "running", "done")
    task.join(GUARD)
    total, thread = task.result
    assert (task.status, total, task.error) == ("done", 8, None)
    assert thread != here()


@keeps("WebLab.task", "delay gives a task with its error")
def test_delayed_call_that_raises_is_told_by_the_task(lab: ActingLab) -> None:
    function = add_task(lab)
    task = lab.inside(lab.start(), lambda: function.delay(5, "x")).join(GUARD)
    assert (task.status, task.result, task.error["class"]) == ("failed", None, "TypeError")


@keeps("WebLab.task", "run_sync waits for it, and it runs elsewhere")
def test_run_sync_comes_back_with_the_ended_task(lab: ActingLab) -> None:
    function = add_task(lab)
    view: list[str] = []
    task = lab.inside(lab.start(), lambda: (view.append(here()), function.run_sync(5, 3))[1])
    assert isinstance(task, WebLabTask)
    assert (task.status, task.result[0]) == ("done", 8)
    assert task.result[1] not in view


@keeps("WebLab.task", "task of one view is found in another")
def test_another_view_finds_the_task(lab: ActingLab) -> None:
    function, session_id = add_task(lab), lab.start()
    task_id = lab.inside(session_id, lambda: function.delay(5, 3).task_id)
    assert lab.inside(session_id, lambda: lab.weblab.get_task(task_id).join(GUARD).result[0]) == 8


@keeps("WebLab.task", "tasks are listed with their names")
def test_tasks_of_a_session_are_listed_by_name(still: ActingLab) -> None:
    function = add_task(still)
    wait, _ = gated(still, None)

    def act() -> list[list[str]]:
        function.delay(1, 2)
        wait.delay()
        return [[task.name for task in tasks] for tasks in (still.weblab.tasks, still.weblab.running_tasks)]

    assert still.inside(still.start(), act) == [["function", "wait"], ["function", "wait"]]


# -- unique


@keeps("WebLab.task", "unique None lets any number run")
def test_plain_task_runs_any_number_of_times(lab: ActingLab) -> None:
    wait, gate = gated(lab, None)
    tasks = lab.inside(lab.start(), lambda: [wait.delay(), wait.delay()])
    for task in tasks:
        wait_until(lambda task=task: task.retrieve().running, "both tasks")  # type: ignore[misc]
    gate.set()
    assert [task.join(GUARD).result for task in tasks] == [True, True]


@pytest.mark.parametrize(("unique", "elsewhere"), [("user", True), ("global", False)])
@keeps("WebLab.task", "unique 'global' lets one run in the lab", "unique 'user' lets one run for each user")
def test_unique_task_is_not_called_beside_another(lab: ActingLab, unique: str, elsewhere: bool) -> None:
    wait, gate = gated(lab, unique)
    ada, grace = lab.start(), lab.start(server={"request.username": "grace"})
    first = lab.inside(ada, wait.delay)
    wait_until(lambda: first.retrieve().running, "the first")
    assert lab.inside(ada, wait.delay).join(GUARD).failed
    other = lab.inside(grace, wait.delay)
    gate.set()
    assert (first.join(GUARD).done, other.join(GUARD).done) == (True, elsewhere)
    assert lab.inside(ada, wait.delay).join(GUARD).done


# -- run_tasks


def adding(lab: ActingLab) -> tuple[Callable[[int], Any], list[int]]:
    """A task that writes its number down, and submits the number below it."""
    ran: list[int] = []

    @lab.weblab.task()
    def count_down(number: int) -> None:
        ran.append(number)
        if number:
            count_down.delay(number - 1)

    return count_down.delay, ran


@keeps("WebLab.run_tasks", "runs all that is pending")
def test_run_tasks_runs_what_is_pending_in_its_order(still: ActingLab) -> None:
    submit, ran = adding(still)
    session_id = still.start()
    still.inside(session_id, lambda: [submit(0), submit(0), submit(0)])
    assert ran == []
    still.weblab.run_tasks()
    assert ran == [0, 0, 0]
    assert still.inside(session_id, lambda: {task.status for task in still.weblab.tasks}) == {"done"}


@keeps("WebLab.run_tasks", "runs it once and waits for nothing new", "may be called again, at the lab's own pace")
def test_run_tasks_leaves_what_comes_meanwhile_for_the_next_time(still: ActingLab) -> None:
    submit, ran = adding(still)
    still.inside(still.start(), lambda: submit(2))
    for expected in ([2], [2, 1], [2, 1, 0], [2, 1, 0]):
        still.weblab.run_tasks()
        assert ran == expected


# -- current_task


@keeps("current_task", "is like None outside a task")
def test_outside_a_task_the_current_one_is_like_none(still: ActingLab) -> None:
    def look() -> None:
        assert current_task == None  # noqa: E711 - the name stands for None, it is not None itself
        assert not current_task

    look()
    still.inside(still.start(), look)


@keeps("current_task", "is the task inside it", "lets the task change its data")
def test_inside_a_task_the_current_one_is_the_task(lab: ActingLab) -> None:
    @lab.weblab.task()
    def know_oneself() -> list[Any]:
        current_task.data["percent"] = 0.5  # type: ignore[index]
        current_task.store()
        return [current_task.task_id, current_task.name, bool(current_task), dict(current_task.data)]

    task = lab.inside(lab.start(), know_oneself.delay).join(GUARD)
    assert task.result == [task.task_id, "know_oneself", True, {"percent": 0.5}]
    assert task.data == {"percent": 0.5}


@keeps("current_task_stopping", "is false outside a task")
def test_outside_a_task_nothing_is_stopping(still: ActingLab) -> None:
    def look() -> None:
        assert current_task_stopping == False  # noqa: E712 - the name stands for False, it is not False itself
        assert not current_task_stopping

    look()
    still.inside(still.start(), look)


@keeps("current_task_stopping", "is the task's stopping inside it")
def test_inside_a_task_stopping_is_the_tasks_own(lab: ActingLab) -> None:
    looked = threading.Event()

    @lab.weblab.task()
    def look() -> list[bool]:
        before = [bool(current_task_stopping), current_task.stopping]
        looked.set()
        wait_until(lambda: current_task_stopping, "the flag")
        return [*before, bool(current_task_stopping), current_task.stopping]

    task = lab.inside(lab.start(), look.delay)
    assert looked.wait(GUARD)
    task.stop()
    assert task.join(GUARD).result == [False, False, True, True]
