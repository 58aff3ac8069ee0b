"""labkit turns a bench of hardware into a remote laboratory. The public names, and nothing else.

They are imported when they are first used, so that `import labkit.plugin` or the store's keeper stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.devices.wish import Wish
    from labkit.errors import (
        AlreadyRunningError,
        BenchUnavailableError,
        CallExpiredError,
        CallLostError,
        DeviceError,
        DeviceFaultyError,
        DeviceOfflineError,
        DriverError,
        InvalidConfigError,
        NoContextError,
        ReservationLostError,
        TimeoutError,
        WebLabError,
        WebLabNotInitializedError,
    )
    from labkit.extension import WebLab
    from labkit.plugin import Driver, DriverOptions, Feed, command, hookimpl
    from labkit.tasks import WebLabTask, current_task, current_task_stopping
    from labkit.users import (
        AnonymousUser,
        CurrentUser,
        ExpiredUser,
        WebLabUser,
        get_weblab_user,
        socket_weblab_user,
        weblab_user,
    )
    from labkit.web.access import (
        logout,
        poll,
        requires_active,
        requires_login,
        socket_requires_active,
        socket_requires_login,
    )

_HOMES = {
    "labkit.devices.wish": "Wish",
    "labkit.errors": (
        "AlreadyRunningError BenchUnavailableError CallExpiredError CallLostError DeviceError DeviceFaultyError "
        "DeviceOfflineError DriverError InvalidConfigError NoContextError ReservationLostError TimeoutError "
        "WebLabError WebLabNotInitializedError"
    ),
    "labkit.extension": "WebLab",
    "labkit.plugin": "Driver DriverOptions Feed command hookimpl",
    "labkit.tasks": "WebLabTask current_task current_task_stopping",
    "labkit.users": "AnonymousUser CurrentUser ExpiredUser WebLabUser get_weblab_user socket_weblab_user weblab_user",
    "labkit.web.access": "logout poll requires_active requires_login socket_requires_active socket_requires_login",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [  # noqa: RUF022 - in the order in which an author meets them
    "WebLab", "weblab_user", "socket_weblab_user", "get_weblab_user",
    "WebLabUser", "CurrentUser", "ExpiredUser", "AnonymousUser",
    "requires_active", "requires_login", "socket_requires_active", "socket_requires_login", "poll", "logout",
    "WebLabTask", "current_task", "current_task_stopping",
    "Wish", "Driver", "DriverOptions", "Feed", "command", "hookimpl",
    "WebLabError", "NoContextError", "InvalidConfigError", "WebLabNotInitializedError", "TimeoutError",
    "AlreadyRunningError", "DeviceError", "ReservationLostError", "CallExpiredError", "CallLostError",
    "DeviceOfflineError", "DeviceFaultyError", "DriverError", "BenchUnavailableError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'labkit' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
