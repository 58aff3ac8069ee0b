"""Every name of the session API's reference: what kind of thing it is, and what it takes. Used by the tests here.

It holds the reference with its corrections: `tasks` and `running_tasks` are properties, `join` takes `stop`, and
`sync` and `anonymous`, which its examples use, are other names of `store` and `is_anonymous`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NEEDED = inspect.Parameter.empty
"""The default of a parameter that has none. labkit may give it one."""
SOME = object()
"""The default of a parameter that may be left out; what it is then is nobody's business."""


class Kind(StrEnum):
    """What a name stands for."""

    CLASS = "class"
    ERROR = "error"
    FUNCTION = "function"
    METHOD = "method"
    PROPERTY = "property"
    OBJECT = "object"


@dataclass(frozen=True)
class Name:
    """One name. parameters: with their defaults, in order; None: the reference names none that bind."""

    kind: Kind
    parameters: Mapping[str, Any] | None = None


def klass(**parameters: Any) -> Name:
    return Name(Kind.CLASS, parameters)


def function(**parameters: Any) -> Name:
    return Name(Kind.FUNCTION, parameters)


def method(**parameters: Any) -> Name:
    return Name(Kind.METHOD, parameters)


MADE_BY_LABKIT = Name(Kind.CLASS)
"""A class whose objects labs are given and never make."""
PROPERTY = Name(Kind.PROPERTY)
OBJECT = Name(Kind.OBJECT)
ERROR = Name(Kind.ERROR)

NAMES: Mapping[str, Name] = {
    "WebLab": klass(app=None, callback_url=None, base_url=None, backend=None),
    "WebLab.init_app": method(app=NEEDED, backend=None),
    "WebLab.initial_url": method(func=NEEDED),
    "WebLab.on_start": method(func=NEEDED),
    "WebLab.on_dispose": method(func=NEEDED),
    "WebLab.clean_expired_users": method(),
    "WebLab.run_tasks": method(),
    "WebLab.task": method(unique=None),
    "WebLab.get_task": method(identifier=NEEDED),
    "WebLab.tasks": PROPERTY,
    "WebLab.running_tasks": PROPERTY,
    "WebLab.get_running_tasks": method(func_or_name=NEEDED),
    "WebLab.get_running_task": method(func_or_name=NEEDED),
    "WebLab.get_tasks": method(func_or_name=NEEDED),
    "WebLab.join_tasks": method(func_or_name=NEEDED, timeout=None, stop=False),
    "WebLab.create_token": method(size=None),
    "WebLab.user_loader": method(func=NEEDED),
    "WebLab.loop": method(threads=NEEDED, reload=NEEDED),
    "get_weblab_user": function(cached=True),
    "weblab_user": OBJECT,
    "socket_weblab_user": OBJECT,
    "poll": function(),
    "logout": function(),
    "requires_active": function(func=NEEDED),
    "requires_login": function(func=NEEDED),
    "socket_requires_active": function(func=NEEDED),
    "socket_requires_login": function(func=NEEDED),
    "current_task": OBJECT,
    "current_task_stopping": OBJECT,
    "WebLabTask": MADE_BY_LABKIT,
    "WebLabTask.join": method(timeout=None, error_on_timeout=True, stop=False),
    "WebLabTask.task_id": PROPERTY,
    "WebLabTask.session_id": PROPERTY,
    "WebLabTask.name": PROPERTY,
    "WebLabTask.data": PROPERTY,
    "WebLabTask.update_data": method(new_data=NEEDED),
    "WebLabTask.store": method(),
    "WebLabTask.sync": method(),
    "WebLabTask.retrieve": method(),
    "WebLabTask.stop": method(),
    "WebLabTask.status": PROPERTY,
    "WebLabTask.done": PROPERTY,
    "WebLabTask.running": PROPERTY,
    "WebLabTask.submitted": PROPERTY,
    "WebLabTask.failed": PROPERTY,
    "WebLabTask.finished": PROPERTY,
    "WebLabTask.stopping": PROPERTY,
    "WebLabTask.result": PROPERTY,
    "WebLabTask.error": PROPERTY,
    "CurrentUser": MADE_BY_LABKIT,
    "CurrentUser.data": PROPERTY,
    "CurrentUser.update_data": method(new_data=SOME),
    "CurrentUser.time_without_polling": PROPERTY,
    "CurrentUser.time_left": PROPERTY,
    "CurrentUser.to_expired_user": method(),
    "CurrentUser.user": PROPERTY,
    "CurrentUser.active": PROPERTY,
    "CurrentUser.is_anonymous": PROPERTY,
    "ExpiredUser": MADE_BY_LABKIT,
    "ExpiredUser.data": PROPERTY,
    "ExpiredUser.update_data": method(value=None),
    "ExpiredUser.time_left": PROPERTY,
    "ExpiredUser.active": PROPERTY,
    "ExpiredUser.is_anonymous": PROPERTY,
    "AnonymousUser": klass(),
    "AnonymousUser.active": PROPERTY,
    "AnonymousUser.is_anonymous": PROPERTY,
    "AnonymousUser.locale": PROPERTY,
    "AnonymousUser.data": PROPERTY,
    "WebLabUser": MADE_BY_LABKIT,
    "WebLabUser.active": PROPERTY,
    "WebLabUser.is_anonymous": PROPERTY,
    "WebLabUser.anonymous": PROPERTY,
    "WebLabError": ERROR,
    "NoContextError": ERROR,
    "InvalidConfigError": ERROR,
    "WebLabNotInitializedError": ERROR,
    "TimeoutError": ERROR,
    "AlreadyRunningError": ERROR,
}


def differences(wanted: Mapping[str, Any], callable_: Callable[..., Any]) -> list[str]:
    """Why a call that the reference allows would be another one here. labkit may take more, by names of its own."""
    found = [one for one in inspect.signature(callable_).parameters.values() if one.name != "self"]
    reasons = []
    for position, (name, default) in enumerate(wanted.items()):
        if position >= len(found) or found[position].name != name:
            reasons.append(f"parameter {position + 1} is not {name}")
        elif found[position].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            reasons.append(f"{name} can't be given both by place and by name")
        elif default is not NEEDED and found[position].default is NEEDED:
            reasons.append(f"{name} has no default")
        elif default is not NEEDED and default is not SOME and found[position].default != default:
            reasons.append(f"the default of {name} is {found[position].default!r}, not {default!r}")
    own = found[len(wanted) :]
    return reasons + [
        f"{one.name} is needed too" for one in own if one.default is NEEDED and "VAR" not in one.kind.name
    ]
