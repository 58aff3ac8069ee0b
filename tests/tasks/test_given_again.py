"""A store that went back a moment gives a task out again that has run already: it does not run a second time."""

from __future__ import annotations

from labkit.tasks import WebLabTask
from tests.tasks import task_lab
from tests.tasks.task_lab import TaskLab


def show_as_submitted(lab: TaskLab, task: WebLabTask) -> None:
    """Have the store be as it was before the task was claimed."""
    keys = lab.store.keys
    lab.store.command("HSET", keys.of("task", task.task_id), "status", "submitted", "owner", "", "runner", "")
    lab.store.command("HDEL", keys["running"], task.task_id)
    lab.store.command("RPUSH", keys["queue"], task.task_id)


def test_task_that_has_run_is_lost_and_not_run_again(lab: TaskLab) -> None:
    ran = []

    @lab.tasks.task()
    def count() -> None:
        ran.append(1)

    with lab.request(lab.session()):
        task = count.delay()
    lab.tasks.run_pending()
    show_as_submitted(lab, task)
    lab.tasks.run_pending()
    assert ran == [1]
    assert task_lab.code_of(task) == "lost"


def test_task_that_still_runs_goes_on_and_ends_as_it_does(lab: TaskLab) -> None:
    ran = []

    @lab.tasks.task()
    def look() -> str:
        ran.append(1)
        if len(ran) == 1:
            show_as_submitted(lab, task)
            lab.tasks.run_pending()  # another runner of this process is given it
        return "done"

    with lab.request(lab.session()):
        task = look.delay()
    lab.tasks.run_pending()
    assert ran == [1]
    assert (task.retrieve().status, task.result) == ("done", "done")
