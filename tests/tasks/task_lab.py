"""A lab that has nothing but tasks: a real store, a beating process, sessions. Also a program that runs its tasks.

As a program: `python task_lab.py STORE_URL PREFIX THREADS`. It prints its process's id, and ends with SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from flask import Flask

from labkit.context import BoundSession, Purpose, session_bound
from labkit.loop.task_runner import TaskRunners
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.connection import Store
from labkit.store.processes import BeatNews, Processes
from labkit.store.sessions import EndReason, NewSession, Sessions, Started
from labkit.store.tasks import TaskStore
from labkit.tasks import Tasks, TaskServices, WebLabTask, current_task, current_task_stopping
from tests.toy import GUARD as GUARD
from tests.toy import wait_until as wait_until


def code_of(task: WebLabTask) -> str:
    """The code of a task's error, or what it says where it has none."""
    error = task.retrieve().error
    return str(error["code"]) if error else f"no error, {task.status}"


class TaskLab:
    """One process of a lab with tasks. Use it with `with`; the process beats inside."""

    def __init__(self, url: str, prefix: str = ""):
        self.url = url
        self.prefix = prefix or f"test-{secrets.token_hex(4)}"
        self.store = Store(url, self.prefix)
        self.kept = TaskStore(self.store)
        self.sessions = Sessions(self.store)
        self.processes = Processes(self.store)
        self.process = LabProcess(self.processes, "here")
        self.app = Flask("lab")
        self.tasks = Tasks(lambda: self.services)
        self._children: list[subprocess.Popen[str]] = []

    @property
    def services(self) -> TaskServices:
        return TaskServices(store=self.kept, process=self.process, settings=Settings(), entered=self.entered)

    @contextlib.contextmanager
    def entered(self, bound: BoundSession) -> Iterator[None]:
        with self.app.app_context(), session_bound(bound):
            yield

    def __enter__(self) -> TaskLab:
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
            child.communicate(timeout=GUARD)
        self.process.stop()
        self.store.close()

    def session(self, *, seconds: float = 600.0, active: bool = True) -> str:
        """Start a session, and with `active` let it become active."""
        session_id = secrets.token_urlsafe(32)
        new = NewSession(
            session_id=session_id, user={}, slot_start=None, slot_length=seconds, timeout=0, start_timeout=60, bench="-"
        )
        assert isinstance(self.sessions.start(new, self.process.id), Started)
        if active:
            assert self.sessions.activate(session_id, self.process.id) == "active"
        return session_id

    def begin_ending(self, session_id: str, step: str = "tasks") -> int:
        """End a session and claim its ending. Returns the ending's fence."""
        self.sessions.end(session_id, EndReason.DISPOSED)
        claimed = self.sessions.claim_ending(session_id, self.process.id, 60)
        assert not isinstance(claimed, str), claimed
        fence = int(claimed.fields["fence"])
        assert self.sessions.step(session_id, self.process.id, fence, step)
        return fence

    def expire(self, session_id: str, keep: float = 3600) -> None:
        """End a session to the last step."""
        fence = self.begin_ending(session_id)
        assert self.sessions.finish(session_id, self.process.id, fence, keep)

    def request(self, session_id: str) -> contextlib.AbstractContextManager[BoundSession | None]:
        """Be a view of this session."""
        return session_bound(BoundSession(session_id=session_id, purpose=Purpose.REQUEST))

    def on_dispose(self, session_id: str) -> contextlib.AbstractContextManager[BoundSession | None]:
        """Be `on_dispose` of this session."""
        return session_bound(
            BoundSession(session_id=session_id, purpose=Purpose.ENDING, owner=self.process.id, fences={"bench-1": 7})
        )

    @contextlib.contextmanager
    def runners(self, threads: int = 3) -> Iterator[TaskRunners]:
        """Task runners in this process; they have to end in order."""
        runners = TaskRunners(self.tasks, threads)
        runners.start()
        wait_until(self.kept.has_runner, "the beat with the role")
        try:
            yield runners
        finally:
            assert runners.stop(GUARD) == []

    def child(self, threads: int = 1) -> tuple[subprocess.Popen[str], str]:
        """A process that runs the tasks of `register`, and its id in the store."""
        command = [sys.executable, __file__, self.url, self.prefix, str(threads)]
        root = str(Path(__file__).parents[2])
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": root}
        )
        self._children.append(child)
        assert child.stdout is not None
        process = child.stdout.readline().strip()
        assert process, "the child did not start"
        return child, process

    @contextlib.contextmanager
    def reaping(self) -> Iterator[None]:
        """Bury what a beat says is gone, as a reaper does."""

        def bury(news: BeatNews) -> None:
            for process in news.gone:
                self.kept.bury(process)

        self.process.on_news(bury)
        try:
            yield
        finally:
            self.process.forget(bury)


def register(tasks: Tasks) -> None:
    """The tasks that both a test and its child processes know."""

    @tasks.task()
    def add(a: float, b: float) -> float:
        return a + b

    @tasks.task()
    def note(path: str, line: str) -> None:
        """Add a line to a file, in one write."""
        with open(path, "ab", buffering=0) as file:
            file.write(f"{line}\n".encode())

    @tasks.task()
    def await_file(path: str) -> str:
        """Run until there is a file; deaf to a stop."""
        current_task.update_data({"begun": True})
        wait_until(Path(path).exists, path)
        return "late"

    @tasks.task(unique="global")
    def alone(path: str) -> str:
        current_task.update_data({"begun": True})
        wait_until(lambda: Path(path).exists() or current_task_stopping, path)
        return str(current_task.task_id)


def delay(lab: TaskLab, name: str, *args: object) -> WebLabTask:
    """Submit a registered task by its name."""
    return lab.tasks.functions[name].delay(*args)


def wait_begun(task: WebLabTask) -> None:
    """Wait until one of those that wait for a file is at it. One that is `running` may be handed back still."""
    wait_until(lambda: task.retrieve().data.get("begun"), "the task to begin")


def main(url: str, prefix: str, threads: str) -> None:
    signals = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with TaskLab(url, prefix) as lab:
        register(lab.tasks)
        runners = TaskRunners(lab.tasks, int(threads))
        runners.start()
        print(lab.process.id, flush=True)
        signal.sigwait(signals)
        runners.stop(GUARD)


if __name__ == "__main__":
    main(*sys.argv[1:])
