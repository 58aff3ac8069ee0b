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
from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose, session_bound
from labkit.errors import StoreUnavailableError
from labkit.store.tasks import LOST, TIMED_OUT, TaskEnd, TaskRecord, TaskStatus, problem
from labkit.tasks.services import TaskServices
from labkit.tasks.task import RunningTask, WebLabTask, task_current
from labkit.users import remembered

log = logging.getLogger("labkit.tasks")

Functions = Mapping[str, Callable[..., Any]]

STOP_GRACE = 2.0
"""Seconds that a task over its `timeout` has to end by itself, as a device's command has (design: at the device)."""


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
        self._patience = Deadline(None)
        self._lock = threading.Lock()
        self.given_up = False
        """Whether a task of this runner was given up: it claims nothing more."""

    @property
    def overdue(self) -> bool:
        """Whether the task that runs here is over its `timeout`, and has not ended when it was asked to."""
        return self._running is not None and self._patience.over

    def step(self, *, urgent: bool = False) -> str:
        """Claim the next task and run it to its end; blocks for that long. urgent: only one that somebody waits for who
        holds up others.

        Returns 'ran', 'empty', 'more' (ask again at once) or 'gone' (this process must first take a new name).
        Errors: `StoreUnavailableError`; call it again later. `KeyboardInterrupt`, where that ended the task.
        """
        try:
            process = self._services.process.id
            answer = self._services.store.next(process, self.id, self._end, again=self._again, urgent=urgent)
        except StoreUnavailableError:
            self._again = True
            raise
        self._told(answer.recorded)
        if answer.claimed is None:
            return answer.word
        self._end, interrupt = self._run(answer.claimed)
        if interrupt is not None:
            raise interrupt
        return "ran"

    def _run(self, claimed: TaskRecord) -> tuple[TaskEnd, KeyboardInterrupt | None]:
        seconds: float | None = getattr(self._functions.get(claimed.name), "timeout", None)
        with self._lock:
            self._patience = Deadline(None if seconds is None else seconds + STOP_GRACE)
            self._running = claimed
        try:
            return execute(claimed, self._services, self._functions, self._stopping, seconds)
        finally:
            with self._lock:
                self._running = None

    def finish(self) -> None:
        """Tell how the last task ended, without claiming another. Errors: `StoreUnavailableError`."""
        if self._end is not None:
            self._told(self._services.store.end(self._end, self.id))

    def give_up(self, error: str = LOST) -> bool:
        """From another thread: the task that still runs here has failed, with this error (JSON), and nothing that it
        does counts any more. False: none runs. Errors: `StoreUnavailableError`; try it again."""
        with self._lock:
            running = self._running
            if running is None:
                return False
            self.given_up = True
        end = TaskEnd(task_id=running.task_id, process=running.owner, status=TaskStatus.FAILED, error=error)
        self._services.store.end(end, "")
        log.error("task abandoned name=%s task=%s", running.name, running.task_id[:8])
        return True

    def _told(self, recorded: bool | None) -> None:
        if recorded is False and self._end is not None:
            log.warning("task was lost, its result is dropped task=%s", self._end.task_id[:8])
        self._end, self._again = None, False


def execute(
    claimed: TaskRecord,
    services: TaskServices,
    functions: Functions,
    stopping: threading.Event,
    seconds: float | None = None,
) -> tuple[TaskEnd, KeyboardInterrupt | None]:
    """Run one claimed task in a context of its own: an app context, its session, and no request. Raises nothing.

    seconds: one that takes longer is asked to stop, and has failed with code `timeout`, however it ends. What must be
    raised after the end is told comes back beside it.
    """
    function = functions.get(claimed.name)
    if function is None:
        log.error("task failed name=%s code=not-found", claimed.name)
        return _failed(claimed, problem("not-found")), None
    limit = Deadline(seconds)
    try:
        result = contextvars.Context().run(_call, claimed, function, services, stopping, limit)
        if limit.over:
            log.error("task failed name=%s session=%s code=timeout", claimed.name, _short(claimed.session_id))
            return _failed(claimed, TIMED_OUT), None
        end = TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.DONE, result=wire.dumps(result))
    except BaseException as error:  # whatever a task raises is its own end and nobody else's, SystemExit too
        log.exception("task failed name=%s session=%s", claimed.name, _short(claimed.session_id))
        failed = _failed(claimed, problem("exception", type(error).__name__, _message(error)))
        return failed, error if isinstance(error, KeyboardInterrupt) else None
    log.info("task done name=%s session=%s", claimed.name, _short(claimed.session_id))
    return end, None


def _call(
    claimed: TaskRecord,
    function: Callable[..., Any],
    services: TaskServices,
    stopping: threading.Event,
    limit: Deadline,
) -> Any:
    running = RunningTask(services.store, claimed.task_id, claimed.owner, stopping, limit)
    bound = BoundSession(
        session_id=claimed.session_id,
        purpose=Purpose.ENDING if claimed.purpose == Purpose.ENDING else Purpose.TASK,
        fences=claimed.fences,
        owner=claimed.owner,
        task_id=claimed.task_id,
    )
    arguments, named = claimed.value("arguments")
    with session_bound(bound), services.entered(bound), task_current(WebLabTask(services.store, claimed, running)):
        try:
            return function(*arguments, **named)
        finally:
            _warn_of_unsaved_data(claimed)


def _warn_of_unsaved_data(claimed: TaskRecord) -> None:
    """After a task nothing is stored by itself (rlms.md): others may have written the same data meanwhile."""
    user = remembered()
    if user is not None and not user.is_anonymous and user.has_unsaved_data:  # type: ignore[union-attr]
        log.warning(
            "task changed weblab_user.data and did not store it: call weblab_user.data.store() name=%s session=%s",
            claimed.name,
            _short(claimed.session_id),
        )


def _failed(claimed: TaskRecord, error: str) -> TaskEnd:
    return TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.FAILED, error=error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"(an error of type {type(error).__name__} that can't be shown as text)"


def _short(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()[:8]
