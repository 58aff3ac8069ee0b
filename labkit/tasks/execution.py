"""Runs claimed tasks, one after another, and tells the store how each ended. Used by `Tasks` and the task runners."""

from __future__ import annotations

import contextvars
import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from labkit import wire
from labkit.context import BoundSession, Purpose, session_bound
from labkit.errors import StoreUnavailableError
from labkit.store.tasks import LOST, TaskEnd, TaskRecord, TaskStatus, problem
from labkit.tasks.services import TaskServices
from labkit.tasks.task import RunningTask, WebLabTask, task_current

log = logging.getLogger("labkit.tasks")

Functions = Mapping[str, Callable[..., Any]]


class TaskWork:
    """The work of one runner: claim a task, run it, tell its end together with the next claim. For one thread.

    A task runs at most once. What could not be told because the store was away is told with the next `step`.
    """

    def __init__(self, services: TaskServices, functions: Functions, stopping: threading.Event):
        self.id = secrets.token_hex(8)
        self._services = services
        self._functions = functions
        self._stopping = stopping
        self._end: TaskEnd | None = None
        self._again = False
        self._running: TaskRecord | None = None
        self._given_up = threading.Event()

    def step(self) -> str:
        """Claim the next task and run it to its end; blocks for that long.

        Returns 'ran', 'empty', 'more' (ask again at once) or 'gone' (this process must first take a new name).
        Errors: `StoreUnavailableError`; call it again later. `KeyboardInterrupt`, where that ended the task.
        """
        try:
            answer = self._services.store.next(self._services.process.id, self.id, self._end, again=self._again)
        except StoreUnavailableError:
            self._again = True
            raise
        self._told(answer.recorded)
        if answer.claimed is None:
            return answer.word
        self._running = answer.claimed
        self._end, interrupt = execute(answer.claimed, self._services, self._functions, self._stopping)
        self._running = None
        if interrupt is not None:
            raise interrupt
        return "ran"

    def finish(self) -> None:
        """Tell how the last task ended, without claiming another. Errors: `StoreUnavailableError`."""
        if self._end is not None and not self._given_up.is_set():
            self._told(self._services.store.end(self._end, self.id))

    def give_up(self) -> bool:
        """From another thread: the task that still runs here counts as lost from now on. False: none runs."""
        running = self._running
        if running is None:
            return False
        self._given_up.set()
        end = TaskEnd(task_id=running.task_id, process=running.owner, status=TaskStatus.FAILED, error=LOST)
        log.error("task abandoned name=%s task=%s", running.name, running.task_id[:8])
        return self._services.store.end(end, "")

    def _told(self, recorded: bool | None) -> None:
        if recorded is False and self._end is not None:
            log.warning("task was lost, its result is dropped task=%s", self._end.task_id[:8])
        self._end, self._again = None, False


def execute(
    claimed: TaskRecord, services: TaskServices, functions: Functions, stopping: threading.Event
) -> tuple[TaskEnd, KeyboardInterrupt | None]:
    """Run one claimed task in a context of its own: an app context, its session, and no request. Raises nothing.

    What must be raised after the end is told comes back beside it.
    """
    function = functions.get(claimed.name)
    if function is None:
        log.error("task failed name=%s code=not-found", claimed.name)
        return _failed(claimed, problem("not-found")), None
    try:
        result = contextvars.Context().run(_call, claimed, function, services, stopping)
        end = TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.DONE, result=wire.dumps(result))
    except BaseException as error:  # whatever a task raises is its own end and nobody else's, SystemExit too
        log.exception("task failed name=%s session=%s", claimed.name, _short(claimed.session_id))
        failed = _failed(claimed, problem("exception", type(error).__name__, _message(error)))
        return failed, error if isinstance(error, KeyboardInterrupt) else None
    log.info("task done name=%s session=%s", claimed.name, _short(claimed.session_id))
    return end, None


def _call(claimed: TaskRecord, function: Callable[..., Any], services: TaskServices, stopping: threading.Event) -> Any:
    running = RunningTask(services.store, claimed.task_id, claimed.owner, stopping)
    bound = BoundSession(
        session_id=claimed.session_id,
        purpose=Purpose.ENDING if claimed.purpose == Purpose.ENDING else Purpose.TASK,
        fences=claimed.fences,
        owner=claimed.owner,
        task_id=claimed.task_id,
    )
    arguments, named = claimed.value("arguments")
    with session_bound(bound), services.entered(bound), task_current(WebLabTask(services.store, claimed, running)):
        return function(*arguments, **named)


def _failed(claimed: TaskRecord, error: str) -> TaskEnd:
    return TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.FAILED, error=error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"(an error of type {type(error).__name__} that can't be shown as text)"


def _short(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()[:8]
