"""A session finds its own tasks by id, name and function; what is pending runs once, in the caller."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from labkit.errors import StoreUnavailableError
from labkit.tasks import current_task
from labkit.testing.store import StoreServer
from tests.tasks.task_lab import TaskLab, delay, register


def test_tasks_are_found_by_id_name_and_function(lab: TaskLab) -> None:
    add = lab.tasks.functions["add"]
    with lab.request(lab.session()):
        first, second, other = add.delay(1, 2), add.delay(3, 4), delay(lab, "alone", "/nowhere")
        found = lab.tasks.get_task(first.task_id)
        assert found == first
        assert found is not first
        for identifier in (add, "add", add.__wrapped__):  # type: ignore[attr-defined]
            assert lab.tasks.get_task(identifier) == second  # the newest
            assert lab.tasks.get_tasks(identifier) == [first, second]
        assert lab.tasks.tasks == [first, second, other]
        assert lab.tasks.get_task("unknown") is None
        assert lab.tasks.get_task(secrets.token_urlsafe(32)) is None


def test_running_tasks_are_those_that_have_not_ended(lab: TaskLab) -> None:
    seen: list[str] = []

    @lab.tasks.task()
    def look() -> None:
        seen.extend(task.status or "" for task in lab.tasks.running_tasks)

    with lab.request(lab.session()):
        first, second = look.delay(), look.delay()
        assert lab.tasks.running_tasks == [first, second]
        assert lab.tasks.get_running_task(look) == second
        lab.tasks.run_pending()
        assert seen == ["running", "submitted", "running"]
        assert lab.tasks.running_tasks == []
        assert lab.tasks.get_running_task("look") is None
        assert lab.tasks.get_running_tasks("look") == []
        assert lab.tasks.get_tasks("look") == [first, second]


def test_nobody_gets_the_task_of_another_session_or_of_none(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2)
    with lab.request(lab.session()):
        assert lab.tasks.get_task(task.task_id) is None
        assert lab.tasks.tasks == []
    assert lab.tasks.get_task(task.task_id) is None
    assert lab.tasks.get_task("add") is None
    assert lab.tasks.running_tasks == []


def test_task_is_forgotten_with_its_session(lab: TaskLab) -> None:
    with lab.request(lab.session()) as bound:
        task = delay(lab, "add", 1, 2)
        lab.tasks.run_pending()
        assert bound is not None
        lab.expire(bound.session_id)
        assert task.retrieve().status == "done"
        lab.store.command("DEL", lab.store.keys.of("task", task.task_id))
        assert task.retrieve().status is None
        assert (task.finished, task.result, task.error, dict(task.data)) == (False, None, None, {})
        assert task.join(timeout=5) is task
        assert lab.tasks.get_task(task.task_id) is None


def test_join_tasks_waits_for_all_of_one_function_and_raises_nothing(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        tasks = [delay(lab, "add", number, 1) for number in range(3)]
        lab.tasks.join_tasks("add", timeout=0.05)
        with lab.runners(2):
            lab.tasks.join_tasks("add", timeout=30)
        assert [task.retrieve().result for task in tasks] == [1, 2, 3]


def test_join_tasks_can_ask_them_to_stop_first(lab: TaskLab) -> None:
    with lab.runners(1), lab.request(lab.session()):
        task = delay(lab, "alone", "/nowhere/at/all")
        lab.tasks.join_tasks("alone", timeout=30, stop=True)
        assert task.retrieve().done


def test_what_is_pending_runs_once_in_the_caller(lab: TaskLab) -> None:
    @lab.tasks.task()
    def again() -> None:
        again.delay()

    with lab.request(lab.session()):
        again.delay()
        delay(lab, "add", 1, 2)
        assert lab.tasks.run_pending() == 2
        assert [task.status for task in lab.tasks.tasks] == ["done", "done", "submitted"]
        assert bool(current_task) is False


def test_pending_tasks_run_after_the_store_was_emptied(lab: TaskLab) -> None:
    session, old = lab.session(), lab.process.id  # before: its next beat may have it renamed at any moment, too
    lab.store.command("DEL", lab.store.keys["processes"])
    with lab.request(session):
        task = delay(lab, "add", 1, 2)
    assert lab.tasks.run_pending() == 1
    assert task.retrieve().done
    assert lab.process.id != old


def test_pending_tasks_run_in_a_process_that_did_not_beat_yet(task_server: StoreServer) -> None:
    lab = TaskLab(task_server.url)
    register(lab.tasks)
    try:
        assert lab.tasks.run_pending() == 0
        assert lab.process.running
    finally:
        lab.__exit__(None, None, None)


@pytest.fixture
def own_server() -> Iterator[StoreServer]:
    with StoreServer() as server:
        yield server


def test_run_pending_says_that_there_is_no_store(own_server: StoreServer) -> None:
    with TaskLab(own_server.url) as lab:
        own_server.stop()
        with pytest.raises(StoreUnavailableError):
            lab.tasks.run_pending()
