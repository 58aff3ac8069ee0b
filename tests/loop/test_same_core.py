"""Threads that take turns on one core: who is bound, to what, and for how long."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from labkit.loop import same_core
from labkit.loop.same_core import Sleeper
from labkit.threads import LabThread
from tests.toy import GUARD, wait_until

EVERYWHERE = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def this_thread_stays_free() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, EVERYWHERE)


@pytest.fixture
def no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without them."""
    monkeypatch.setattr(same_core, "_core_now", None)


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that refuses them, as a container may."""

    def refuse(thread: int, cores: set[int]) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(same_core, "_run_on", refuse)


class Waiter:
    """A thread that waits to be woken, and writes down where it could run then."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.sleeper = Sleeper()
        self.thread = LabThread("waiter", self._work)
        self.woken: list[set[int]] = []
        self.after: list[set[int]] = []
        self.waits = False

    def _work(self, stopping: threading.Event) -> None:
        with self.lock:
            self.sleeper.sleeps()
            self.waits = True
            assert self.lock.wait(GUARD)
            self.woken.append(os.sched_getaffinity(0))
            self.sleeper.awake()
            self.after.append(os.sched_getaffinity(0))

    def sleep(self) -> None:
        self.thread.start()
        wait_until(lambda: self.waits, "the thread to wait")

    def wake(self, times: int = 1) -> None:
        with self.lock:
            for _ in range(times):
                self.sleeper.come_here()
            self.lock.notify()
        self.thread.join(GUARD)


@pytest.mark.parametrize("core", sorted(EVERYWHERE))
@pytest.mark.parametrize("times", [1, 2])
def test_sleeper_is_woken_on_the_core_of_who_wakes_it_and_is_free_at_once(core: int, times: int) -> None:
    waiter = Waiter()
    waiter.sleep()
    os.sched_setaffinity(0, {core})
    waiter.wake(times)
    assert waiter.woken == [{core}]
    assert waiter.after == [EVERYWHERE]


def test_thread_that_does_not_sleep_is_left_alone() -> None:
    sleeper = Sleeper()
    sleeper.sleeps()
    sleeper.awake()
    sleeper.come_here()
    assert os.sched_getaffinity(0) == EVERYWHERE


def test_bound_thread_gets_its_cores_back() -> None:
    cores = same_core.bind()
    assert len(os.sched_getaffinity(0)) == 1
    same_core.free(cores)
    assert os.sched_getaffinity(0) == EVERYWHERE


def test_thread_that_somebody_bound_already_stays_so() -> None:
    core = {min(EVERYWHERE)}
    os.sched_setaffinity(0, core)
    assert same_core.bind() is None
    assert os.sched_getaffinity(0) == core


def test_thread_that_is_gone_is_no_error() -> None:
    ended = LabThread("ended", lambda stopping: None)
    ended.start()
    ended.join(GUARD)
    assert ended.native_id is not None
    gone = ended.native_id
    wait_until(lambda: same_core.bind(gone) is None, "the kernel to forget the thread")


@pytest.mark.usefixtures("no_calls")
def test_system_without_these_calls_does_nothing() -> None:
    _nothing_is_bound()


@pytest.mark.usefixtures("forbidden")
def test_system_that_refuses_them_does_nothing() -> None:
    _nothing_is_bound()
    same_core.free(EVERYWHERE)  # as where the cores were taken from the process meanwhile


def _nothing_is_bound() -> None:
    assert same_core.bind() is None
    waiter = Waiter()
    waiter.sleep()
    waiter.wake()
    assert waiter.woken == waiter.after == [EVERYWHERE]
