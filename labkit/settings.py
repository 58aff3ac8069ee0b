"""Every setting of a lab: key, default, help. The only place where one is defined.

`WEBLAB_*` are the session API's (rlms.md, "Settings, with defaults"), `LABKIT_*` labkit's own. Read from a Flask
app's config, or, for a lab without an app, from the environment and `labkit.toml`. Read once: a change of the config
afterwards does nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.errors import InvalidConfigError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as the documentation and the CLI show it."""

    name: str
    default: Any
    help: str
    field: str


def _setting(name: str, default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"name": name, "help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one lab, checked and typed. Durations are seconds."""

    username: str = _setting("WEBLAB_USERNAME", "", "User name that the RLMS sends. Mandatory.")
    password: str = _setting("WEBLAB_PASSWORD", "", "Password that the RLMS sends. Mandatory.")
    base_url: str = _setting("WEBLAB_BASE_URL", "", "Path before /weblab/sessions/, where the RLMS calls.")
    callback_url: str = _setting("WEBLAB_CALLBACK_URL", "/callback", "Path that a user's browser enters by.")
    session_id_name: str = _setting(
        "WEBLAB_SESSION_ID_NAME", "weblab_session_id", "Key in Flask's session that holds the session id."
    )
    redis_url: str = _setting("WEBLAB_REDIS_URL", "", "URL of a Redis or Valkey server; empty: the embedded store.")
    redis_base: str = _setting(
        "WEBLAB_REDIS_BASE", "lab", "Prefix of this lab's keys; one for each lab that shares a store."
    )
    store_replicas: int = _setting(
        "LABKIT_STORE_REPLICAS",
        0,
        "Replicas of the store that must have a session's start before it counts, and are given time to have its end.",
    )
    task_expires: float = _setting("WEBLAB_TASK_EXPIRES", 3600.0, "Seconds that a finished task is kept at least.")
    timeout: float = _setting("WEBLAB_TIMEOUT", 15.0, "Seconds of silence that end a session; 0 or below: never.")
    autopoll: bool = _setting("WEBLAB_AUTOPOLL", True, "Every request with a session counts as a poll.")
    unauthorized_link: str = _setting("WEBLAB_UNAUTHORIZED_LINK", "", "Where a refused browser is sent.")
    unauthorized_template: str = _setting(
        "WEBLAB_UNAUTHORIZED_TEMPLATE", "", "Template shown to a refused browser, with status 403."
    )
    poll_interval: float = _setting(
        "WEBLAB_POLL_INTERVAL", 5.0, "Seconds after which the RLMS asks for the status again."
    )
    cleaner_interval: float = _setting(
        "WEBLAB_CLEANER_INTERVAL", 5.0, "Accepted for old labs; the reaper looks every second."
    )
    scheme: str = _setting("WEBLAB_SCHEME", "", "Scheme of the user's link, where a proxy hides it.")
    expired_users_timeout: float = _setting(
        "WEBLAB_EXPIRED_USERS_TIMEOUT", 3600.0, "Seconds that an ended session stays readable."
    )
    autoclean_thread: bool = _setting("WEBLAB_AUTOCLEAN_THREAD", True, "Run the reaper in this process.")
    task_threads: int = _setting("WEBLAB_TASK_THREADS_PROCESS", 3, "Task runners in each process.")
    no_thread: bool = _setting("WEBLAB_NO_THREAD", False, "Run no host, reaper or task runner in this web process.")
    log_lifecycle: bool = _setting(
        "WEBLAB_LOG_SESSION_LIFECYCLE", True, "Write the life of each session to the app's log, as JSON."
    )
    devices: str = _setting("LABKIT_DEVICES", "", "Folder of the declarations; empty: devices/ beside the app.")
    drivers: str = _setting("LABKIT_DRIVERS", "", "Folder of the lab's own drivers; empty: drivers/ beside the app.")
    instance: str = _setting(
        "LABKIT_INSTANCE",
        "",
        "Folder for the embedded store's data and the hosts' locks; empty: the app's instance folder.",
    )
    machine: str = _setting(
        "LABKIT_MACHINE", "", "Name of this machine, compared with a bench's; empty: the host name."
    )
    acquire: bool = _setting("LABKIT_ACQUIRE", True, "Reserve a free bench before on_start runs.")
    bench: str = _setting("LABKIT_BENCH", "", "Only this bench is given to sessions; empty: any.")
    most_pages: int = _setting(
        "LABKIT_MOST_PAGES",
        0,
        "Open pages in one web process; a further one is told that the lab is full. 0: what `labkit web --threads` "
        "leaves room for, elsewhere any number.",
    )
    most_requests: int = _setting(
        "LABKIT_MOST_REQUESTS",
        50,
        "Requests a second of one session to labkit's own routes in one web process; more are answered with 429. "
        "0: any number.",
    )
    most_sockets: int = _setting(
        "LABKIT_MOST_SOCKETS",
        16,
        "Open pages of one session in one web process, and a quarter of all at most; a further one is told to wait. "
        "0: any number.",
    )
    most_events: int = _setting(
        "LABKIT_MOST_EVENTS",
        200,
        "Events a second of one session's pages in one web process; who sends more has to wait. 0: any number.",
    )
    embed: str = _setting(
        "LABKIT_EMBED",
        "",
        "Sites that may show labkit's pages in a frame, an LMS say: https://lms.example.edu, more after a space. "
        "Only over https. Empty: only the lab's own.",
    )
    origins: str = _setting(
        "LABKIT_ORIGINS",
        "",
        "Other sites whose pages may act for the lab's users, as if they were its own: https://front.example.edu, "
        "more after a space.",
    )
    title: str = _setting("LABKIT_TITLE", "", "Name of the lab on its pages; empty: the app's name.")
    simulate: bool = _setting("LABKIT_SIMULATE", False, "Use the simulated twin of every device.")
    audit_log: str = _setting(
        "LABKIT_AUDIT_LOG",
        "",
        "File for a JSON line of each session's start and end and each device's change; empty: none.",
    )
    call_timeout: float = _setting("LABKIT_CALL_TIMEOUT", 5.0, "Seconds that a device call may take.")
    start_timeout: float = _setting(
        "LABKIT_START_TIMEOUT", 120.0, "Seconds that a start may take, devices and on_start together."
    )
    task_stop: float = _setting(
        "LABKIT_TASK_STOP", 30.0, "Seconds that an ending waits for tasks that were asked to stop."
    )
    dispose_timeout: float = _setting(
        "LABKIT_DISPOSE_TIMEOUT", 60.0, "Seconds that on_dispose may take, and the tasks it submits."
    )
    release_timeout: float = _setting("LABKIT_RELEASE_TIMEOUT", 10.0, "Seconds that the release of a device may take.")
    health_interval: float = _setting(
        "LABKIT_HEALTH_INTERVAL",
        60.0,
        "Seconds between two looks at the health of a device that no session has; 0: only when it is opened.",
    )
    safe_after: float = _setting(
        "LABKIT_SAFE_AFTER", 10.0, "Seconds without the store after which a host makes its devices safe."
    )

    @property
    def machine_name(self) -> str:
        return self.machine or socket.gethostname()

    def require_credentials(self) -> None:
        """Errors: `InvalidConfigError` naming a missing or empty credential, which would open the lab to anybody."""
        for name, value in (("WEBLAB_USERNAME", self.username), ("WEBLAB_PASSWORD", self.password)):
            if not value.strip():
                raise InvalidConfigError(
                    f"Missing {name}. Set it in the app's config; the RLMS sends it with every call."
                )


SETTINGS: Sequence[Setting] = tuple(
    Setting(name=f.metadata["name"], default=f.default, help=f.metadata["help"], field=f.name)
    for f in dataclasses.fields(Settings)
)

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def read_settings(source: Mapping[str, Any]) -> Settings:
    """Read all settings from a mapping (a Flask config, the environment). None: not given; numbers may be text.

    Errors: `InvalidConfigError` with every wrong value at once.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        given = source.get(setting.name)
        if given is None:
            continue
        try:
            values[setting.field] = _convert(given, type(setting.default))
        except (ValueError, TypeError, OverflowError):
            shown = "of another kind" if setting.name in _SECRET else repr(given)
            wrong.append(f"{setting.name} is {shown}; it must be {_KINDS[type(setting.default)]}. {setting.help}")
    names = [setting.name for setting in SETTINGS]
    for key in sorted(key for key in source if key.startswith("LABKIT_") and key not in names):
        near = difflib.get_close_matches(key, names, n=1)
        wrong.append(f"{key} is no setting.{f' Did you mean {near[0]}?' if near else ''}")
    wrong += [
        f"WEBLAB_NO_THREAD is incompatible with {name}: set only one of them."
        for name, field in (
            ("WEBLAB_AUTOCLEAN_THREAD", "autoclean_thread"),
            ("WEBLAB_TASK_THREADS_PROCESS", "task_threads"),
        )
        if values.get("no_thread") and values.get(field)
    ]
    wrong += _wrong_about_the_store(values)
    wrong += [
        f"{name} is {site!r}; each is a scheme and a host, such as https://lms.example.edu, and no path."
        for name, field in (("LABKIT_EMBED", "embed"), ("LABKIT_ORIGINS", "origins"))
        for site in values.get(field, "").split()
        if not _SITE.fullmatch(site)
    ]
    if source.get("WEBLAB_CALLBACK_URL") == "":
        wrong.append("Empty URL in WEBLAB_CALLBACK_URL; the default is /callback.")
    if wrong:
        raise InvalidConfigError("\n".join(wrong))
    return Settings(**values)


def _wrong_about_the_store(values: Mapping[str, Any]) -> Iterator[str]:
    if not str(values.get("redis_url") or "redis://").startswith(_STORE_SCHEMES):
        yield f"WEBLAB_REDIS_URL must begin with {', '.join(_STORE_SCHEMES[:-1])} or {_STORE_SCHEMES[-1]}."
    if values.get("store_replicas", 0) < 0:
        yield "LABKIT_STORE_REPLICAS is a number of replicas, 0 or more."
    if values.get("store_replicas", 0) > 0 and not values.get("redis_url"):
        yield "LABKIT_STORE_REPLICAS needs WEBLAB_REDIS_URL: the embedded store has no replicas."


_SECRET = ("WEBLAB_PASSWORD", "WEBLAB_REDIS_URL")
"""What an error must not show."""
_SITE = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?")
_STORE_SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number of seconds", str: "text"}


def _convert(given: Any, kind: type) -> Any:
    if kind is bool:
        text = str(given).strip().lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise ValueError
    if kind is float:
        number = float(given)
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError
        return number
    if kind is int:
        number = int(given)
        if isinstance(given, float) and number != given:
            raise ValueError
        return number
    if not isinstance(given, (str, int, float, os.PathLike)) or isinstance(given, bool):
        raise ValueError
    return str(given)
