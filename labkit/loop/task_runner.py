"""The threads that run tasks, in a loop or in a web process. Started by the supervisor.

A runner that finds nothing to do sleeps in a blocking read; a submission wakes one, a kick wakes those of one process.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading

from labkit.errors import StoreUnavailableError
from labkit.store.processes import BeatNews
from labkit.tasks import Tasks
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop.tasks")

SLEEP_SECONDS = 25.0
_RENAME_PAUSE = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


class TaskRunner:
    """Runs one task after another until it is stopped: the work of one thread. pool: whose kicks wake it."""

    def __init__(self, tasks: Tasks, stopping: threading.Event, pool: str = ""):
        self._store = tasks.services.store
        self._process = tasks.services.process
        self._stopping = stopping
        self._pool = pool or secrets.token_hex(8)
        self._pause = _FIRST_PAUSE
        self.work = tasks.work(stopping)
        self.sleeping = False

    def run(self) -> None:
        """Run tasks until `stopping` is set and the task that runs then has ended. Outlasts a store that is away."""
        while not self._stopping.is_set():
            try:
                self._take(self.work.step())
                self._pause = _FIRST_PAUSE
            except StoreUnavailableError as error:
                log.warning("task runner has no store error=%s pause=%.1f", error, self._pause)
                self._stopping.wait(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        with contextlib.suppress(StoreUnavailableError):  # then the task is lost with this process
            self.work.finish()

    def _take(self, word: str) -> None:
        if word == "gone":
            self._process.nudge()
            self._stopping.wait(_RENAME_PAUSE)
        elif word == "empty":
            self.sleeping = True
            try:
                if not self._stopping.is_set():
                    self._store.wait_for_work(self._pool, SLEEP_SECONDS)
            finally:
                self.sleeping = False

    def kick(self) -> None:
        """Wake it, if it sleeps. Errors: `StoreUnavailableError`."""
        self._store.kick(self._pool, 1)


class TaskRunners:
    """The task runners of one process. `start()` and `stop()` may be called twice."""

    def __init__(self, tasks: Tasks, threads: int = 3):
        self._tasks = tasks
        self._count = threads
        self._pool = secrets.token_hex(8)
        self._running: list[tuple[TaskRunner, LabThread]] = []

    def __repr__(self) -> str:
        return f"<TaskRunners {len(self._running)} of {self._count}>"

    def start(self) -> None:
        """Start the threads, and tell the lab with the next beat that this process runs tasks."""
        if self._running or self._count < 1:
            return
        process = self._tasks.services.process
        process.on_news(self._hear)
        process.add_role("tasks")
        self._running = [self._runner(number) for number in range(1, self._count + 1)]
        for _, thread in self._running:
            thread.start()

    def _runner(self, number: int) -> tuple[TaskRunner, LabThread]:
        # the runner needs the thread's own event, so the thread looks its runner up when it starts
        made: list[TaskRunner] = []
        thread = LabThread(f"task-{number}", lambda _: made[0].run())
        made.append(TaskRunner(self._tasks, thread.stopping, self._pool))
        return made[0], thread

    def _hear(self, news: BeatNews) -> None:
        """A task is queued and somebody sleeps: the token for it was lost with a runner that died."""
        asleep = sum(runner.sleeping for runner, _ in self._running)
        if news.queued_tasks and asleep:
            with contextlib.suppress(StoreUnavailableError):
                self._tasks.services.store.kick(self._pool, min(asleep, news.queued_tasks))

    def ask_to_stop(self) -> None:
        """Claim nothing more, ask the running tasks to stop, wake the sleepers. Returns at once."""
        for _, thread in self._running:
            thread.stopping.set()
        if self._running:
            with contextlib.suppress(StoreUnavailableError):  # then they find out when their read fails
                self._tasks.services.store.kick(self._pool, len(self._running))

    def stop(self, seconds: float) -> list[LabThread]:
        """Stop and wait at most `seconds` for the running tasks. Returns the threads of those that did not end; each
        such task has failed as lost, and nothing that it still does counts."""
        if not self._running:
            return []
        services = self._tasks.services
        services.process.forget(self._hear)
        services.process.drop_role("tasks")
        self.ask_to_stop()
        running, self._running = self._running, []
        left = stop_all([thread for _, thread in running], seconds)
        for runner, thread in running:
            if thread in left:
                with contextlib.suppress(StoreUnavailableError):  # then its process is buried, and the task with it
                    runner.work.give_up()
        return left
