"""`@weblab.task()`: the function stays one, `delay` submits, `run_sync` waits."""

from __future__ import annotations

import inspect

import pytest

from labkit.errors import NoContextError, NotStorableError, WebLabNotInitializedError
from labkit.tasks import TaskFunction, Tasks, TaskServices, function
from tests.tasks.task_lab import TaskLab, delay


def uninitialized() -> TaskServices:
    raise WebLabNotInitializedError("call init_app first")


@pytest.fixture
def tasks() -> Tasks:
    """The tasks of a WebLab that has no app yet."""
    return Tasks(uninitialized)


def test_task_can_be_defined_before_there_is_a_lab_and_called_directly(tasks: Tasks) -> None:
    @tasks.task()
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert add(5, b=3) == 8
    assert (add.name, getattr(add, "__name__", ""), add.__doc__) == ("add", "add", "Add.")
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert isinstance(add, TaskFunction)
    with pytest.raises(WebLabNotInitializedError):
        add.delay(1)


def test_two_tasks_of_one_name_are_refused(tasks: Tasks) -> None:
    def work() -> None: ...

    tasks.task()(work)
    with pytest.raises(ValueError, match=r"same name, 'work'"):
        tasks.task()(work)


def test_name_as_long_as_an_id_is_refused(tasks: Tasks) -> None:
    def work() -> None: ...

    work.__name__ = "w" * 43
    with pytest.raises(ValueError, match="number of characters"):
        tasks.task()(work)
    work.__name__ = "w" * 44
    tasks.task()(work)


@pytest.mark.parametrize("unique", ["session", "", True, lambda: None])
def test_unique_is_one_of_three_values(tasks: Tasks, unique: object) -> None:
    with pytest.raises(ValueError, match="None, 'user' or 'global'"):
        tasks.task(unique=unique)  # type: ignore[arg-type]


def test_delay_needs_a_session(lab: TaskLab) -> None:
    with pytest.raises(NoContextError):
        delay(lab, "add", 1, 2)


def test_delay_refuses_what_cannot_be_stored_by_name(lab: TaskLab) -> None:
    with lab.request(lab.session()), pytest.raises(NotStorableError, match=r"value\[0\]\[1\] is of type object"):
        delay(lab, "add", 1, object())
    assert lab.kept.queued() == 0


def test_arguments_arrive_as_they_were_given(lab: TaskLab) -> None:
    seen: list[object] = []

    @lab.tasks.task()
    def keep(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))

    with lab.request(lab.session()):
        keep.delay(1, b"\x00\xff", "ä", key={"$bytes": [None]})
    lab.tasks.run_pending()
    assert seen == [((1, b"\x00\xff", "ä"), {"key": {"$bytes": [None]}})]


@pytest.mark.parametrize(("unique", "elsewhere"), [("user", "submitted"), ("global", "failed")])
def test_losing_unique_task_fails_at_once_and_delay_does_not_raise(lab: TaskLab, unique: str, elsewhere: str) -> None:
    @lab.tasks.task(unique=unique)
    def program() -> None: ...

    with lab.request(lab.session()):
        winner, loser = program.delay(), program.delay()
    assert (winner.status, loser.status) == ("submitted", "failed")
    assert loser.error is not None
    assert (loser.error["code"], loser.error["class"]) == ("exception", "AlreadyRunningError")
    assert "'program'" in loser.error["message"]
    with lab.request(lab.session()):
        assert program.delay().status == elsewhere
    lab.tasks.run_pending()
    assert winner.retrieve().done
    with lab.request(winner.session_id):
        assert program.delay().submitted


def test_run_sync_gives_the_ended_task(lab: TaskLab) -> None:
    with lab.runners(1), lab.request(lab.session()):
        task = lab.tasks.functions["add"].run_sync(2, b=3)
    assert (task.status, task.result) == ("done", 5)


def test_run_sync_gives_the_unfinished_task_when_its_time_is_over(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        task = lab.tasks.functions["add"].run_sync(2, 3, timeout=0.05)
    assert task.status == "submitted"


def test_run_sync_without_any_runner_fails_and_the_task_never_runs(
    lab: TaskLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "NO_RUNNER_AFTER", 0.5)
    with lab.request(lab.session()):
        task = lab.tasks.functions["add"].run_sync(2, 3)
    assert task.error is not None
    assert task.error["code"] == "no-runner"
    assert "labkit loop" in task.error["message"]
    assert lab.tasks.run_pending() == 0


def test_run_sync_of_a_losing_unique_task_comes_back_at_once(lab: TaskLab) -> None:
    with lab.request(lab.session()):
        delay(lab, "alone", "/nowhere")
        assert lab.tasks.functions["alone"].run_sync("/nowhere").failed
