"""Tasks in the store: submit, claim, end, read, stop, wait, bury. Used by `labkit.tasks`, runners and the lab.

A task is queued or owned, nothing between, and runs at most once. Each method is one script; the ids of tasks are made
by the caller, so a submission whose answer got lost is sent again here and stays one task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from labkit import wire
from labkit.clock import Deadline
from labkit.errors import SessionLostError, StoreUnavailableError
from labkit.store.connection import Store, text

END_WORD_KEPT = 60.0
"""Seconds that the word of a task's end is kept (DONE_KEPT in tasks.lua)."""
_WAIT_SLICE = 1.0
"""Seconds between two looks at the records while one waits for the word of their end."""


def problem(code: str, kind: str | None = None, message: str | None = None) -> str:
    """What a failed task has as its error, as JSON: `code`, and `class` and `message` where they are given."""
    facts = {"code": code, "class": kind, "message": message}
    return json.dumps({name: fact for name, fact in facts.items() if fact is not None})


LOST = problem(
    "lost",
    "TaskLostError",
    "The process that ran this task is gone. The task may have run in part; it is not run again.",
)
SESSION_OVER = problem(
    "session-over", "SessionLostError", "The session was over before a runner had picked this task up; it did not run."
)
TIMED_OUT = problem("timeout", "TaskTimeoutError", "The task took longer than its timeout, and was given up.")
NO_LOCK = problem(
    "exception", "AlreadyRunningError", "Another task has taken the place of this unique task; it did not run."
)


class TaskStatus(StrEnum):
    """submitted -> running -> done or failed; a task that never runs goes from submitted to failed."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """What `submit` writes. parent: the task that submits it, '' none."""

    task_id: str
    name: str
    session_id: str
    arguments: str
    """Positional and named arguments, as JSON of `labkit.wire`."""
    purpose: str
    fences: Mapping[str, int]
    parent: str = ""
    owner: str = ""
    """The process that owns the parent, or, in `on_dispose`, the ending."""
    lock: str = ""
    """Field of the unique lock, '' none."""
    urgent: bool = False
    """Claim it before those that nobody waits for."""
    keep: float = 3600.0
    """Seconds to keep it where its session is forgotten before it ends."""


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A task as the store had it at one moment. Times are UTC seconds since 1970, 0 where not come to yet."""

    task_id: str
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.fields.get("name", "")

    @property
    def session_id(self) -> str:
        return self.fields.get("session", "")

    @property
    def status(self) -> TaskStatus:
        return TaskStatus(self.fields["status"])

    @property
    def finished(self) -> bool:
        return self.status in (TaskStatus.DONE, TaskStatus.FAILED)

    @property
    def purpose(self) -> str:
        return self.fields.get("purpose", "")

    @property
    def owner(self) -> str:
        """The process under whose name it was claimed."""
        return self.fields.get("owner", "")

    @property
    def stopping(self) -> bool:
        return self.fields.get("stop") == "1"

    @property
    def fences(self) -> dict[str, int]:
        return wire.load_fences(self.fields.get("fences", ""))

    def value(self, name: str) -> Any:
        """What is kept as JSON: arguments, data, progress, result, error. None where it is not there (yet)."""
        kept = self.fields.get(name)
        return wire.loads(kept) if kept else None

    def number(self, name: str) -> float:
        """When it was submitted, started, ended."""
        return float(self.fields.get(name) or 0.0)


@dataclass(frozen=True, kw_only=True)
class TaskEnd:
    """How a task ended. process: the name under which it was claimed. result, error: JSON or ''."""

    task_id: str
    process: str
    status: TaskStatus
    result: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class NextTask:
    """The answer to a runner."""

    recorded: bool | None
    """Whether the end of its last task counts. False: that task was lost, its result is dropped. None: no last task."""
    word: str
    """claimed, empty, more (ask again at once), gone (the process must take a new name), or '' (nothing was asked)."""
    claimed: TaskRecord | None = None


