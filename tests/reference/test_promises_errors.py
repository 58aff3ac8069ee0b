"""The errors: when each is raised, and that all are of one family."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import labkit
from labkit import (
    AlreadyRunningError,
    InvalidConfigError,
    NoContextError,
    TimeoutError,
    WebLab,
    WebLabError,
    WebLabNotInitializedError,
    get_weblab_user,
    logout,
    poll,
    weblab_user,
)
from tests.reference.acting_lab import ActingLab
from tests.reference.names import NAMES, Kind
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until

MakeLab = Callable[..., ActingLab]


@keeps("WebLabError", "is what all errors of the family are")
@pytest.mark.parametrize("name", [name for name, row in NAMES.items() if row.kind is Kind.ERROR])
def test_error_is_one_of_the_family(name: str) -> None:
    assert issubclass(getattr(labkit, name), WebLabError)


@keeps("WebLabError", "is what all errors of the family are")
def test_one_except_is_enough_for_all_of_them(still: ActingLab) -> None:
    task = still.weblab.task()(len)
    submitted = still.inside(still.start(), lambda: task.delay("abc"))
    for wrong in (get_weblab_user, lambda: task.delay("abc"), WebLab().run_tasks, lambda: submitted.join(timeout=0)):
        with pytest.raises(WebLabError):
            wrong()


@keeps("NoContextError", "is raised where something of a session is used outside of one")
def test_what_needs_a_context_says_so(still: ActingLab) -> None:
    task = still.weblab.task()(len)
    outside: list[Callable[[], Any]] = [
        get_weblab_user,
        lambda: weblab_user.username,
        poll,
        logout,
        lambda: task.delay("abc"),
    ]
    for use in outside:
        with pytest.raises(NoContextError):
            use()

    def act() -> None:
        with pytest.raises(NoContextError):
            task.delay("abc")

    assert still.visit(still.client(), act).ran


@keeps("InvalidConfigError", "is raised for a wrong configuration")
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"WEBLAB_USERNAME": None}, "WEBLAB_USERNAME"),
        ({"WEBLAB_PASSWORD": ""}, "WEBLAB_PASSWORD"),
        ({"WEBLAB_CALLBACK_URL": ""}, "WEBLAB_CALLBACK_URL"),
        ({"WEBLAB_TIMEOUT": "soon"}, "WEBLAB_TIMEOUT"),
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, Any], named: str) -> None:
    app = Flask("wrong")
    app.config.update({"WEBLAB_USERNAME": "rlms", "WEBLAB_PASSWORD": "secret", **wrong})
    with pytest.raises(InvalidConfigError, match=named):
        WebLab(app)


@keeps("WebLabNotInitializedError", "is raised where init_app was not called")
def test_weblab_that_has_no_app_says_so() -> None:
    weblab = WebLab()
    task = weblab.task()(len)
    uses: list[Callable[[], Any]] = [
        weblab.run_tasks,
        weblab.clean_expired_users,
        lambda: weblab.loop(1, False),
        lambda: task.delay("abc"),
    ]
    for use in uses:
        with pytest.raises(WebLabNotInitializedError):
            use()
    with Flask("bare").app_context(), pytest.raises(WebLabNotInitializedError):
        get_weblab_user()


@keeps("TimeoutError", "is raised by a join with a timeout", "is the builtin one too")
def test_join_raises_the_labs_timeout_error_and_the_builtin_one(still: ActingLab) -> None:
    task = still.weblab.task()(len)
    submitted = still.inside(still.start(), lambda: task.delay("abc"))
    for error in (TimeoutError, builtins.TimeoutError):
        with pytest.raises(error):
            submitted.join(timeout=0.01)


# -- AlreadyRunningError


def unique_task(lab: ActingLab, unique: str) -> tuple[Any, threading.Event]:
    gate = threading.Event()

    @lab.weblab.task(unique=unique)
    def program() -> bool:
        return gate.wait(GUARD)

    return program, gate


@keeps("AlreadyRunningError", "is what the second of a unique 'global' task gets")
@keeps("AlreadyRunningError", "is what the second of a unique 'user' task gets")
@pytest.mark.parametrize("unique", ["user", "global"])
def test_second_of_a_unique_task_fails_with_it(lab: ActingLab, unique: str) -> None:
    program, gate = unique_task(lab, unique)
    session_id = lab.start()
    first = lab.inside(session_id, program.delay)
    wait_until(lambda: first.retrieve().running, "the first")
    second = lab.inside(session_id, program.delay).join(GUARD)
    assert (second.status, second.error["class"]) == ("failed", AlreadyRunningError.__name__)
    gate.set()
    assert first.join(GUARD).done


@keeps("AlreadyRunningError", "is what a second process gets")
def test_task_that_is_unique_in_the_lab_fails_with_it_in_another_process(make: MakeLab) -> None:
    """Two labs with nothing in common but the store: its connection and its beat are each one's own."""
    one = make().up()
    other = make(WEBLAB_NO_THREAD=True, WEBLAB_REDIS_BASE=one.app.config["WEBLAB_REDIS_BASE"])
    program, gate = unique_task(one, "global")  # type: ignore[arg-type]
    copy, _ = unique_task(other, "global")
    first = one.inside(one.start(), program.delay)  # type: ignore[attr-defined]
    wait_until(lambda: first.retrieve().running, "the first")
    second = other.inside(other.start(), copy.delay)
    assert (second.status, second.error["class"]) == ("failed", AlreadyRunningError.__name__)
    gate.set()
    assert first.join(GUARD).done
