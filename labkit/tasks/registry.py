"""All tasks of one WebLab: its functions by name, the tasks of the session bound here, and running what is pending.

It may be filled before there is a lab: what needs one asks for it then.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from labkit.clock import Deadline
from labkit.context import bound_session
from labkit.errors import StoreUnavailableError
from labkit.store.tasks import TIMED_OUT
from labkit.tasks.execution import TaskWork
from labkit.tasks.function import TOKEN_LENGTH, UNIQUE, TaskFunction
from labkit.tasks.services import TaskServices
from labkit.tasks.task import WebLabTask
from labkit.threads import LabThread

P = ParamSpec("P")
R = TypeVar("R")

Identifier = str | Callable[..., Any]
"""A task's name, or its function (as it was written, or as `@weblab.task()` made it)."""

_RENAME_SECONDS = 5.0
_TELL_SECONDS, _TELL_PAUSE = 30.0, 0.5
_WATCH_SECONDS = 0.5


class Tasks:
    """The tasks of one WebLab. services: gives the lab's, raises `WebLabNotInitializedError` while there is none."""

    def __init__(self, services: Callable[[], TaskServices]):
        self._services = services
        self.functions: dict[str, TaskFunction[..., Any]] = {}

    def __repr__(self) -> str:
        return f"<Tasks {' '.join(sorted(self.functions))}>"

    @property
    def services(self) -> TaskServices:
        return self._services()

    def task(
        self, unique: str | None = None, timeout: float | None = None
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]:
        """Make a function a task. unique: at most one at a time in each session ('user') or in the lab ('global').

        timeout: seconds that it may run, None: as long as its session. Then it is asked to stop, and it has failed with
        code `timeout`: when it ends, or 2 s later at the latest, whatever it does.
        Errors: `ValueError` for another `unique` or `timeout`, two of one name, a name of 43 characters.
        """
        if unique not in UNIQUE:
            raise ValueError(
                f"unique is {unique!r}; it must be None, 'user' or 'global', as in @weblab.task(unique='user')."
            )

        seconds = _checked(timeout)

        def register(function: Callable[P, R]) -> TaskFunction[P, R]:
            made = TaskFunction(function, unique, self._services, timeout=seconds, run_urgent=self.run_urgent)
            self._check_name(made.name)
            self.functions[made.name] = made
            return made

        return register

    def _check_name(self, name: str) -> None:
        if name in self.functions:
            raise ValueError(f"There are two tasks of the same name, '{name}'. Give one of the functions another name.")
        if len(name) == TOKEN_LENGTH:
            raise ValueError(
                f"The name of the task '{name}' has the same number of characters as a task's id ({TOKEN_LENGTH}). "
                "Give the function a name that is longer or shorter."
            )

    @property
    def tasks(self) -> list[WebLabTask]:
        """All tasks of the session bound here, ended or not, in the order of submission; none without a session."""
        bound = bound_session()
        if bound is None:
            return []
        store = self.services.store
        return [WebLabTask(store, record) for record in store.of_session(bound.session_id)]

    @property
    def running_tasks(self) -> list[WebLabTask]:
        """Those that have not ended: running, and also submitted ones."""
        return [task for task in self.tasks if not task.finished]

    def get_tasks(self, func_or_name: Identifier) -> list[WebLabTask]:
        """All tasks of the session with this function, ended or not."""
        name = _name(func_or_name)
        return [task for task in self.tasks if task.name == name]

    def get_running_tasks(self, func_or_name: Identifier) -> list[WebLabTask]:
        """Those with this function that have not ended."""
        return [task for task in self.get_tasks(func_or_name) if not task.finished]

    def get_running_task(self, func_or_name: Identifier) -> WebLabTask | None:
        """The newest with this function that has not ended, or None."""
        return _newest(self.get_running_tasks(func_or_name))

    def get_task(self, identifier: Identifier) -> WebLabTask | None:
        """A task of the session by its id, or the newest with this name or function. None: this session has none."""
        if not isinstance(identifier, str) or len(identifier) != TOKEN_LENGTH:
            return _newest(self.get_tasks(identifier))
        bound = bound_session()
        store = self.services.store
        record = store.read(identifier) if bound is not None else None
        return WebLabTask(store, record) if record and bound and record.session_id == bound.session_id else None

    def join_tasks(self, func_or_name: Identifier, timeout: float | None = None, stop: bool = False) -> None:
        """Wait until all tasks with this function have ended, at most `timeout` seconds for all of them; raises no
        `TimeoutError`. stop: ask them to, first."""
        found = self.get_running_tasks(func_or_name)
        if stop:
            for task in found:
                task.stop()
        deadline = Deadline(timeout)
        for task in found:
            task.join(None if timeout is None else deadline.left(), error_on_timeout=False)

    def work(self, stopping: threading.Event) -> TaskWork:
        """The work of one runner. Set `stopping` and the task that it runs is asked to stop."""
        return TaskWork(self.services, self.functions, stopping)

    def run_pending(self) -> int:
        """Run what is in the queue at this moment, one after another, here in the caller. Returns how many ran.

        A task that is over its `timeout` fails in time, but the caller waits for it. Errors: `StoreUnavailableError`.
        """
        services = self.services
        services.process.start()
        work, left, ran = self.work(threading.Event()), services.store.queued(), 0
        watching = LabThread("task-timeouts", partial(_watch, work))
        watching.start()
        try:
            while left > 0:
                word = self._step(work)
                if word == "empty":
                    break
                left, ran = left - (word == "ran"), ran + (word == "ran")
        finally:
            watching.stop()
            _finish(work)
        return ran

    def run_urgent(self) -> None:
        """Run here what is queued and somebody waits for who holds up others (an ending, say), until there is no more.

        Each on another thread, so that one which is given up because of its `timeout` keeps no other waiting.
        """
        self.services.process.start()
        more = True
        while more:
            work = self.work(threading.Event())
            thread = LabThread("task-urgent", partial(self._run_urgent, work))
            thread.start()
            while thread.is_alive() and not _gives_up(work):
                thread.join(_WATCH_SECONDS)
            more = work.given_up

    def _run_urgent(self, work: TaskWork, _: threading.Event) -> None:
        try:
            while not work.given_up and self._step(work, "urgent") != "empty":
                pass
        finally:
            _finish(work)

    def _step(self, work: TaskWork, claim: str = "any") -> str:
        """One step; where the store has lost sight of this process, that takes a new name first."""
        word, patience = work.step(claim), Deadline(_RENAME_SECONDS)
        while word == "gone":
            if patience.over:
                raise StoreUnavailableError("The store does not take the beats of this process; no task was run.")
            self._await_beat(patience)
            word = work.step(claim)
        return word

    def _await_beat(self, patience: Deadline) -> None:
        process, beaten = self.services.process, threading.Event()

        def listener(_: object) -> None:
            beaten.set()

        process.on_news(listener)
        process.nudge()
        beaten.wait(patience.left())
        process.forget(listener)