class TaskStore:
    """Tasks in the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def submit(self, new: NewTask, *, loser: str) -> TaskRecord:
        """Write a task and queue it. A unique task that is submitted or running already leaves this one failed with
        the error `loser` (JSON). Errors: `SessionLostError` where nobody may submit it any more."""
        arguments = (
            new.task_id, new.name, new.session_id, new.arguments, new.purpose, wire.dump_fences(new.fences), new.parent,
            new.owner, new.lock, new.keep, loser, SESSION_OVER, LOST, "1" if new.urgent else "",
        )  # fmt: skip
        try:
            answer = self._store.run("task_submit", *arguments)
        except StoreUnavailableError:
            answer = self._store.run("task_submit", *arguments)  # the same id: at most one task
        word = text(answer[0])
        if word != "submitted":
            raise SessionLostError(_REFUSED[word].format(name=new.name))
        fields = _unpacked(answer[1])
        fields.pop("arguments", None)  # they come back only where it was sent again, and nobody asks for them here
        return TaskRecord(task_id=new.task_id, fields=fields)

    def next(
        self, process: str, runner: str, end: TaskEnd | None = None, *, again: bool = False, claim: str = "any"
    ) -> NextTask:
        """Record the end of a runner's last task and claim the next one, in one script.

        again: the runner slept, or the answer to the same question got lost; what it was given then is given again.
        claim: 'any'; 'sleep': any, and where there is none the next one is handed to it when it is submitted (see
        `sleep`); 'urgent': only one that somebody waits for who holds up others; 'back': none, and what it was given
        and does not know of is anybody's again.
        """
        return self._next(process, runner, end, "1" if again else "", claim)

    def end(self, end: TaskEnd, runner: str) -> bool:
        """Only record the end of a task. False: it was lost, its result is dropped."""
        return self._next("", runner, end, "", "").recorded is True

    def _next(self, process: str, runner: str, end: TaskEnd | None, again: str, claim: str) -> NextTask:
        last = (end.task_id, end.process, end.status.value, end.result, end.error) if end else ("", "", "", "", "")
        answer = self._store.run("task_next", process, runner, again, claim, SESSION_OVER, NO_LOCK, *last)
        recorded, word = text(answer[0]), text(answer[1])
        return NextTask(
            recorded=recorded == "ended" if recorded else None,
            word=word,
            claimed=_task(answer[2]) if word == "claimed" else None,
        )

    def read(self, task_id: str) -> TaskRecord | None:
        """A task; None: it is not kept any more. One whose owner is gone ends here as lost."""
        found = self._read("", [task_id])
        return found[0] if found else None

    def of_session(self, session_id: str) -> list[TaskRecord]:
        """All tasks of a session, in the order of submission."""
        return self._read(session_id, [])

    def _read(self, session_id: str, ids: Sequence[str]) -> list[TaskRecord]:
        return [_task(packed) for packed in self._store.run("task_read", LOST, session_id, *ids)]

    def unfinished(self, session_id: str, purpose: str | None = None) -> list[str]:
        """Ids of a session's tasks that are submitted or running; purpose: only those of one."""
        found = self.of_session(session_id)
        return [task.task_id for task in found if not task.finished and purpose in (None, task.purpose)]

    def stop(self, task_id: str) -> bool:
        """Ask one task to stop; a task that is not running yet is not cancelled. False: it has ended already."""
        return bool(self._store.run("task_stop", "", "", SESSION_OVER, task_id))

    def stop_all(self, session_id: str, but_purpose: str = "ending") -> list[str]:
        """Ask all tasks of a session to stop. Returns those that were asked.

        Where the session is over, those that nobody has picked up fail here with code `session-over`. Left alone: tasks
        of one purpose, and those that a user asked for who was out already.
        """
        return [text(item) for item in self._store.run("task_stop", session_id, but_purpose, SESSION_OVER)]

    def wait_unfinished(self, session_id: str, ids: Sequence[str], seconds: float) -> list[str]:
        """Wait at most `seconds` for tasks of a session to end. Returns those that still run or will.

        Waited for is what runs in a live process, or may still start and a live process has runners; nothing else.
        """
        deadline = Deadline(seconds)
        left = self._pending(session_id, ids)
        while left and not deadline.over:
            self._wait_word(left[0], deadline.left(at_most=_WAIT_SLICE))
            left = self._pending(session_id, left)
        return left

    def _pending(self, session_id: str, ids: Sequence[str]) -> list[str]:
        return [text(item) for item in self._store.run("task_pending", LOST, session_id, *ids)] if ids else []

    def wait_end(self, task: TaskRecord, seconds: float) -> TaskRecord | None:
        """Wait at most `seconds` for the word that a task has ended: the task as it is then. None: no word came, or its
        result is too long for one. Every waiter gets it, also who asks up to `END_WORD_KEPT` seconds after the end."""
        changed = self._wait_word(task.task_id, seconds)
        return TaskRecord(task_id=task.task_id, fields={**task.fields, **changed}) if changed else None

    def _wait_word(self, task_id: str, seconds: float) -> dict[str, str]:
        key = self._store.keys.of("task_done", task_id)
        for _, entries in self._store.read_streams({key: "0-0"}, seconds):
            return _unpacked(entries[0][1]["end"])
        return {}

    def is_stopping(self, task_id: str, process: str) -> bool:
        """Whether a task that runs in `process` was asked to stop, or is not that process's any more."""
        return bool(int(self._store.run("task_stopping", task_id, process)))

    def store_data(self, task_id: str, process: str, data: str) -> TaskRecord | None:
        """Replace a task's data (JSON) from the task itself. None: it is not that process's any more."""
        answer = self._store.run("task_data", task_id, process, data)
        return _task(answer[1]) if text(answer[0]) == "stored" else None

    def tell(self, task_id: str, process: str, kind: str, value: str) -> bool:
        """Show `progress` or a line of the `log` on the session's feed. False: it is not that process's any more."""
        return text(self._store.run("task_tell", task_id, process, kind, value)) == "told"

    def has_runner(self) -> bool:
        """Whether a live process runs tasks."""
        return text(self._store.run("process_role", "tasks", "")) != ""

    def withdraw(self, task_id: str, error: str) -> bool:
        """Fail a task that nobody has picked up. False: somebody has."""
        return text(self._store.run("task_withdraw", task_id, error)) == "withdrawn"

    def make_urgent(self, task_id: str) -> bool:
        """Have a queued task claimed before others. False: it is not queued, or is urgent already."""
        return text(self._store.run("task_urgent", task_id)) == "urgent"

    def queued(self) -> int:
        """How many ids are in the queue."""
        return sum(int(self._store.command("LLEN", self._store.keys[name])) for name in ("queue", "urgent"))

    def sleep(self, runner: str, pool: str, seconds: float) -> TaskRecord | None:
        """Wait at most `seconds`, after a claim 'sleep' that found nothing, for the task that this runner is handed.
        None: there was a kick of its pool, or nothing. It may still be handed one, so its next claim is one 'again'."""
        own = self._store.keys.of("handed", runner)
        found = self._store.pop([own, self._store.keys.of("runner_wake", pool)], seconds)
        return _task(found[1]) if found is not None and found[0] == own else None

    def kick(self, pool: str, runners: int) -> None:
        """Wake so many sleeping runners of a pool."""
        self._store.run("runner_kick", pool, runners)

    def bury(self, process: str) -> list[str] | None:
        """Fail what a gone process was running as lost, free its unique locks, forget it. Twice is fine.

        Returns the tasks that were lost; None: the process is alive, and nothing was done.
        """
        answer = [text(item) for item in self._store.run("process_bury", process, LOST)]
        return answer[1:] if answer[0] == "buried" else None


_REFUSED = {
    "unknown": "The session that submits the task '{name}' is not known any more. Start a new session.",
    "lost": "The task '{name}' was not submitted: what submits it was taken for dead, or its session was taken over.",
}


def _task(packed: bytes) -> TaskRecord:
    fields = _unpacked(packed)
    return TaskRecord(task_id=fields["id"], fields=fields)


def _unpacked(packed: bytes) -> dict[str, str]:
    """What the scripts have packed: field, value, field, value, parted by NUL; the last value of a field counts."""
    parts = packed.decode("utf-8", "replace").split("\0") if packed else []
    return dict(zip(parts[::2], parts[1::2], strict=True))
