"""Task runners: each task at most once, whoever dies, stops, or loses the store."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from labkit.loop.task_runner import TaskRunner, TaskRunners
from labkit.store.tasks import LOST, TaskStatus
from labkit.tasks import WebLabTask, current_task_stopping, execution
from labkit.testing.store import StoreServer
from labkit.threads import LabThread
from tests.frozen import freeze, thaw
from tests.tasks.own_store import lab_with_tasks as lab_with_tasks
from tests.tasks.task_lab import GUARD, TaskLab, code_of, delay, register, wait_begun, wait_until


def owner_of(lab: TaskLab, task: WebLabTask) -> str:
    record = lab.kept.read(task.task_id)
    return record.owner if record is not None else ""


def test_submission_wakes_a_sleeping_runner(lab: TaskLab) -> None:
    with lab.runners(1), lab.request(lab.session()):
        for number in range(20):
            assert delay(lab, "add", number, 1).join(GUARD).result == number + 1


def test_one_runner_is_the_work_of_one_thread_and_a_kick_wakes_it(lab: TaskLab) -> None:
    made: list[TaskRunner] = []
    thread = LabThread("task-1", lambda _: made[0].run(), wake=lambda: made[0].kick())
    made.append(TaskRunner(lab.tasks, thread.stopping))
    thread.start()
    wait_until(lambda: made[0].sleeping)
    thread.stop()
    thread.join(GUARD)
    assert not thread.is_alive()


def test_runners_can_be_started_and_stopped_twice(lab: TaskLab) -> None:
    runners = TaskRunners(lab.tasks, 2)
    assert runners.stop(1.0) == []
    runners.start()
    runners.start()
    wait_until(lab.kept.has_runner)
    assert repr(runners) == "<TaskRunners 2 of 2>"
    assert [runners.stop(GUARD), runners.stop(1.0)] == [[], []]
    wait_until(lambda: not lab.kept.has_runner(), "the beat without the role")
    runners.start()
    with lab.request(lab.session()):
        assert delay(lab, "add", 1, 2).join(GUARD).result == 3
    assert runners.stop(GUARD) == []


def test_task_that_exits_kills_no_runner(lab: TaskLab) -> None:
    @lab.tasks.task()
    def leave() -> None:
        raise SystemExit(1)

    with lab.runners(1), lab.request(lab.session()):
        assert code_of(leave.delay().join(GUARD)) == "exception"
        assert delay(lab, "add", 1, 2).join(GUARD).done


def test_stopping_the_runners_asks_the_task_to_stop_and_keeps_its_result(lab: TaskLab) -> None:
    begun = threading.Event()

    @lab.tasks.task()
    def work() -> str:
        begun.set()
        wait_until(lambda: current_task_stopping)
        return "in order"

    with lab.request(lab.session()):
        with lab.runners(1):
            task = work.delay()
            waiting = delay(lab, "add", 1, 2)
            assert begun.wait(GUARD)
        assert task.retrieve().result == "in order"
        assert waiting.retrieve().submitted


def test_task_that_ignores_the_stop_is_lost_and_its_late_result_dropped(lab: TaskLab, tmp_path: Path) -> None:
    runners = TaskRunners(lab.tasks, 1)
    runners.start()
    with lab.request(lab.session()):
        task = delay(lab, "await_file", str(tmp_path / "go"))
    wait_begun(task)
    left = runners.stop(0.1)
    assert [thread.name for thread in left] == ["task-1"]
    assert code_of(task) == "lost"
    (tmp_path / "go").touch()
    left[0].join(GUARD)
    assert not left[0].is_alive()
    assert code_of(task) == "lost"


def raw(lab: TaskLab, *words: str) -> bytes:
    """The store's own answer to a command."""
    return bytes(lab.store.command(*words))


def beaten(lab: TaskLab, process: str, moment: float) -> None:
    """Have the store believe that a process has beaten last at this moment, in UTC seconds."""
    lab.store.command("ZADD", lab.store.keys["processes"], moment, process)


