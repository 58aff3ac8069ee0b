"""What the session API's reference promises, name by name, and the word by which a test says which promise it proves.

Each sentence of the reference that promises something is a line here, in words of our own. Advice, warnings and
examples promise nothing by themselves. A test of `test_promises_*.py` says `@keeps(name, promise)`; `test_tables.py`
fails where a promise has no test, or a test keeps what is not promised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])


def keeps(name: str, *promises: str) -> Callable[[Test], Test]:
    """Say of a test that it proves these promises of a name. May stand there several times."""

    def mark(test: Test) -> Test:
        known: Sequence[tuple[str, str]] = getattr(test, "kept", ())
        test.kept = (*known, *((name, promise) for promise in promises))  # type: ignore[attr-defined]
        return test

    return mark


PROMISES: Mapping[str, Sequence[str]] = {
    "WebLab": (
        "needs no argument",
        "makes an app a lab at once where it is given one",
        "RLMS calls /weblab/sessions/ by default",
        "base_url stands before that path",
        "base_url lies inside the folder where the app is deployed",
        "base_url may be configured",
        "users need nothing under the RLMS's path",
        "callback_url takes a user with a token to the initial URL",
        "callback_url may be configured",
        "backend is the store of its sessions",
    ),
    "WebLab.init_app": (
        "has to be called where the constructor got no app",
        "settings are read once",
    ),
    "WebLab.initial_url": (
        "has to be registered",
        "may be registered once",
        "says where a user is sent",
        "calls a function without parameters, which may ask for a URL",
    ),
    "WebLab.on_start": (
        "calls the function when a user comes",
        "gives it what the RLMS's client said, and what its server said, as dicts",
        "weblab_user in it has what the server said",
    ),
    "WebLab.on_dispose": ("calls the function, without parameters, when a user has to go",),
    "WebLab.clean_expired_users": (
        "RLMS's dispose ends a user without it",
        "ends those whom no dispose ended",
        "ends those of before a restart",
        "is a command",
        "is done by a thread by default",
    ),
    "WebLab.run_tasks": (
        "runs all that is pending",
        "runs it once and waits for nothing new",
        "may be called again, at the lab's own pace",
        "command loop does it too",
    ),
    "WebLab.task": (
        "direct call runs the function here",
        "delay runs it in a thread of the background",
        "delay gives a task with id, status and result",
        "delay gives a task with its error",
        "run_sync waits for it, and it runs elsewhere",
        "task of one view is found in another",
        "tasks are listed with their names",
        "unique None lets any number run",
        "unique 'global' lets one run in the lab",
        "unique 'user' lets one run for each user",
    ),
    "WebLab.get_task": (
        "finds a task by its id",
        "finds a task by its function's name",
        "finds a task by its function",
        "finds only the current user's",
    ),
    "WebLab.tasks": ("has all tasks of the session, ended or not",),
    "WebLab.running_tasks": ("has those that have not ended",),
    "WebLab.get_running_tasks": ("gives those of a name that have not ended", "takes the function too"),
    "WebLab.get_running_task": (
        "gives one of a name that has not ended",
        "takes the function too",
        "finds the only one of a unique task",
    ),
    "WebLab.get_tasks": ("gives those of a name, ended or not", "takes the function too"),
    "WebLab.join_tasks": (
        "waits for all of a name",
        "takes the function too",
        "waits for ever by default",
        "waits no longer than its timeout",
        "stop asks each of them to stop first",
    ),
    "WebLab.create_token": (
        "may stand in a URL as it is",
        "is never the same twice",
        "size counts the bytes before they become text",
    ),
    "WebLab.user_loader": (
        "makes weblab_user.user what the function gives",
        "calls it with the unique name",
        "function may use weblab_user",
        "without one weblab_user.user is None",
    ),
    "WebLab.loop": (
        "runs tasks, as many at once as it has threads",
        "ends expired users",
        "goes on until it is ended, and ends in order",
        "reload loads the source anew where it has changed",
        "FLASK_DEBUG decides where reload is not given",
    ),
    "get_weblab_user": (
        "gives the current user",
        "gives the same object each time",
        "uncached gives a new one each time",
        "uncached shows a long task what others have done",
        "always gives one of the three kinds",
    ),
    "weblab_user": ("is the cached user",),
    "socket_weblab_user": ("is a new user each time",),
    "poll": ("counts as the user's last poll at the end of the call",),
    "logout": (
        "lets the next user in",
        "RLMS hears of it when it asks next",
        "WEBLAB_POLL_INTERVAL, 5 by default, says when it asks",
    ),
    "requires_active": (
        "lets an active user in",
        "does not call the view for one who is not logged in",
        "does not call the view when the time is over",
        "does not call the view after logout",
    ),
    "requires_login": (
        "lets an active user in",
        "lets one in whose session is over",
        "does not call the view for anybody else",
    ),
    "socket_requires_active": (
        "lets an active user in",
        "disconnects anybody else, without calling the handler",
        "sees in real time what became of the user",
    ),
    "socket_requires_login": (
        "lets in who is active or whose session is over",
        "disconnects anybody else, without calling the handler",
        "sees in real time what became of the user",
    ),
    "current_task": ("is like None outside a task", "is the task inside it", "lets the task change its data"),
    "current_task_stopping": ("is false outside a task", "is the task's stopping inside it"),
    "WebLabTask": ("is given by delay, and found by id and in lists", "goes from submitted to running to its end"),
    "WebLabTask.join": (
        "waits until the task has ended",
        "waits for ever by default",
        "raises when its timeout is over, a fraction of a second too",
        "raises nothing where it is told not to",
        "can't be called by the task itself",
        "stop asks the task to stop first",
    ),
    "WebLabTask.task_id": ("is the same wherever the task is seen",),
    "WebLabTask.session_id": ("is the session's id",),
    "WebLabTask.name": ("is the function's name",),
    "WebLabTask.data": (
        "is empty at first",
        "what the task stores there is read outside",
        "is another object each time outside, where it can't be changed",
    ),
    "WebLabTask.update_data": ("replaces the data and stores it",),
    "WebLabTask.store": (
        "stores the data, and gives the task as it is then",
        "can only be used in the task itself",
    ),
    "WebLabTask.sync": ("is another name of store",),
    "WebLabTask.retrieve": ("reads the task anew, and gives the same object",),
    "WebLabTask.stop": ("raises the flag", "does nothing else to a task that does not look", "ends a loop that looks"),
    "WebLabTask.status": (
        "is 'submitted' before a thread has it",
        "is 'running' while it runs",
        "is 'done' when it has ended",
        "is 'failed' after an error",
        "is None when it is not kept any more",
    ),
    "WebLabTask.done": ("is true only after an end without an error",),
    "WebLabTask.running": ("is true only while it runs, not before",),
    "WebLabTask.submitted": ("is true only before it runs",),
    "WebLabTask.failed": ("is true only after an error",),
    "WebLabTask.finished": ("is true after any end",),
    "WebLabTask.stopping": ("is true once somebody asked it to stop",),
    "WebLabTask.result": ("is what the function returned", "is None in any other case"),
    "WebLabTask.error": ("says code, class and message", "is None in any other case"),
    "CurrentUser": ("is who uses the lab now", "is an ExpiredUser when the session is over"),
    "CurrentUser.data": (
        "is an empty dict at first",
        "is kept from one process to another",
        "is saved by itself after a view and after on_start",
        "is stored at once by its store",
        "two requests at once both keep what they changed",
    ),
    "CurrentUser.update_data": ("stores new data", "without any stores what was changed"),
    "CurrentUser.time_without_polling": ("is the seconds since the last poll",),
    "CurrentUser.time_left": ("is the seconds that are left", "is 0 when the time has passed"),
    "CurrentUser.to_expired_user": ("gives an ExpiredUser with the same facts",),
    "CurrentUser.user": ("is what the user_loader gives", "is one and the same person in each session"),
    "CurrentUser.active": ("is true", "is false after logout"),
    "CurrentUser.is_anonymous": ("is false",),
    "ExpiredUser": (
        "is who has been put out",
        "is kept for WEBLAB_EXPIRED_USERS_TIMEOUT, an hour by default",
        "has the fields of a CurrentUser",
    ),
    "ExpiredUser.data": ("is an empty dict at first", "has what was there", "can't be changed"),
    "ExpiredUser.update_data": ("raises",),
    "ExpiredUser.time_left": ("is 0",),
    "ExpiredUser.active": ("is false",),
    "ExpiredUser.is_anonymous": ("is false",),
    "AnonymousUser": ("is who has no session",),
    "AnonymousUser.active": ("is false",),
    "AnonymousUser.is_anonymous": ("is true",),
    "AnonymousUser.locale": ("is None",),
    "AnonymousUser.data": ("raises where it is used as a dict",),
    "WebLabUser": ("is what all three kinds are",),
    "WebLabUser.active": ("tells who is active right now",),
    "WebLabUser.is_anonymous": ("tells who was never a user",),
    "WebLabUser.anonymous": ("is another name of is_anonymous",),
    "WebLabError": ("is what all errors of the family are",),
    "NoContextError": ("is raised where something of a session is used outside of one",),
    "InvalidConfigError": ("is raised for a wrong configuration",),
    "WebLabNotInitializedError": ("is raised where init_app was not called",),
    "TimeoutError": ("is raised by a join with a timeout", "is the builtin one too"),
    "AlreadyRunningError": (
        "is what the second of a unique 'global' task gets",
        "is what the second of a unique 'user' task gets",
        "is what a second process gets",
    ),
}
