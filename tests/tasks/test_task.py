"""`WebLabTask`: a snapshot outside, the task itself inside."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest

from labkit.errors import NoContextError, NotStorableError, SessionLostError, TimeoutError, WebLabError
from labkit.tasks import WebLabTask, current_task, current_task_stopping
from tests.tasks.task_lab import GUARD, TaskLab, delay, wait_until


def run(lab: TaskLab, function: Callable[[], Any]) -> WebLabTask:
    made = lab.tasks.task()(function)
    with lab.request(lab.session()):
        task = made.delay()
    lab.tasks.run_pending()
    return task.retrieve()


def test_task_is_a_snapshot_that_retrieve_refreshes(lab: TaskLab) -> None:
    with lab.request(lab.session()) as bound:
        task = delay(lab, "add", 1, 2)
    assert bound is not None
    assert (task.status, task.submitted, task.finished, task.running) == ("submitted", True, False, False)
    lab.tasks.run_pending()
    assert task.status == "submitted"
    assert task.retrieve() is task
    assert (task.status, task.done, task.finished, task.failed, task.result, task.error) == (
        "done", True, True, False, 3, None,
    )  # fmt: skip
    assert (task.name, task.session_id, len(task.task_id)) == ("add", bound.session_id, 43)
    assert task.task_id in repr(task)


def test_tasks_are_equal_hash_and_sort_by_their_id(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        one, two = delay(lab, "add", 1, 2), delay(lab, "add", 1, 2)
        same = lab.tasks.get_task(one.task_id)
    assert same == one
    assert one != two
    assert one != one.task_id
    assert len({one, two, same}) == 2
    assert sorted([one, two]) == sorted([two, one], key=lambda task: task.task_id)
    assert (one < two) == (one.task_id < two.task_id)


def test_outside_a_task_there_is_no_current_one() -> None:
    assert bool(current_task) is False
    assert not current_task_stopping


def test_task_knows_itself(lab: TaskLab) -> None:
    task = run(lab, lambda: [current_task.task_id, current_task.name, current_task.status, bool(current_task)])
    assert task.result == [task.task_id, "<lambda>", "running", True]


def test_data_is_written_by_store_from_the_task(lab: TaskLab) -> None:
    def work() -> dict[str, Any]:
        current_task.data["percent"] = 0.8  # type: ignore[index]
        assert current_task.data == {"percent": 0.8}
        before = lab.tasks.get_task("work")
        assert before is not None
        assert current_task.store().data == {"percent": 0.8}
        assert before.retrieve().data == {"percent": 0.8}
        current_task.update_data({"raw": b"\x00"})
        current_task.data = {"raw": b"\x01"}  # never stored
        return dict(current_task.retrieve().data)

    task = run(lab, work)
    assert task.error is None
    assert task.data == task.result == {"raw": b"\x00"}


def test_data_can_not_be_changed_outside_but_shown_as_json(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2)
    with pytest.raises(TypeError):
        task.data["a"] = 1  # type: ignore[index]
    for change in (lambda: setattr(task, "data", {}), lambda: task.update_data({}), task.store):
        with pytest.raises(NoContextError, match="in that task itself"):
            change()
    with pytest.raises(NoContextError):
        task.progress(0.5)
    with lab.app.app_context():
        assert flask.jsonify(task.data).get_json() == {}


def test_data_that_cannot_be_stored_is_refused_by_name(lab: TaskLab) -> None:
    def work() -> str:
        current_task.data = {"a": object()}
        with pytest.raises(NotStorableError, match=r"value\['a'\]"):
            current_task.store()
        return "went on"

    assert run(lab, work).result == "went on"


def test_progress_and_log_reach_the_feed_of_the_session(lab: TaskLab) -> None:
    def work() -> None:
        current_task.progress(0.4, "writing")
        current_task.progress(7)
        current_task.log("half way")

    task = run(lab, work)
    told = [fields for _, fields in lab.sessions.events(task.session_id, "0-0", 1.0)]
    assert [json.loads(fields["progress"]) for fields in told if "progress" in fields] == [
        {"part": 0.4, "text": "writing"},
        {"part": 1.0, "text": ""},
    ]
    assert [json.loads(fields["log"]) for fields in told if "log" in fields] == ["half way"]


def test_stop_is_seen_in_the_task_and_nowhere_else(lab: TaskLab) -> None:
    begun = threading.Event()

    @lab.tasks.task()
    def work() -> str:
        begun.set()
        wait_until(lambda: current_task_stopping)
        assert current_task.stopping
        return "stopped"

    with lab.runners(1), lab.request(lab.session()):
        task = work.delay()
        assert begun.wait(GUARD)
        assert not task.stopping
        assert task.stop().stopping
        assert task.join(GUARD).result == "stopped"
        assert not current_task_stopping


def test_tight_loop_over_stopping_does_not_flood_the_store(lab: TaskLab) -> None:
    def work() -> None:
        for _ in range(1000):
            assert not current_task_stopping

    def calls() -> int:
        return int(lab.store.command("INFO", "commandstats")["cmdstat_evalsha"]["calls"])

    before = calls()
    assert run(lab, work).done
    assert calls() - before < 200


def test_stopping_is_also_seen_by_a_thread_of_the_task(lab: TaskLab) -> None:
    def work() -> bool:
        task, seen = current_task._get_current_object(), threading.Event()  # type: ignore[attr-defined]
        task.stop()

        def look() -> None:
            wait_until(lambda: task.stopping)
            seen.set()

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(GUARD)
        return seen.is_set()

    assert run(lab, work).result is True


def test_submitted_task_that_was_stopped_still_runs(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2).stop()
    assert (task.status, task.stopping) == ("submitted", True)
    lab.tasks.run_pending()
    assert task.retrieve().result == 3


def test_all_who_join_come_back_and_from_plain_threads(lab: TaskLab, tmp_path: Path) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "await_file", str(tmp_path / "go"))
        seen = [lab.tasks.get_task(task.task_id) for _ in range(5)]
    results: list[object] = []
    threads = [threading.Thread(target=lambda one=one: results.append(one.join().result)) for one in seen]
    for thread in threads:
        thread.start()
    with lab.runners(1):
        (tmp_path / "go").touch()
        for thread in threads:
            thread.join(GUARD)
    assert results == ["late"] * 5


def test_join_with_a_limit_raises_unless_told_not_to(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = delay(lab, "add", 1, 2)
    with pytest.raises(TimeoutError, match=r"'add' has not ended within 0.01 s") as caught:
        task.join(timeout=0.01)
    assert isinstance(caught.value, WebLabError)
    assert task.join(timeout=0, error_on_timeout=False) is task
    assert task.submitted


def test_task_that_joins_itself_fails_with_deadlock(lab: TaskLab) -> None:
    task = run(lab, lambda: current_task.join())
    assert task.error is not None
    assert task.error["class"] == "RuntimeError"
    assert task.error["message"].startswith("Deadlock")


def test_one_task_can_join_another(lab: TaskLab) -> None:
    @lab.tasks.task()
    def outer() -> Any:
        return lab.tasks.functions["add"].run_sync(20, 22).result

    with lab.runners(2), lab.request(lab.session()):
        assert outer.delay().join(GUARD).result == 42


def test_task_that_was_taken_for_dead_sees_it(lab: TaskLab) -> None:
    seen: list[object] = []

    def work() -> None:
        process = lab.process.id
        lab.store.command("ZADD", lab.store.keys["processes"], 1000, process)
        lab.kept.bury(process)
        seen.append(bool(current_task_stopping))
        with pytest.raises(SessionLostError, match="taken for dead"):
            current_task.store()
        with pytest.raises(SessionLostError):
            current_task.log("late")

    task = run(lab, work)
    assert seen == [True]
    assert task.error is not None
    assert task.error["code"] == "lost"