def asleep(lab: TaskLab) -> int:
    """How many runners the store knows to sleep."""
    return int(lab.store.command("LLEN", lab.store.keys["sleeping"]))


def test_task_that_is_queued_although_runners_sleep_is_found_with_the_beat(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2)
    lab.store.command("DEL", lab.store.keys["queue"])
    with lab.runners(1):
        wait_until(lambda: asleep(lab) == 1)
        lab.store.command("RPUSH", lab.store.keys["queue"], task.task_id)  # as one that is given back
        assert task.join(GUARD).done


def test_runner_that_the_store_forgot_to_sleep_finds_its_task_with_the_beat(lab: TaskLab) -> None:
    with lab.runners(1), lab.request(lab.session()):
        wait_until(lambda: asleep(lab) == 1)
        lab.store.command("DEL", lab.store.keys["sleeping"])
        assert delay(lab, "add", 1, 2).join(GUARD).done


def test_sleeping_runner_of_a_process_that_was_renamed_is_handed_tasks_again(lab: TaskLab) -> None:
    with lab.runners(1):
        wait_until(lambda: asleep(lab) == 1)
        old = lab.process.id
        lab.store.command("ZADD", lab.store.keys["processes"], 1000, old)
        wait_until(lambda: lab.process.id != old, "the new name")
        entry = f" {lab.process.id}".encode()
        wait_until(
            lambda: any(one.endswith(entry) for one in lab.store.command("LRANGE", lab.store.keys["sleeping"], 0, -1))
        )


def test_task_for_a_sleeper_that_was_just_killed_is_run_by_another_process(lab: TaskLab) -> None:
    child, process = lab.child()
    wait_until(lambda: asleep(lab) == 1)
    child.kill()
    wait_until(lambda: b"cmd=blpop" not in raw(lab, "CLIENT", "LIST"), "the end of its connections")
    with lab.reaping(), lab.request(lab.session()):
        beaten(lab, process, time.time() + 3)  # it still counts as alive, however long all this took
        task = delay(lab, "add", 1, 2)
        assert raw(lab, "HGET", lab.store.keys["running"], task.task_id) == process.encode()
        beaten(lab, process, 1000.0)
        with lab.runners(1):
            assert task.join(GUARD).result == 3
        assert owner_of(lab, task) == lab.process.id


def test_runner_that_is_about_to_stop_gives_back_what_it_is_handed(lab: TaskLab) -> None:
    stopping = threading.Event()
    runner = TaskRunner(lab.tasks, stopping)
    assert runner.work.step("sleep") == "empty"
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2)
    assert lab.kept.queued() == 0
    stopping.set()
    runner.run()  # which finds that it has to stop
    assert task.retrieve().submitted
    assert (lab.kept.queued(), asleep(lab)) == (1, 0)
    with lab.runners(1):
        assert task.join(GUARD).done


def test_runners_outlast_a_store_that_is_away_for_a_moment(tmp_path: Path) -> None:
    with StoreServer(append_only=True) as server, TaskLab(server.url) as lab:
        register(lab.tasks)
        with lab.runners(2), lab.request(lab.session()):
            task = delay(lab, "await_file", str(tmp_path / "go"))
            wait_begun(task)
            lab.store.now = time.time()  # stands still for the store: a moment, however long the machine takes for it
            server.stop()
            (tmp_path / "go").touch()  # it ends while nobody can be told
            server.start()
            assert task.join(GUARD).result == "late"
            assert delay(lab, "add", 1, 2).join(GUARD).done


def test_process_that_was_renamed_runs_the_next_task_under_its_new_name(lab: TaskLab, tmp_path: Path) -> None:
    with lab.reaping(), lab.runners(1), lab.request(lab.session()):
        task = delay(lab, "await_file", str(tmp_path / "go"))
        wait_begun(task)
        old = lab.process.id
        lab.store.command("ZADD", lab.store.keys["processes"], 1000, old)
        wait_until(lambda: lab.process.id != old, "the new name")
        assert code_of(task.join(GUARD)) == "lost"
        (tmp_path / "go").touch()
        following = delay(lab, "add", 1, 2)
        assert following.join(GUARD).done
        assert owner_of(lab, following) == lab.process.id
        assert code_of(task) == "lost"


