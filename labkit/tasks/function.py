"""What `@weblab.task()` makes of a function: still callable, and with `delay` and `run_sync`."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from labkit import wire
from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose, require_session
from labkit.store.tasks import NewTask, problem
from labkit.tasks.services import TaskServices
from labkit.tasks.task import WebLabTask
from labkit.threads import LabThread

P = ParamSpec("P")
R = TypeVar("R")

UNIQUE = (None, "user", "global")
TOKEN_LENGTH = 43
"""Characters of a task's id; a name is never as long, so that `get_task` can tell one from the other."""
NO_RUNNER_AFTER = 10.0
"""Seconds without a task runner in any live process after which `run_sync` gives its task up."""

_JOIN_SLICE = 1.0
_FIRST_IF_SUBMITTED = frozenset({Purpose.ENDING})
"""Whose tasks are claimed first in any case: a bench is free only when its ending has come to an end."""
_FIRST_IF_AWAITED = frozenset({Purpose.ENDING, Purpose.START, Purpose.TASK})
"""Whose tasks are claimed first while it waits for them: a task that waits takes a runner away, a start its RLMS."""
_NO_RUNNER = problem(
    "no-runner",
    message="No process runs tasks. Start `labkit loop`, or let this process run its threads (WEBLAB_NO_THREAD).",
)


class TaskFunction(Generic[P, R]):
    """A function of a lab that can run in the background. Calling it runs it here and now, without a task."""

    def __init__(
        self,
        function: Callable[P, R],
        unique: str | None,
        services: Callable[[], TaskServices],
        *,
        timeout: float | None = None,
        run_urgent: Callable[[], None],
    ):
        self.name = function.__name__
        self.unique = unique
        self.timeout = timeout
        self._function = function
        self._services = services
        self._run_urgent = run_urgent
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<TaskFunction {self.name} unique={self.unique}>"

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> WebLabTask:
        """Submit a task that calls the function with these arguments, for the session bound here. Does not wait.

        A unique one that is submitted or running already: the new task has failed at once, with `AlreadyRunningError`.
        Errors: `NoContextError`, `NotStorableError`, `SessionLostError`, `StoreUnavailableError`.
        """
        return self._submit(args, kwargs, _FIRST_IF_SUBMITTED)

    def _submit(self, args: Sequence[Any], kwargs: Mapping[str, Any], first: Container[Purpose]) -> WebLabTask:
        """first: whose tasks are claimed before others'."""
        services, bound = self._services(), require_session()
        new = NewTask(
            task_id=secrets.token_urlsafe(32),
            name=self.name,
            session_id=bound.session_id,
            arguments=wire.dumps([args, kwargs]),
            purpose=bound.purpose.value,
            fences=bound.fences,
            parent=bound.task_id,
            owner=bound.owner,
            lock=self._lock(bound),
            urgent=bound.purpose in first,
            keep=services.settings.task_expires,
        )
        loser = self._loser() if new.lock else ""
        return WebLabTask(services.store, services.store.submit(new, loser=loser))

    def run_sync(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> WebLabTask:
        """Submit a task and wait for its end, at most `timeout` seconds (None: as long as it takes). Returns the task,
        unfinished where the time was over.

        It runs where task runners are. Where all of them are busy for a second and a start, an ending or another task
        waits for it, they get a thread more for it. No runner for 10 s: it fails, code `no-runner`; only an ending then
        runs it by itself, at once.
        """
        store, task = self._services().store, self._submit(args, kwargs, _FIRST_IF_AWAITED)
        deadline, patience = Deadline(timeout), Deadline(NO_RUNNER_AFTER)
        if task.submitted and require_session().purpose is Purpose.ENDING and not store.has_runner():
            LabThread(f"task-of-ending:{self.name}", lambda _: self._run_urgent()).start()
        while not task.join(deadline.left(at_most=_JOIN_SLICE), error_on_timeout=False).finished:
            if deadline.over or task.status is None:
                break
            if not task.submitted or store.has_runner():
                patience = Deadline(NO_RUNNER_AFTER)
            elif patience.over and store.withdraw(task.task_id, _NO_RUNNER):
                return task.retrieve()
        return task

    def _lock(self, bound: BoundSession) -> str:
        if self.unique is None:
            return ""
        return self.name if self.unique == "global" else f"{self.name}:{bound.session_id}"

    def _loser(self) -> str:
        where = "in this session" if self.unique == "user" else "in this lab"
        message = f"The task '{self.name}' is submitted or running {where}; only one at a time may be."
        return problem("exception", "AlreadyRunningError", f"{message} Wait for its end, or stop it.")
