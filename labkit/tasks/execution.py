"""Runs claimed tasks, one after another, and tells the store how each ended. Used by `Tasks` and the task runners."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from labkit import wire
from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose, bind
from labkit.errors import StoreUnavailableError
from labkit.log_text import hashed
from labkit.store.tasks import LOST, TIMED_OUT, TaskEnd, TaskRecord, TaskStatus, problem
from labkit.tasks.services import TaskServices
from labkit.tasks.task import RunningTask, WebLabTask, make_current
from labkit.users import remembered

log = logging.getLogger("labkit.tasks")

Functions = Mapping[str, Callable[..., Any]]

STOP_GRACE = 2.0
"""Seconds that a task over its `timeout` has to end by itself, as a device's command has (design: at the device)."""


LOOK_SECONDS = 10.0
"""How often a runner asks whether it was given a task of which it does not know: a store that goes back a moment
forgets that one has ended, and nobody else would ever end it while this process lives."""


class Limits:
    """When a task is asked to stop (`asked`), and when it is given up (`given_up`). seconds: its `timeout`."""

    def __init__(self, seconds: float | None):
        self.asked = Deadline(seconds)
        self.given_up = Deadline(None if seconds is None else seconds + STOP_GRACE)


class TaskWork:
    """The work of one runner: claim a task, run it, tell its end together with the next claim. For one thread.

    A task runs at most once. What could not be told because the store was away is told with the next `step`.
    """

    def __init__(self, services: TaskServices, functions: Functions, stopping: threading.Event):
        self.id = secrets.token_hex(8)
        self.asked_as = ""
        """The name of the process under which it asked last, and is known to sleep."""
        self._services = services
        self._functions = functions
        self._stopping = stopping
        self._end: TaskEnd | None = None
        self._ended: TaskRecord | None = None
        self._again = False
        """Whether it may have been given a task of which it does not know."""
        self._look = Deadline(LOOK_SECONDS)
        self._late = False
        """Whether a question that got no answer may come to the store only after the next one."""
        self._running: TaskRecord | None = None
        self._limits = Limits(None)
        self._lock = threading.Lock()
        self._abandoned: TaskRecord | None = None

    @property
    def given_up(self) -> bool:
        """Whether a task of this runner was given up: it claims nothing more."""
        return self._abandoned is not None

    @property
    def overdue(self) -> bool:
        """Whether the task that runs here is over its `timeout`, and has not ended when it was asked to."""
        running = self._running
        return running is not None and running is not self._abandoned and self._limits.given_up.over

    def step(self, claim: str = "any") -> str:
        """Claim the next task and run it to its end; blocks for that long. claim: 'any'; 'sleep': any, and `sleep` is
        called after 'empty'; 'urgent': only one that somebody waits for who holds up others.

        Returns 'ran', 'empty', 'more' (ask again at once) or 'gone' (this process must first take a new name).
        Errors: `StoreUnavailableError`; call it again later. `KeyboardInterrupt`, where that ended the task.
        """
        self.asked_as = self._services.process.id
        again = self._again or self._look.over
        try:
            answer = self._services.store.next(self.asked_as, self.id, self._end, again=again, claim=claim)
        except StoreUnavailableError:
            self._again = self._late = True
            raise
        if again:
            self._look = Deadline(LOOK_SECONDS)
        self._told(answer.recorded)
        if answer.claimed is None:
            self._again, self._late = self._late or (claim == "sleep" and answer.word == "empty"), False
            return answer.word
        self.run(answer.claimed)
        return "ran"

    def sleep(self, pool: str, seconds: float) -> TaskRecord | None:
        """Wait at most `seconds` until this runner is handed a task, for `run`, or its pool is kicked. One that is not
        run is given again with the next `step`, or is anybody's with `finish`. Errors: `StoreUnavailableError`."""
        return self._services.store.sleep(self.id, pool, seconds)

    def run(self, claimed: TaskRecord) -> None:
        """Run a task that is this runner's to its end. Errors: `KeyboardInterrupt`, where that ended the task."""
        process = self._services.process
        self._again, self._late, self._ended = self._late, False, claimed
        if not process.begun.first(claimed.task_id):  # the store went back, and has forgotten that it was claimed
            log.error("task is not run again name=%s task=%s", claimed.name, hashed(claimed.task_id))
            self._end = None if claimed.task_id in process.tasks else _failed(claimed, LOST)
            return
        self._end, interrupt = self._run(claimed)
        if interrupt is not None:
            raise interrupt

    def _run(self, claimed: TaskRecord) -> tuple[TaskEnd, KeyboardInterrupt | None]:
        limits = Limits(getattr(self._functions.get(claimed.name), "timeout", None))
        with self._lock:
            self._limits, self._running = limits, claimed
        self._services.process.tasks.add(claimed.task_id)
        try:
            return execute(claimed, self._services, self._functions, self._stopping, limits)
        finally:
            self._services.process.tasks.discard(claimed.task_id)
            with self._lock:
                self._running = None

    def finish(self) -> None:
        """Tell how the last task ended, without claiming another. What this runner was given and has not begun, because
        the answer got lost or it was about to stop, is anybody's again. Errors: `StoreUnavailableError`; call it again.
        """
        store = self._services.store
        if self._again:
            answer = store.next(self.asked_as, self.id, self._end, again=True, claim="back")
            self._told(answer.recorded)
        if self._end is not None:
            self._told(store.end(self._end, self.id))

    def give_up(self, error: str = LOST) -> bool:
        """From another thread: the task that still runs here has failed, with this error (JSON), and nothing that it
        does counts any more. False: none runs. Errors: `StoreUnavailableError`; nothing has changed then."""
        running = self._running
        if running is None:
            return False
        self._services.process.tasks.discard(running.task_id)
        end = TaskEnd(task_id=running.task_id, process=running.owner, status=TaskStatus.FAILED, error=error)
        self._services.store.end(end, "")
        with self._lock:
            if self._running is not running:
                return False  # it has ended meanwhile, so its thread goes on
            self._abandoned = running
        log.error("task abandoned name=%s task=%s", running.name, hashed(running.task_id))
        return True

    def _told(self, recorded: bool | None) -> None:
        """Only now is it logged: who waits for a task must not wait for that."""
        end, ended = self._end, self._ended
        self._end, self._ended, self._again = None, None, False
        if recorded is False and end is not None:
            log.warning("task was lost, its result is dropped task=%s", hashed(end.task_id))
        elif end is not None and ended is not None and end.status is TaskStatus.DONE:
            log.info("task done name=%s session=%s", ended.name, hashed(ended.session_id))