def test_killed_process_loses_its_task_and_frees_its_unique_lock(lab: TaskLab, tmp_path: Path) -> None:
    child, process = lab.child()
    with lab.reaping(), lab.request(lab.session()):
        task = delay(lab, "alone", str(tmp_path / "go"))
        wait_begun(task)
        assert owner_of(lab, task) == process
        assert code_of(delay(lab, "alone", str(tmp_path / "go"))) == "exception"
        child.kill()
        (tmp_path / "go").touch()
        assert code_of(task.join(GUARD)) == "lost"
        with lab.runners(1):
            following = delay(lab, "alone", str(tmp_path / "go"))
            assert following.join(GUARD).result == following.task_id
        assert code_of(task) == "lost"  # and never runs again


def test_stopped_process_wakes_up_to_a_lost_task(lab: TaskLab, tmp_path: Path) -> None:
    child, process = lab.child()
    with lab.reaping(), lab.request(lab.session()):
        task = delay(lab, "await_file", str(tmp_path / "go"))
        wait_begun(task)
        freeze(child.pid)
        try:
            assert code_of(task.join(GUARD)) == "lost"
            (tmp_path / "go").touch()
        finally:
            thaw(child.pid)
        following = delay(lab, "note", str(tmp_path / "notes"), "awake")
        assert following.join(GUARD).done
        assert owner_of(lab, following) != process
        assert code_of(task) == "lost"
        assert task.result is None


def test_process_that_is_asked_to_end_does_so_in_order(lab: TaskLab, tmp_path: Path) -> None:
    child, _ = lab.child()
    with lab.request(lab.session()):
        task = delay(lab, "alone", str(tmp_path / "never"))
        wait_begun(task)
        child.terminate()
        assert task.join(GUARD).result == task.task_id
    assert child.wait(GUARD) == 0


@pytest.mark.timeout(300)  # it starts four processes, one after another
def test_many_processes_run_each_task_exactly_once(lab: TaskLab, tmp_path: Path) -> None:
    count, notes = 2000, tmp_path / "notes"
    with lab.request(lab.session()):
        tasks = [delay(lab, "note", str(notes), str(number)) for number in range(count)]
    children = [lab.child(threads=3)[1] for _ in range(4)]
    for task in tasks:
        task.join(GUARD * 3)
    assert all(task.done for task in tasks)
    assert Counter(notes.read_text().split()) == Counter(map(str, range(count)))
    assert {owner_of(lab, task) for task in tasks} <= set(children)
    assert lab.kept.queued() == 0


@pytest.mark.parametrize("busy", [False, True])
def test_task_whose_end_the_store_forgot_has_failed_soon(
    lab: TaskLab, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """Its process lives, so nobody buries it; also where its runner always has a task to do."""
    monkeypatch.setattr(execution, "LOOK_SECONDS", 0.2)
    with lab.runners(1), lab.request(lab.session()):
        task = delay(lab, "add", 1, 2).join(GUARD)
        before = lab.kept.read(task.task_id)
        assert before is not None
        key = lab.store.keys.of("task", task.task_id)
        lab.store.command("HSET", key, "status", "running", "result", "")
        lab.store.command("HSET", lab.store.keys["running"], task.task_id, before.owner)

        def failed() -> bool:
            if busy:
                delay(lab, "add", 3, 4).join(GUARD)
            kept = lab.kept.read(task.task_id)
            return kept is not None and (kept.status, kept.fields.get("error")) == (TaskStatus.FAILED, LOST)

        wait_until(failed, "its end")
        assert lab.store.command("HGET", lab.store.keys["running"], task.task_id) is None