def _checked(timeout: float | None) -> float | None:
    """The seconds of a task's `timeout`. Errors: `ValueError`."""
    if timeout is None:
        return None
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
        raise ValueError(f"timeout is {given!r}; it must be seconds, a number above 0, as in @weblab.task(timeout=30).")
    return float(given)


def _gives_up(work: TaskWork) -> bool:
    """Give the task up that runs there, if it is over its `timeout`. True: it was."""
    with contextlib.suppress(StoreUnavailableError):  # then the next time
        return work.overdue and work.give_up(TIMED_OUT)
    return False


def _watch(work: TaskWork, stopping: threading.Event) -> None:
    while not stopping.wait(_WATCH_SECONDS):
        _gives_up(work)


def _finish(work: TaskWork) -> None:
    """Tell how the last task ended, also where the store is away for a while: else it would count as running here as
    long as this process lives. Errors: `StoreUnavailableError`."""
    patience, pause = Deadline(_TELL_SECONDS), threading.Event()
    while True:
        try:
            return work.finish()
        except StoreUnavailableError:
            if patience.over:
                raise
            pause.wait(_TELL_PAUSE)


def _name(func_or_name: Identifier) -> str:
    if isinstance(func_or_name, str):
        return func_or_name
    return str(getattr(func_or_name, "__name__", ""))


def _newest(tasks: list[WebLabTask]) -> WebLabTask | None:
    return tasks[-1] if tasks else None
