"""The steps of a task in the store, as the tests of its scripts take them."""

from __future__ import annotations

import secrets
from typing import Any

from labkit import wire
from labkit.store.tasks import NewTask, TaskEnd, TaskRecord, TaskStatus, problem
from tests.tasks.task_lab import TaskLab

LOSER = problem("exception", "AlreadyRunningError", "lost the race")


def submit(lab: TaskLab, session: str, name: str = "work", **fields: Any) -> TaskRecord:
    facts: dict[str, Any] = {
        "task_id": secrets.token_urlsafe(32), "name": name, "session_id": session, "arguments": wire.dumps([[1], {}]),
        "purpose": "request", "fences": {"bench-1": 17, "bench-2": 19}, **fields,
    }  # fmt: skip
    return lab.kept.submit(NewTask(**facts), loser=LOSER)


def claim(lab: TaskLab, runner: str = "r1", end: TaskEnd | None = None) -> TaskRecord | None:
    return lab.kept.next(lab.process.id, runner, end).claimed


def done(task: TaskRecord, result: object = None) -> TaskEnd:
    return TaskEnd(task_id=task.task_id, process=task.owner, status=TaskStatus.DONE, result=wire.dumps(result))


def read(lab: TaskLab, task: TaskRecord) -> TaskRecord:
    found = lab.kept.read(task.task_id)
    assert found is not None
    return found


def code_of(task: TaskRecord) -> str:
    assert task.status == "failed"
    return str(task.value("error")["code"])


def dead_process(lab: TaskLab, name: str = "dead:1:ff") -> str:
    """A process that beats once; `kill` takes its beat away."""
    lab.processes.beat(name, first=True, roles="tasks", highest_fence=0, benches={})
    return name


def kill(lab: TaskLab, process: str) -> None:
    lab.store.command("ZADD", lab.store.keys["processes"], 1000, process)
