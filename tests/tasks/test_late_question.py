"""A store that hung carries a runner's question out after the next one: what it gave to nobody's ears is run, too."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labkit.errors import StoreUnavailableError
from tests.tasks.task_lab import TaskLab


def test_task_that_a_late_question_claimed_is_run_with_the_next_step(
    lab: TaskLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    work = lab.tasks.work(threading.Event())

    @lab.tasks.task()
    def first() -> None:
        ran.append("first")
        lab.kept.next(lab.process.id, work.id, None)  # only now does the question arrive that timed out

    @lab.tasks.task()
    def second() -> None:
        ran.append("second")

    with lab.request(lab.session()):
        tasks = [first.delay(), second.delay()]

    def hang(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("The store does not answer.")

    with monkeypatch.context() as hanging:
        hanging.setattr(work._services.store, "next", hang)
        with pytest.raises(StoreUnavailableError):
            work.step()
    assert [work.step(), work.step()] == ["ran", "ran"]
    assert ran == ["first", "second"]
    assert work.step() == "empty"
    assert [task.retrieve().status for task in tasks] == ["done", "done"]
    work.finish()
