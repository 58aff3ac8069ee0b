"""What a start, an ending or a task waits for runs first, and also where all runners are busy."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from labkit.context import BoundSession, Purpose, session_bound
from labkit.tasks import current_task
from labkit.testing.store import StoreServer
from tests.tasks.task_lab import GUARD, TaskLab, wait_until


class Busy:
    """A lab with one runner, which is in the middle of a task until `gate` is set."""

    def __init__(self, lab: TaskLab):
        self.lab = lab
        self.gate = threading.Event()
        self.ran: list[str] = []
        self.session = lab.session()

        @lab.tasks.task()
        def occupy() -> None:
            self.gate.wait(GUARD)

        @lab.tasks.task()
        def note(word: str) -> str:
            self.ran.append(word)
            return word

        @lab.tasks.task()
        def nest(depth: int) -> int:
            return 1 + nest.run_sync(depth - 1).result if depth else 0

        self.occupy, self.note, self.nest = occupy, note, nest

    def begin(self) -> None:
        with self.lab.request(self.session):
            task = self.occupy.delay()
        wait_until(lambda: task.retrieve().running, "the busy runner")


@pytest.fixture
def busy(server: StoreServer) -> Iterator[Busy]:
    with TaskLab(server.url) as lab, lab.runners(1):
        made = Busy(lab)
        made.begin()
        try:
            yield made
        finally:
            made.gate.set()


def ending(lab: TaskLab) -> contextlib.AbstractContextManager[object]:
    """Be `on_dispose` of a session of its own."""
    session = lab.session()
    lab.begin_ending(session, "dispose")
    return lab.on_dispose(session)


def starting(lab: TaskLab) -> contextlib.AbstractContextManager[object]:
    """Be `on_start` of a session of its own."""
    session = lab.session(active=False)
    return session_bound(BoundSession(session_id=session, purpose=Purpose.START, owner=lab.process.id))


@pytest.mark.parametrize("hook", [ending, starting], ids=["on_dispose", "on_start"])
def test_run_sync_of_a_hook_runs_while_all_runners_are_busy(busy: Busy, hook: object) -> None:
    with hook(busy.lab):  # type: ignore[operator]
        assert busy.note.run_sync("hook", timeout=GUARD).result == "hook"


def test_what_an_ending_submits_runs_while_all_runners_are_busy(busy: Busy) -> None:
    with ending(busy.lab):
        assert busy.note.delay("late").join(GUARD).result == "late"


def test_view_waits_for_its_turn(busy: Busy) -> None:
    with busy.lab.request(busy.session):
        task = busy.note.run_sync("view", timeout=3.0)
        assert task.submitted
        busy.gate.set()
        assert task.join(GUARD).result == "view"


def test_what_holds_others_up_is_claimed_first(busy: Busy) -> None:
    with busy.lab.request(busy.session):
        first = busy.note.delay("first come")
    with ending(busy.lab):
        busy.note.delay("ending").join(GUARD)
    busy.gate.set()
    first.join(GUARD)
    assert busy.ran == ["ending", "first come"]


def test_tasks_that_wait_for_tasks_never_wait_for_each_others_threads(busy: Busy) -> None:
    busy.gate.set()
    with busy.lab.request(busy.session):
        assert busy.nest.run_sync(3, timeout=GUARD).result == 3


def test_threads_that_came_for_it_go_again(busy: Busy) -> None:
    def extra() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.endswith("-urgent")]

    with ending(busy.lab):
        busy.note.run_sync("hook", timeout=GUARD)
    wait_until(lambda: not extra(), "the end of the extra threads")
    assert busy.lab.kept.queued() == 0


def test_ending_runs_its_tasks_by_itself_where_nobody_runs_any(server: StoreServer) -> None:
    with TaskLab(server.url) as lab:

        @lab.tasks.task()
        def inner() -> str:
            return "inner"

        @lab.tasks.task()
        def outer() -> list[str]:
            return [inner.run_sync().result, str(current_task.name)]

        with lab.request(lab.session()):
            foreign = inner.delay()
        with ending(lab):
            assert outer.run_sync(timeout=GUARD).result == ["inner", "outer"]
        assert foreign.retrieve().submitted, "an ending runs nobody else's tasks"
