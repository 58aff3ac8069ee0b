"""A task that was given up does nothing any more, to the hardware least of all; and nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from labkit import weblab_user
from labkit.errors import ReservationLostError, SessionLostError, StoreUnavailableError
from labkit.loop.task_runner import TaskRunners
from labkit.tasks import WebLabTask, current_task_stopping
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab
from tests.tasks.own_store import lab_with_tasks as lab_with_tasks
from tests.tasks.task_lab import GUARD, TaskLab, code_of, wait_until


@pytest.fixture
def small(tmp_path: Path, server: StoreServer) -> Iterator[SmallLab]:
    with SmallLab(tmp_path, server.url, devices=["toy"], benches=2) as lab:
        yield lab


def in_session(lab: SmallLab, function: Callable[[], Any]) -> Callable[[], str]:
    """Returns what calls a function in a view of one session."""
    lab.view("/do", lambda: str(function()))
    lab.up()
    session = lab.start(length=600)
    student = lab.student(session)
    return lambda: student.get("/do").text


def test_call_that_waits_for_the_device_does_not_reach_it_after_its_task_was_given_up(small: SmallLab) -> None:
    tasks: list[WebLabTask] = []

    @small.weblab.task()
    def hold() -> None:
        small.weblab.devices["toy"].within(GUARD).hang()

    @small.weblab.task(timeout=0.2)
    def late() -> None:
        small.weblab.devices["toy"].within(GUARD).write("late")

    world = small.worlds["bench-1/toy"]
    gate = world.hold("hang")
    begin = in_session(small, lambda: tasks.append((late if tasks else hold).delay()))
    begin()
    wait_until(lambda: "hang hangs" in world.acts, "the busy device")
    begin()
    wait_until(lambda: tasks[1].retrieve().failed, "the timeout")
    assert code_of(tasks[1]) == "timeout"
    gate.set()
    assert tasks[0].join(GUARD).done
    wait_until(lambda: small.weblab._workers._runners.abandoned == 0, "the abandoned thread")  # type: ignore[union-attr]
    assert "hung" in world.acts
    assert "late" not in world.acts


def test_task_that_was_given_up_changes_nothing(small: SmallLab) -> None:
    gate, refusals, tasks = threading.Event(), list[str](), list[WebLabTask]()

    @small.weblab.task(timeout=0.1)
    def deaf() -> None:
        data, devices = weblab_user.data, small.weblab.devices
        data["late"] = True
        gate.wait(GUARD)
        for act in (data.store, devices.acquire, lambda: devices["toy"].write("late"), deaf.delay, devices.release):
            try:
                act()
                refusals.append("none")
            except (SessionLostError, ReservationLostError) as error:
                refusals.append(type(error).__name__)

    begin = in_session(small, lambda: tasks.append(deaf.delay()))
    begin()
    wait_until(lambda: tasks[0].retrieve().failed, "the timeout")
    gate.set()
    wait_until(lambda: len(refusals) == 5, "what it tried")
    lost, reserved = "SessionLostError", "ReservationLostError"
    assert refusals == [lost, reserved, reserved, lost, reserved]
    record = small.read(tasks[0].session_id)
    assert list(record.fences) == ["bench-1"]
    assert small.lab.sessions.data(record.session_id) == {}


def test_task_that_raises_after_its_time_has_the_code_timeout_too(lab: TaskLab) -> None:
    @lab.tasks.task(timeout=0.05)
    def slow() -> None:
        wait_until(lambda: current_task_stopping)
        raise RuntimeError("stopped")

    with lab.request(lab.session()), lab.runners(1):
        assert code_of(slow.delay().join(GUARD)) == "timeout"


def test_end_that_could_not_be_told_gives_nothing_up() -> None:
    begun, gate = threading.Event(), threading.Event()
    with StoreServer() as server, TaskLab(server.url) as lab:

        @lab.tasks.task()
        def wait() -> None:
            begun.set()
            gate.wait(GUARD)

        with lab.request(lab.session()):
            wait.delay()
        work = lab.tasks.work(threading.Event())
        thread = threading.Thread(target=work.step)
        thread.start()
        assert begun.wait(GUARD)
        server.stop()
        with pytest.raises(StoreUnavailableError):
            work.give_up()
        assert not work.given_up
        gate.set()
        thread.join(GUARD)


def test_runner_outlives_a_keyboard_interrupt_of_its_task(lab: TaskLab) -> None:
    @lab.tasks.task(unique="global")
    def interrupt() -> None:
        raise KeyboardInterrupt

    with lab.runners(1), lab.request(lab.session()):
        for _ in range(2):  # the lock is free again, too
            assert code_of(interrupt.delay().join(GUARD)) == "exception"


def send_away(server: redis.Redis) -> set[int]:
    """Send away who waits for tasks. Returns the connections that did."""
    waiting = {int(client["id"]) for client in server.client_list() if client["cmd"] == "blpop"}
    return {client for client in waiting if server.client_unblock(client, error=True)}


def test_runner_outlives_a_store_that_sends_it_away(lab: TaskLab) -> None:
    """As a server does that becomes a replica."""
    with lab.runners(1) as runners, lab.request(lab.session()):
        wait_until(lambda: runners._running[0][0].sleeping)
        with redis.Redis.from_url(lab.url) as other:
            sent = wait_until(lambda: send_away(other), "a runner that sleeps")  # it says so before it does
            wait_until(lambda: not sent & {int(client["id"]) for client in other.client_list()}, "the connections' end")
        assert lab.tasks.functions["add"].delay(1, 2).join(GUARD).result == 3


def test_nothing_is_claimed_by_a_process_that_ends(lab: TaskLab) -> None:
    runners = TaskRunners(lab.tasks, 1)
    runners.start()
    wait_until(lab.kept.has_runner)
    runners.ask_to_stop()
    wait_until(lambda: not runners._running[0][1].is_alive())  # what a sleeping one is handed, it does
    with lab.on_dispose(session := lab.session()):
        lab.begin_ending(session, "dispose")
        task = lab.tasks.functions["add"].delay(1, 2)
    beats: list[object] = []
    lab.process.on_news(beats.append)
    for _ in range(3):
        before = len(beats)
        lab.process.nudge()
        wait_until(lambda before=before: len(beats) > before)  # type: ignore[misc]
    assert task.retrieve().submitted
    assert runners.stop(GUARD) == []


def test_ending_without_runners_gives_a_deaf_task_up_and_goes_on(lab: TaskLab) -> None:
    gate, ran = threading.Event(), list[str]()

    @lab.tasks.task(unique="global", timeout=0.1)
    def deaf() -> None:
        gate.wait(GUARD)

    @lab.tasks.task()
    def motor_off() -> None:
        ran.append("off")

    session = lab.session()
    lab.begin_ending(session, "dispose")
    try:
        with lab.on_dispose(session):
            task = deaf.delay()
            motor_off.delay()
        lab.tasks.run_urgent()
        assert (code_of(task), ran) == ("timeout", ["off"])
    finally:
        gate.set()


def test_claim_whose_answer_got_lost_is_given_back_and_the_task_runs(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = lab.tasks.functions["add"].delay(1, 2)
    work = lab.tasks.work(threading.Event())
    assert lab.kept.next(lab.process.id, work.id).claimed is not None  # its answer never came
    work.asked_as, work._again = lab.process.id, True
    work.finish()
    assert task.retrieve().submitted
    assert lab.tasks.run_pending() == 1
    assert task.retrieve().result == 3


def test_task_that_joins_another_one_gets_it_run(lab: TaskLab) -> None:
    add = lab.tasks.functions["add"]

    @lab.tasks.task()
    def outer() -> float:
        return float(add.delay(1, 2).join().result)

    with lab.runners(1), lab.request(lab.session()):
        assert outer.delay().join(GUARD).result == 3.0
