"""The threads that run tasks, in a loop or in a web process. Started by the supervisor.

A runner that finds nothing to do sleeps in a blocking read. A submission hands its task to one that sleeps, and a kick
wakes those of one process.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading

from labkit.errors import StoreUnavailableError
from labkit.store.processes import BeatNews
from labkit.store.tasks import TIMED_OUT, TaskRecord
from labkit.tasks import Tasks, execution
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop.tasks")

SLEEP_SECONDS = 600.0
MOST_EXTRA = 64
"""Threads beside the runners, at most: each runs one task that a start, an ending or another task waits for."""
_RENAME_PAUSE = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


class TaskRunner:
    """Runs one task after another until it is stopped: the work of one thread. pool: whose kicks wake it.

    urgent: it runs only tasks that somebody waits for who holds up others, and ends where there is none.
    """

    def __init__(self, tasks: Tasks, stopping: threading.Event, pool: str = "", *, urgent: bool = False):
        self._store = tasks.services.store
        self._process = tasks.services.process
        self._stopping = stopping
        self._pool = pool or secrets.token_hex(8)
        self._pause = _FIRST_PAUSE
        self._urgent = urgent
        self._done = False
        self._looked = False
        """Whether it has slept, and asked again, since it ran a task."""
        self.work = tasks.work(stopping)
        self.sleeping = False

    def run(self) -> None:
        """Run tasks until `stopping` is set and the task that runs then has ended. Outlasts a store that is away."""
        while not self._stopping.is_set() and not self.work.given_up and not self._done:
            try:
                self._take(self.work.step("urgent" if self._urgent else "sleep"))
                self._pause = _FIRST_PAUSE
            except KeyboardInterrupt:
                continue  # a task's own; its end is told with the next step
            except StoreUnavailableError as error:
                log.warning("task runner has no store error=%s pause=%.1f", error, self._pause)
                self._stopping.wait(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            except Exception:  # a runner that is gone would be missed for ever
                log.exception("task runner failed and goes on pause=%.1f", self._pause)
                self._stopping.wait(self._pause)
        with contextlib.suppress(StoreUnavailableError):  # then the task is lost with this process
            self.work.finish()

    def _take(self, word: str) -> None:
        if word == "ran":
            self._looked = False
        elif word == "gone":
            self._process.nudge()
            self._stopping.wait(_RENAME_PAUSE)
        elif word == "empty" and self._urgent:
            self._done = True
        elif word == "empty" and not self._stopping.is_set():
            handed = self._sleep()
            self._looked = handed is None
            if handed is not None and not self._stopping.is_set():
                self.work.run(handed)

    def _sleep(self) -> TaskRecord | None:
        """Only for a moment at first: with its next question it hears of a task whose end the store forgot."""
        self.sleeping = True
        try:
            return self.work.sleep(self._pool, SLEEP_SECONDS if self._looked else execution.LOOK_SECONDS)
        finally:
            self.sleeping = False

    def kick(self) -> None:
        """Wake it, if it sleeps. Errors: `StoreUnavailableError`."""
        self._store.kick(self._pool, 1)


class TaskRunners:
    """The task runners of one process. `start()` and `stop()` may be called twice.

    Two kinds of thread come beside them. A runner whose task is over its `timeout` and does not end is abandoned, and
    another takes its place. Where all are busy and an ending, a start or a task waits, one more runs what it waits for.
    """

    def __init__(self, tasks: Tasks, threads: int = 3):
        self._tasks = tasks
        self._count = threads
        self._made = 0
        self._lock = threading.Lock()
        self._ending = False
        self._pool = secrets.token_hex(8)
        self._running: list[tuple[TaskRunner, LabThread]] = []
        self._extra: list[tuple[TaskRunner, LabThread]] = []
        self._abandoned: list[LabThread] = []

    def __repr__(self) -> str:
        abandoned = f" abandoned={self.abandoned}" if self.abandoned else ""
        return f"<TaskRunners {len(self._running)} of {self._count}{abandoned}>"

    @property
    def abandoned(self) -> int:
        """How many threads are still in a task that was given up."""
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        return len(self._abandoned)

    def start(self) -> None:
        """Start the threads, and tell the lab with the next beat that this process runs tasks."""
        if self._running or self._count < 1:
            return
        process = self._tasks.services.process
        process.on_news(self._hear)
        process.add_role("tasks")
        self._ending = False
        self._running = [self._runner() for _ in range(self._count)]
        for _, thread in self._running:
            thread.start()

    def _runner(self, *, urgent: bool = False) -> tuple[TaskRunner, LabThread]:
        # the runner needs the thread's own event, so the thread looks its runner up when it starts
        made: list[TaskRunner] = []
        self._made += 1
        name = f"task-{self._made}{'-urgent' if urgent else ''}"
        thread = LabThread(name, lambda _: made[0].run())
        made.append(TaskRunner(self._tasks, thread.stopping, self._pool, urgent=urgent))
        return made[0], thread

    def _hear(self, news: BeatNews) -> None:
        """On the beat's thread: quick."""
        with self._lock, contextlib.suppress(StoreUnavailableError):  # then with a later beat
            if self._ending:
                return
            for runner, thread in [*self._running, *self._extra]:
                if runner.work.overdue and runner.work.give_up(TIMED_OUT):
                    self._replace(runner, thread)
            asleep = [runner for runner, _ in self._running if runner.sleeping]
            name = self._tasks.services.process.id
            if asleep and (news.queued_tasks or any(runner.work.asked_as != name for runner in asleep)):
                # a task was given back, or no task would be handed to them: the store knows them by the old name
                self._tasks.services.store.kick(self._pool, len(asleep))
            self._extra = [pair for pair in self._extra if pair[1].is_alive()]
            if news.urgent_tasks and not asleep and len(self._extra) < MOST_EXTRA:
                self._extra.append(self._runner(urgent=True))
                self._extra[-1][1].start()

    def _replace(self, runner: TaskRunner, thread: LabThread) -> None:
        """A thread can't be killed: it is left behind, and a new one takes its place."""
        self._abandoned.append(thread)
        if (runner, thread) in self._extra:
            self._extra.remove((runner, thread))
            return
        place = self._running.index((runner, thread))
        self._running[place] = self._runner()
        self._running[place][1].start()

    def ask_to_stop(self) -> None:
        """Claim nothing more, ask the running tasks to stop, wake the sleepers. Returns at once. Twice is fine."""
        with self._lock:
            first, self._ending = not self._ending, True
        for _, thread in [*self._running, *self._extra]:
            thread.stopping.set()
        if first and self._running:
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
        running, self._running, self._extra = [*self._running, *self._extra], [], []
        left = stop_all([thread for _, thread in running], seconds)
        with contextlib.suppress(StoreUnavailableError):  # then its process is buried, and the tasks with it
            for runner, thread in running:
                if thread in left:
                    runner.work.give_up()
        return left
