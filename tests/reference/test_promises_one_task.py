"""WebLabTask: what one task tells of itself, and what may be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labkit import NoContextError, TimeoutError, WebLabTask, current_task, current_task_stopping
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until

MakeLab = Callable[..., ActingLab]
FLAGS = ("submitted", "running", "done", "failed", "finished")


def flags(task: WebLabTask) -> list[str]:
    """The flags that are up."""
    return [flag for flag in FLAGS if getattr(task, flag)]


def submit(lab: ActingLab, function: Callable[..., Any], *arguments: Any) -> WebLabTask:
    """Submit a function as a task of a new session."""
    made = lab.weblab.task()(function)
    task: WebLabTask = lab.inside(lab.start(), lambda: made.delay(*arguments))
    return task


def my_task(a: Any, b: Any) -> Any:
    return a + b


class Gate:
    """A task that runs, in a lab with threads, until it is let go."""

    def __init__(self, lab: ActingLab):
        self.go = threading.Event()
        self.task = submit(lab, self._deaf)
        wait_until(lambda: self.task.retrieve().running, "the task")

    def _deaf(self) -> str:
        assert self.go.wait(GUARD)
        return "went on"

    _deaf.__name__ = "deaf"


@pytest.fixture
def gate(lab: ActingLab) -> Gate:
    return Gate(lab)


# -- its life


@keeps("WebLabTask", "is given by delay, and found by id and in lists")
@keeps("WebLabTask.task_id", "is the same wherever the task is seen")
def test_task_is_the_same_wherever_it_is_found(still: ActingLab) -> None:
    task = submit(still, my_task, 5, 10)

    def act() -> list[Any]:
        return [still.weblab.get_task(task.task_id), *still.weblab.tasks]

    found = still.inside(task.session_id, act)
    assert [type(one) for one in (task, *found)] == [WebLabTask] * 3
    assert [one.task_id for one in found] == [task.task_id] * 2


@keeps("WebLabTask", "goes from submitted to running to its end")
@keeps("WebLabTask.status", "is 'running' while it runs")
@keeps("WebLabTask.running", "is true only while it runs, not before")
def test_task_goes_from_submitted_to_running_to_done(still: ActingLab) -> None:
    inside: list[Any] = []
    task = submit(still, lambda: inside.extend([current_task.status, flags(current_task)]))
    assert (task.status, flags(task)) == ("submitted", ["submitted"])
    still.weblab.run_tasks()
    assert inside == ["running", ["running"]]
    assert (task.retrieve().status, flags(task)) == ("done", ["done", "finished"])


@keeps("WebLabTask.status", "is 'running' while it runs")
@keeps("WebLabTask.running", "is true only while it runs, not before")
def test_running_task_is_seen_from_outside(gate: Gate) -> None:
    assert (gate.task.status, flags(gate.task)) == ("running", ["running"])
    assert (gate.task.result, gate.task.error) == (None, None)
    gate.go.set()
    assert gate.task.join(GUARD).status == "done"


@keeps("WebLabTask.session_id", "is the session's id")
@keeps("WebLabTask.name", "is the function's name")
def test_task_knows_its_session_and_its_name(still: ActingLab) -> None:
    made, session_id = still.weblab.task()(my_task), still.start()
    task = still.inside(session_id, lambda: made.delay(1, 2))
    assert (task.session_id, task.name) == (session_id, "my_task")


@keeps("WebLabTask.status", "is 'submitted' before a thread has it")
@keeps("WebLabTask.submitted", "is true only before it runs")
@keeps("WebLabTask.result", "is None in any other case")
@keeps("WebLabTask.error", "is None in any other case")
def test_task_that_nobody_runs_is_submitted(still: ActingLab) -> None:
    task = submit(still, my_task, 1, 2)
    assert (task.status, flags(task), task.result, task.error) == ("submitted", ["submitted"], None, None)
    still.weblab.run_tasks()
    assert not task.retrieve().submitted


@keeps("WebLabTask.status", "is 'done' when it has ended")
@keeps("WebLabTask.done", "is true only after an end without an error")
@keeps("WebLabTask.finished", "is true after any end")
@keeps("WebLabTask.result", "is what the function returned")
@keeps("WebLabTask.error", "is None in any other case")
@pytest.mark.parametrize("result", [3, None, "text", [1, {"a": None}], b"\x00"])
def test_task_that_ended_well_is_done(still: ActingLab, result: Any) -> None:
    task = submit(still, lambda: result)
    still.weblab.run_tasks()
    assert (task.retrieve().status, flags(task)) == ("done", ["done", "finished"])
    assert (task.result, task.error) == (result, None)


class ExampleError(Exception):
    """What a lab may raise."""


@keeps("WebLabTask.status", "is 'failed' after an error")
@keeps("WebLabTask.failed", "is true only after an error")
@keeps("WebLabTask.finished", "is true after any end")
@keeps("WebLabTask.error", "says code, class and message")
@keeps("WebLabTask.result", "is None in any other case")
def test_task_that_raised_has_failed_and_says_why(still: ActingLab) -> None:
    def fail() -> None:
        raise ExampleError("no water", 7)

    task = submit(still, fail)
    still.weblab.run_tasks()
    assert (task.retrieve().status, flags(task), task.result) == ("failed", ["failed", "finished"], None)
    assert task.error == {"code": "exception", "class": "ExampleError", "message": "('no water', 7)"}


@keeps("WebLabTask.status", "is None when it is not kept any more")
def test_task_that_is_not_kept_has_no_status(make: MakeLab) -> None:
    lab = make(WEBLAB_NO_THREAD=True, WEBLAB_EXPIRED_USERS_TIMEOUT=1, WEBLAB_TASK_EXPIRES=1)
    task = submit(lab, my_task, 1, 2)
    lab.weblab.run_tasks()
    assert task.retrieve().status == "done"
    lab.lab.sessions.exit(task.session_id)
    lab.weblab.clean_expired_users()
    wait_until(lambda: task.retrieve().status is None, "the task to be forgotten")
    assert (flags(task), task.result, task.error) == ([], None, None)


# -- join


@keeps("WebLabTask.join", "waits until the task has ended", "waits for ever by default")
def test_join_waits_for_the_end(gate: Gate) -> None:
    joined: list[str | None] = []
    thread = threading.Thread(target=lambda: joined.append(gate.task.join().status))
    thread.start()
    with pytest.raises(TimeoutError):
        gate.task.retrieve().join(timeout=0.1)
    assert joined == []
    gate.go.set()
    thread.join(GUARD)
    assert joined == ["done"]


@keeps("WebLabTask.join", "raises when its timeout is over, a fraction of a second too")
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_join_raises_when_its_time_is_over(still: ActingLab, timeout: float) -> None:
    task = submit(still, my_task, 1, 2)
    with pytest.raises(TimeoutError):
        task.join(timeout=timeout)
    with pytest.raises(TimeoutError):
        task.join(timeout, error_on_timeout=True)


@keeps("WebLabTask.join", "raises nothing where it is told not to")
def test_join_may_come_back_without_an_error(still: ActingLab) -> None:
    task = submit(still, my_task, 1, 2)
    task.join(timeout=0.05, error_on_timeout=False)
    assert task.submitted


@keeps("WebLabTask.join", "can't be called by the task itself")
def test_task_that_joins_itself_fails(still: ActingLab) -> None:
    task = submit(still, lambda: current_task.join(timeout=GUARD))
    still.weblab.run_tasks()
    assert (task.retrieve().error or {})["class"] == "RuntimeError"


def drive() -> str:
    wait_until(lambda: current_task_stopping, "a stop")
    return "stopped"


@keeps("WebLabTask.join", "stop asks the task to stop first")
def test_join_with_stop_asks_the_task_to_stop(lab: ActingLab) -> None:
    assert submit(lab, drive).join(timeout=GUARD, stop=True).result == "stopped"


# -- data


@keeps("WebLabTask.data", "is empty at first", "is another object each time outside, where it can't be changed")
def test_data_outside_is_for_reading(still: ActingLab) -> None:
    task = submit(still, my_task, 1, 2)
    assert task.data == {}
    assert task.data is not task.data
    with pytest.raises(TypeError):
        task.data["foo"] = "bar"  # type: ignore[index]
    assert task.retrieve().data == {}


@keeps("WebLabTask.data", "what the task stores there is read outside")
@keeps("WebLabTask.store", "stores the data, and gives the task as it is then")
@keeps("WebLabTask.retrieve", "reads the task anew, and gives the same object")
def test_data_of_a_running_task_is_read_outside(lab: ActingLab) -> None:
    go = threading.Event()

    def work() -> bool:
        task = current_task._get_current_object()  # type: ignore[attr-defined]
        task.data["percent"] = 0.8
        same = task.store() is task and task.data == {"percent": 0.8}
        assert go.wait(GUARD)
        return same

    task = submit(lab, work)
    wait_until(lambda: task.retrieve().data.get("percent") == 0.8, "the data")
    assert task.retrieve() is task
    assert task.running
    go.set()
    assert task.join(GUARD).result is True


@keeps("WebLabTask.update_data", "replaces the data and stores it")
def test_update_data_replaces_and_stores(still: ActingLab) -> None:
    def work() -> None:
        current_task.data = {"old": 1}
        current_task.store()
        current_task.update_data({"new": 2})

    task = submit(still, work)
    still.weblab.run_tasks()
    assert (task.retrieve().error, task.data) == (None, {"new": 2})


@keeps("WebLabTask.store", "can only be used in the task itself")
def test_store_is_for_the_task_itself(gate: Gate) -> None:
    for use in (gate.task.store, lambda: gate.task.update_data({"a": 1})):
        with pytest.raises(NoContextError):
            use()
    gate.go.set()
    assert gate.task.join(GUARD).data == {}


@keeps("WebLabTask.sync", "is another name of store")
def test_sync_stores_too(still: ActingLab) -> None:
    def work() -> bool:
        task: Any = current_task._get_current_object()  # type: ignore[attr-defined]
        task.data["percent"] = 0.8
        return task.sync() is task

    task = submit(still, work)
    still.weblab.run_tasks()
    assert (task.retrieve().error, task.result, task.data) == (None, True, {"percent": 0.8})


# -- stop


@keeps("WebLabTask.stop", "ends a loop that looks")
def test_stop_ends_a_task_that_looks(lab: ActingLab) -> None:
    task = submit(lab, drive)
    wait_until(lambda: task.retrieve().running, "the task")
    task.stop()
    assert task.join(GUARD).result == "stopped"


@keeps("WebLabTask.stop", "raises the flag", "does nothing else to a task that does not look")
@keeps("WebLabTask.stopping", "is true once somebody asked it to stop")
def test_stop_raises_a_flag_and_does_nothing_else(gate: Gate) -> None:
    assert gate.task.stopping is False
    gate.task.stop()
    assert gate.task.retrieve().stopping is True
    assert gate.task.running
    gate.go.set()
    assert gate.task.join(GUARD).result == "went on"