def execute(
    claimed: TaskRecord,
    services: TaskServices,
    functions: Functions,
    stopping: threading.Event,
    limits: Limits,
) -> tuple[TaskEnd, KeyboardInterrupt | None]:
    """Run one claimed task in a context of its own: an app context, its session, and no request. Raises nothing.

    One that takes longer than its limits has failed with code `timeout`, however it ends. What must be raised after the
    end is told comes back beside it.
    """
    function = functions.get(claimed.name)
    if function is None:
        log.error("task failed name=%s code=not-found", claimed.name)
        return _failed(claimed, problem("not-found")), None
    try:
        result = contextvars.Context().run(_call, claimed, function, services, stopping, limits)
        if limits.asked.over:
            log.error("task failed name=%s session=%s code=timeout", claimed.name, hashed(claimed.session_id))
            return _failed(claimed, TIMED_OUT), None
        end = TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.DONE, result=wire.dumps(result))
    except BaseException as error:  # whatever a task raises is its own end and nobody else's, SystemExit too
        log.exception("task failed name=%s session=%s", claimed.name, hashed(claimed.session_id))
        own = problem("exception", type(error).__name__, _message(error))
        failed = _failed(claimed, TIMED_OUT if limits.asked.over else own)
        return failed, error if isinstance(error, KeyboardInterrupt) else None
    return end, None


def _call(
    claimed: TaskRecord,
    function: Callable[..., Any],
    services: TaskServices,
    stopping: threading.Event,
    limits: Limits,
) -> Any:
    running = RunningTask(services.store, claimed.task_id, claimed.owner, stopping, limits.asked)
    bound = BoundSession(
        session_id=claimed.session_id,
        purpose=Purpose.ENDING if claimed.purpose == Purpose.ENDING else Purpose.TASK,
        fences=claimed.fences,
        owner=claimed.owner,
        task_id=claimed.task_id,
        limit=limits.given_up,
    )
    arguments, named = claimed.value("arguments")
    bind(bound)  # and nothing undoes it: this context ends with the task
    make_current(WebLabTask(services.store, claimed, running))
    with services.entered(bound):
        try:
            return function(*arguments, **named)
        finally:
            with contextlib.suppress(Exception):  # values of the author's are compared there
                _warn_of_unsaved_data(claimed)


def _warn_of_unsaved_data(claimed: TaskRecord) -> None:
    """After a task nothing is stored by itself (rlms.md): others may have written the same data meanwhile."""
    user = remembered()
    if user is not None and not user.is_anonymous and user.has_unsaved_data:  # type: ignore[union-attr]
        log.warning(
            "task changed weblab_user.data and did not store it: call weblab_user.data.store() name=%s session=%s",
            claimed.name,
            hashed(claimed.session_id),
        )


def _failed(claimed: TaskRecord, error: str) -> TaskEnd:
    return TaskEnd(task_id=claimed.task_id, process=claimed.owner, status=TaskStatus.FAILED, error=error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # of whatever kind: the end of the task is still to be told
        return f"(an error of type {type(error).__name__} that can't be shown as text)"
