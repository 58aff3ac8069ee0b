"""One task as lab code sees it: `WebLabTask`, `current_task`, `current_task_stopping`. Exported by `labkit`.

A WebLabTask is a snapshot; `retrieve`, `join`, `store` and `stop` refresh it, from plain threads too. The one that
`current_task` gives while the task runs is the task itself: it may change the data, and its `stopping` is fresh.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, cast

from werkzeug.datastructures import ImmutableDict
from werkzeug.local import LocalProxy

from labkit import wire
from labkit.clock import Deadline
from labkit.context import Purpose, bound_session
from labkit.errors import NoContextError, SessionLostError, StoreUnavailableError, TimeoutError
from labkit.store.tasks import END_WORD_KEPT, TaskRecord, TaskStatus, TaskStore

STOPPING_FRESH = 0.1
"""Seconds for which an answer to `stopping` is used again, so that a tight loop does not flood the store."""

_JOIN_SLICE = 1.0
_YOUNG = END_WORD_KEPT / 2
"""Seconds for which a record that says that the task goes on is young: had it ended since, the word would be there."""


class RunningTask:
    """That a task runs here: under which process's name, and whether it should stop.

    stopping: its runner must end. limit: the time that its `timeout` gives it.
    """

    def __init__(
        self, store: TaskStore, task_id: str, process: str, stopping: threading.Event, limit: Deadline | None = None
    ):
        self.process = process
        self._store = store
        self._task_id = task_id
        self._runner_stopping = stopping
        self._limit = limit or Deadline(None)
        self._told = False
        self._fresh = Deadline(0.0)

    @property
    def stopping(self) -> bool:
        if self._limit.over or self._runner_stopping.is_set():
            return True
        if not self._told and self._fresh.over:
            with contextlib.suppress(StoreUnavailableError):  # a store that is away for a moment stops nobody
                self._told = self._store.is_stopping(self._task_id, self.process)
            self._fresh = Deadline(STOPPING_FRESH)
        return self._told


@functools.total_ordering
class WebLabTask:
    """A task of a session: what became of it. Labs get one from `delay()`, `weblab.get_task()` and the like.

    Tasks are equal, hash and sort by their id. Errors of what asks the store: `StoreUnavailableError`.
    """

    def __init__(self, store: TaskStore, record: TaskRecord, running: RunningTask | None = None):
        self._store = store
        self._record = record
        self._forgotten = False
        self._running = running
        self._own_data: dict[str, Any] | None = None
        self._word_may_be_gone = Deadline(_YOUNG)

    def __repr__(self) -> str:
        return f"<WebLabTask {self.name} {self.task_id} {self.status or 'forgotten'}>"

    def __eq__(self, other: object) -> bool:
        return self.task_id == other.task_id if isinstance(other, WebLabTask) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.task_id < other.task_id if isinstance(other, WebLabTask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.task_id)

    @property
    def task_id(self) -> str:
        return self._record.task_id

    @property
    def session_id(self) -> str:
        return self._record.session_id

    @property
    def name(self) -> str:
        """The name of its function."""
        return self._record.name

    @property
    def status(self) -> str | None:
        """'submitted', 'running', 'done' or 'failed'; None: the task is not kept any more."""
        return None if self._forgotten else self._record.status.value

    @property
    def submitted(self) -> bool:
        """Whether no runner has picked it up yet."""
        return self.status == TaskStatus.SUBMITTED

    @property
    def running(self) -> bool:
        return self.status == TaskStatus.RUNNING

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return self.status == TaskStatus.DONE

    @property
    def failed(self) -> bool:
        return self.status == TaskStatus.FAILED

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.done or self.failed

    @property
    def result(self) -> Any:
        """What the function returned, where the task is done; else None. Tuples come back as lists."""
        return self._record.value("result") if self.done else None

    @property
    def error(self) -> dict[str, Any] | None:
        """Where the task has failed: `code`, and where known `class` and `message`. Else None.

        Codes: exception, lost (its process died), timeout (it took longer than its `timeout`), session-over, not-found
        (no such function there), no-runner.
        """
        return self._record.value("error") if self.failed else None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop. In the task itself the answer is never older than 0.1 s."""
        running = self._here()
        return running.stopping if running is not None else self._record.stopping

    @property
    def data(self) -> Mapping[str, Any]:
        """What the task wants to be known. A dict that changes only in the task itself, and is written by `store()`."""
        if self._here() is None:
            return ImmutableDict({} if self._forgotten else self._record.value("data"))
        if self._own_data is None:
            self._own_data = dict(self._record.value("data"))
        return self._own_data

    @data.setter
    def data(self, data: Mapping[str, Any]) -> None:
        self._require_here("data")
        self._own_data = dict(data)

    def update_data(self, new_data: Mapping[str, Any]) -> None:
        """Replace the data and write it: `task.data = new_data; task.store()`."""
        self.data = new_data
        self.store()

    def store(self) -> WebLabTask:
        """Write the data; only the task itself can. Returns itself, refreshed.

        Errors: `NoContextError` elsewhere, `NotStorableError`, `SessionLostError` where the task was taken for dead.
        """
        running = self._require_here("store()")
        record = self._store.store_data(self.task_id, running.process, wire.dumps(self.data))
        if record is None:
            raise self._lost()
        return self._refresh(record)

    sync = store
    """The same; labs of old call it so."""

    def progress(self, part: float, text: str = "") -> None:
        """Show on the session's page how far the task is: `part` from 0 to 1, and what it does. Only in the task."""
        running = self._require_here("progress()")
        shown = wire.dumps({"part": min(1.0, max(0.0, float(part))), "text": str(text)})
        if not self._store.tell(self.task_id, running.process, "progress", shown):
            raise self._lost()

    def log(self, text: str) -> None:
        """Show a line on the session's page. Only in the task."""
        running = self._require_here("log()")
        if not self._store.tell(self.task_id, running.process, "log", wire.dumps(str(text))):
            raise self._lost()

    def retrieve(self) -> WebLabTask:
        """Read the task anew. Returns itself."""
        return self._refresh(self._store.read(self.task_id))

    def stop(self) -> WebLabTask:
        """Ask the task to stop; nothing else happens to it. It sees that in `current_task_stopping`."""
        self._store.stop(self.task_id)
        return self.retrieve()

    def join(self, timeout: float | None = None, error_on_timeout: bool = True, stop: bool = False) -> WebLabTask:
        """Wait until the task has ended, at most `timeout` seconds (None: as long as it takes). stop: ask it to, first.

        Where a start or another task waits for it for a second, it is claimed before others; by a thread more, if all
        are busy.
        Errors: `TimeoutError` unless `error_on_timeout` is off; `RuntimeError` where the task joins itself.
        """
        if _current.get() == self:
            raise RuntimeError(f"Deadlock: the task '{self.name}' waits for its own end. Join it from elsewhere.")
        if stop:
            self.stop()
        deadline = Deadline(timeout)
        while not self._ended_within(deadline.left(at_most=_JOIN_SLICE)):
            if self.submitted and _holds_up_others():
                self._store.make_urgent(self.task_id)
            if deadline.over:
                if error_on_timeout:
                    raise TimeoutError(f"The task '{self.name}' has not ended within {timeout} s. It goes on.")
                break
        return self

    def _ended_within(self, seconds: float) -> bool:
        """Whether it has ended (or is forgotten) by now, or by the end of one wait of at most `seconds`."""
        if not self._over and (seconds <= 0 or self._word_may_be_gone.over):
            self.retrieve()
        if not self._over and seconds > 0:
            ended = self._store.wait_end(self._record, seconds)
            self._refresh(ended) if ended is not None else self.retrieve()
        return self._over

    @property
    def _over(self) -> bool:
        return self._forgotten or self._record.finished

    def _refresh(self, record: TaskRecord | None) -> WebLabTask:
        self._forgotten = record is None
        self._record = record or self._record
        self._own_data = None
        self._word_may_be_gone = Deadline(_YOUNG)
        return self

    def _here(self) -> RunningTask | None:
        """How it runs, where this is the task itself."""
        if self._running is not None:
            return self._running
        current = _current.get()
        return current._running if current is not None and current.task_id == self.task_id else None

    def _require_here(self, what: str) -> RunningTask:
        running = self._here()
        if running is None:
            raise NoContextError(
                f"{what} of the task '{self.name}' can only be used in that task itself, through current_task."
            )
        return running

    def _lost(self) -> SessionLostError:
        return SessionLostError(f"The task '{self.name}' was taken for dead; nothing that it does counts any more.")


def _holds_up_others() -> bool:
    """Whether the code that runs here keeps a runner, or an RLMS, waiting while it waits."""
    bound = bound_session()
    return bound is not None and bound.purpose in (Purpose.START, Purpose.TASK, Purpose.ENDING)


_current: ContextVar[WebLabTask | None] = ContextVar("labkit_current_task", default=None)


def make_current(task: WebLabTask) -> None:
    """Make a task the current one of this context, which is its own and ends with it."""
    _current.set(task)


def _is_stopping() -> bool:
    task = _current.get()
    return task is not None and task.stopping


current_task = cast("WebLabTask", LocalProxy(_current.get))
"""The task that runs here. Outside a task it is false, and equal to None."""

current_task_stopping = cast(bool, LocalProxy(_is_stopping))
"""Whether the task that runs here was asked to stop; false outside a task."""
