"""What a task is while it runs, and how each way of ending is written down."""

from __future__ import annotations

import sys
from typing import Any

import flask
import pytest

from labkit.context import BoundSession, Purpose, bound_session
from labkit.tasks import TaskFunction, current_task
from tests.tasks.task_lab import TaskLab


def run(lab: TaskLab, function: Any, *args: object) -> Any:
    """Run a function as a task of a new session. Returns the ended task."""
    made: TaskFunction[Any, Any] = lab.tasks.task()(function)
    with lab.request(lab.session()):
        task = made.delay(*args)
    assert lab.tasks.run_pending() == 1
    return task.retrieve()


def test_task_acts_for_its_session_under_its_fences(lab: TaskLab) -> None:
    seen: list[BoundSession | None] = []

    @lab.tasks.task()
    def look() -> None:
        seen.append(bound_session())

    session = lab.session()
    with lab.request(session) as bound:
        assert bound is not None
        bound.fences.update({"bench-2": 9, "bench-1": 1763805600000001})
        task = look.delay()
    lab.tasks.run_pending()
    (found,) = seen
    assert found == BoundSession(
        session_id=session, purpose=Purpose.TASK, fences={"bench-2": 9, "bench-1": 1763805600000001},
        owner=lab.process.id, task_id=task.task_id,
    )  # fmt: skip
    assert found is not None
    assert list(found.fences) == ["bench-2", "bench-1"]  # in the order of reservation


def test_task_of_an_ending_acts_for_the_ending_and_so_do_its_own(lab: TaskLab) -> None:
    seen: list[tuple[str, dict[str, int]]] = []

    @lab.tasks.task()
    def halt(more: bool) -> None:
        bound = bound_session()
        assert bound is not None
        seen.append((bound.purpose.value, bound.fences))
        if more:
            halt.delay(False)

    session = lab.session()
    lab.begin_ending(session, "dispose")
    with lab.on_dispose(session):
        halt.delay(True)
    assert (lab.tasks.run_pending(), lab.tasks.run_pending()) == (1, 1)
    assert seen == [("ending", {"bench-1": 7}), ("ending", {"bench-1": 7})]


def test_task_has_an_app_context_and_no_request_also_when_run_inside_one(lab: TaskLab) -> None:
    def look() -> list[object]:
        return [flask.current_app.name, flask.has_request_context()]

    with lab.app.test_request_context("/view"):
        assert run(lab, look).result == ["lab", False]
        assert flask.request.path == "/view"


def test_task_leaves_nothing_behind_for_the_next(lab: TaskLab) -> None:
    run(lab, lambda: None)
    assert bound_session() is None
    assert bool(current_task) is False
    assert current_task == None  # noqa: E711 - it is a proxy


class Odd(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Odder(Exception):
    def __str__(self) -> str:
        raise SystemExit


def fail() -> None:
    raise KeyError("wörk")


def leave() -> None:
    sys.exit(3)


def odd() -> None:
    raise Odd


def odder() -> None:
    raise Odder


def upper(text: str) -> str:
    return text.upper()


def endless() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (fail, "KeyError", "'wörk'"),
        (leave, "SystemExit", "3"),
        (odd, "Odd", "can't be shown"),
        (odder, "Odder", "can't be shown"),
        (lambda: object(), "NotStorableError", "value is of type object"),
        (lambda: float("nan"), "NotStorableError", "value is nan"),
        (endless, "NotStorableError", "nested deeper"),
        (lambda: 10**5000, "NotStorableError", "digits"),
        (lambda missing: None, "TypeError", "missing"),
    ],
    ids=[
        "raises",
        "exits",
        "unprintable",
        "exits when shown",
        "unstorable",
        "nan",
        "endless",
        "huge",
        "wrong arguments",
    ],
)
def test_failing_task_says_what_happened_and_the_next_one_runs(
    lab: TaskLab, function: Any, kind: str, message: str
) -> None:
    function.__name__ = "work"
    task = run(lab, function)
    assert task.failed
    assert task.result is None
    assert (task.error["code"], task.error["class"]) == ("exception", kind)
    assert message in task.error["message"]
    assert run(lab, upper, "next").result == "NEXT"


def test_task_of_a_function_that_is_not_here_is_not_found(lab: TaskLab) -> None:
    def gone() -> None: ...

    made = lab.tasks.task()(gone)
    with lab.request(lab.session()):
        task = made.delay()
    del lab.tasks.functions["gone"]
    lab.tasks.run_pending()
    assert task.retrieve().error == {"code": "not-found"}


def test_interrupt_ends_the_task_and_then_the_caller(lab: TaskLab) -> None:
    @lab.tasks.task()
    def work() -> None:
        raise KeyboardInterrupt

    with lab.request(lab.session()):
        task, waiting = work.delay(), work.delay()
    with pytest.raises(KeyboardInterrupt):
        lab.tasks.run_pending()
    assert task.retrieve().error == {"code": "exception", "class": "KeyboardInterrupt", "message": ""}
    assert waiting.retrieve().submitted


def test_error_of_the_context_is_the_tasks_own(lab: TaskLab) -> None:
    @lab.app.teardown_appcontext
    def broken(_: BaseException | None) -> None:
        raise RuntimeError("teardown")

    task = run(lab, lambda: 1)
    assert task.error == {"code": "exception", "class": "RuntimeError", "message": "teardown"}
