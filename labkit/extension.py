"""WebLab: the Flask extension, the one object that a lab's author uses. Every name of it is the session API's.

It keeps nothing of an app on itself but which lab it made for it; settings are read once, in `init_app`. Loading an app
starts nothing: background work starts with the first request that a process serves, or with a `labkit` command.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask

from labkit.commands import weblab_commands
from labkit.commands.source import declarations_are_read_later, pages_are_served
from labkit.devices.proxy import D, Devices
from labkit.errors import WebLabNotInitializedError
from labkit.lab import Hooks, Lab
from labkit.loop.service import run_loop
from labkit.loop.supervisor import Workers
from labkit.sessions import end_overdue_session
from labkit.settings import Settings, read_settings
from labkit.tasks import TaskFunction, Tasks, WebLabTask
from labkit.users import EXTENSION, weblab_user
from labkit.web.access import install
from labkit.web.callback import add_callback_routes
from labkit.web.headers import keep_redirects_private
from labkit.web.pages import pages_blueprint
from labkit.web.poll_script import weblab_poll_script
from labkit.web.request_limits import limit_requests
from labkit.web.rlms import rlms_blueprint

if TYPE_CHECKING:
    from labkit.web.sockets import LabSockets

Function = TypeVar("Function", bound=Callable[..., Any])


class WebLab:
    """Makes a Flask app a remote laboratory: `weblab = WebLab(app)`, or `WebLab()` and `init_app(app)` later.

    callback_url, base_url, backend (the store's URL): as WEBLAB_CALLBACK_URL, WEBLAB_BASE_URL and WEBLAB_REDIS_URL,
    which they override.
    """

    def __init__(
        self,
        app: Flask | None = None,
        callback_url: str | None = None,
        base_url: str | None = None,
        backend: str | None = None,
    ):
        self._hooks = Hooks()
        self._tasks = Tasks(lambda: self.lab.task_services)
        self._callback_url = callback_url
        self._base_url = base_url
        self._backend: str | None = None
        self._timeout: float | None = None
        self._settings_read: Settings | None = None
        self._lab: Lab | None = None
        self._workers: Workers | None = None
        self._sockets: LabSockets | None = None
        if app is not None:
            self.init_app(app, backend)
        else:
            self._backend = backend

    def __repr__(self) -> str:
        return f"<WebLab of {self._lab.name if self._lab else 'no app yet'}>"

    @property
    def lab(self) -> Lab:
        """The lab that `init_app` made. Errors: `WebLabNotInitializedError`."""
        if self._lab is None:
            raise WebLabNotInitializedError("This WebLab has no app yet: call weblab.init_app(app) first.")
        return self._lab

    @property
    def timeout(self) -> float:
        """Seconds of silence that end a session; 0 or below: never. WEBLAB_TIMEOUT, until it is set here.

        Setting it before `init_app` gives the default where the app's config says nothing; afterwards it counts for
        sessions that start from then on. Errors: `InvalidConfigError` for what is no number of seconds.
        """
        if self._lab is not None:
            return self._lab.settings.timeout
        return Settings().timeout if self._timeout is None else self._timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        timeout = read_settings({"WEBLAB_TIMEOUT": seconds}).timeout
        if self._lab is None:
            self._timeout = timeout
        else:
            self._lab.settings = dataclasses.replace(self._lab.settings, timeout=timeout)

    def init_app(self, app: Flask, backend: str | None = None) -> None:
        """Make the app a lab: read the settings, add the routes. Errors: `InvalidConfigError` (missing credentials,
        wrong settings), `DeclarationError` with every mistake in `devices/`, ValueError (not an app, or another's)."""
        if app is None:
            raise ValueError("init_app needs a Flask app, not None: Flask app missing.")
        self._backend = self._backend if backend is None else backend
        if self._lab is not None:
            self._check_again(app)
            return
        if EXTENSION in app.extensions:
            raise ValueError("A WebLab is already installed in this app; use that one.")
        settings = self._settings(app)
        settings.require_credentials()
        lab = Lab(
            app,
            settings,
            self._hooks,
            self._tasks,
            folder=Path(app.root_path),
            instance=Path(settings.instance or app.instance_path),
        )
        if not (settings.no_thread or declarations_are_read_later()):
            _ = lab.catalog  # every mistake of the declarations, before anything starts
        self._settings_read = settings
        self._lab = lab
        self._add_to(app, lab)

    def _settings(self, app: Flask) -> Settings:
        given = {key: value for key, value in app.config.items() if key.startswith(("WEBLAB_", "LABKIT_"))}
        if self._callback_url is not None:
            given["WEBLAB_CALLBACK_URL"] = self._callback_url
        if self._base_url is not None:
            given["WEBLAB_BASE_URL"] = self._base_url
        if self._backend is not None:
            given["WEBLAB_REDIS_URL"] = self._backend
        if self._timeout is not None:
            given.setdefault("WEBLAB_TIMEOUT", self._timeout)
        return read_settings(given)

    def _check_again(self, app: Flask) -> None:
        if app is not self.lab.app:
            raise ValueError("This WebLab belongs to a different app; make a WebLab for each app.")
        if self._settings(app) != self._settings_read:
            raise ValueError("This WebLab was initialized with a different config; settings are read once.")

    def _add_to(self, app: Flask, lab: Lab) -> None:
        settings = lab.settings
        app.extensions[EXTENSION] = lab
        app.extensions["weblab"] = self
        self._workers = Workers(lab, task_threads=settings.task_threads, reaper=settings.autoclean_thread)
        if not settings.no_thread:
            app.before_request(self._start_workers)
        limit_requests(app, lab)
        install(app, lab)
        callback, base = _path(settings.callback_url) or "/", _path(settings.base_url)
        keep_redirects_private(app, f"{callback}/", f"{base}/weblab/", "/labkit/")
        add_callback_routes(app, lab, callback)
        app.register_blueprint(rlms_blueprint(lab, base))
        app.register_blueprint(pages_blueprint(lab, self._full_for))
        if pages_are_served():
            from labkit.web.sockets import lab_sockets

            self._sockets = lab_sockets(lab)
        names = {"weblab_user": weblab_user, "weblab": self, "weblab_poll_script": weblab_poll_script}
        app.context_processor(lambda: names)
        for command in weblab_commands(lab):
            app.cli.add_command(command)

    def _start_workers(self) -> None:
        if self._workers is not None:
            self._workers.start_soon()

    def _full_for(self, session_id: str) -> bool:
        return self._sockets is not None and self._sockets.full_for(session_id)

    def serve_only(self, threads: int | None = None) -> None:
        """Run no host, reaper or task runner in this process, whatever the settings say: `labkit loop` does all that.

        For processes that serve the web; call it before the first request. threads: how many it serves with, if that
        is known; no more pages are let in than those leave room for.
        """
        self._workers = None
        if self._lab is not None:
            self._lab.try_audit_log()
        if threads is not None and self._sockets is not None:
            self._sockets.places.fit_into(threads)

    # -- the author's functions

    def initial_url(self, func: Function) -> Function:
        """Register where users begin: a function without parameters that returns a URL. Once."""
        self._once("initial_url", self._hooks.initial_url)
        self._hooks.initial_url = func
        return func

    def reserve(self, func: Function) -> Function:
        """Register what chooses a session's bench: `func(client_data, server_data)`, before the session is there. Once.

        It returns None (any bench), a bench's name, or a `labkit.Wish`. Not asked where LABKIT_ACQUIRE is off.
        """
        self._once("reserve", self._hooks.reserve)
        self._hooks.reserve = func
        return func

    def on_start(self, func: Function) -> Function:
        """Register what runs when a user comes: `func(client_data, server_data)`. The bench is open there. Once."""
        self._once("on_start", self._hooks.on_start)
        self._hooks.on_start = func
        return func

    def on_dispose(self, func: Function) -> Function:
        """Register what runs when a session ends. It still has the devices, and may run again after a crash. Once."""
        self._once("on_dispose", self._hooks.on_dispose)
        self._hooks.on_dispose = func
        return func

    def user_loader(self, func: Function) -> Function:
        """Register what `weblab_user.user` gives: `func(username_unique)`. Once."""
        self._once("user_loader", self._hooks.user_loader)
        self._hooks.user_loader = func
        return func

    def _once(self, name: str, known: Any) -> None:
        if known is not None:
            raise ValueError(
                f"{name} is registered already ({known.__module__}.{known.__qualname__}); it can be registered once."
            )

    # -- devices and tasks

    @property
    def devices(self) -> Devices:
        """The devices of the session that is bound here."""
        return self.lab.devices

    def device(self, driver: type[D], name: str) -> D:
        """A device of the session of this context by name, typed: `weblab.device(SerialPort, "console").write(b"x")`.

        It is the same proxy as `weblab.devices["console"]`; type checkers and editors take it for a `SerialPort`.
        Errors: `UnknownDeviceError`, also where the device is of another kind; `NoContextError`.
        """
        return self.devices.typed(driver, name)

    def task(
        self, unique: str | None = None, timeout: float | None = None
    ) -> Callable[[Callable[..., Any]], TaskFunction[Any, Any]]:
        """Make a function a task. unique: None, 'user' (one a session) or 'global' (one in the lab).

        timeout: seconds that it may run; then it is asked to stop, and has failed with code `timeout`.
        """
        return self._tasks.task(unique, timeout)

    def get_task(self, identifier: Any) -> WebLabTask | None:
        """A task of the current user by id, name or function; the newest of several; None: there is none."""
        return self._tasks.get_task(identifier)

    @property
    def tasks(self) -> list[WebLabTask]:
        """All tasks of the current session."""
        return self._tasks.tasks

    @property
    def running_tasks(self) -> list[WebLabTask]:
        """The tasks of the current session that have not ended."""
        return self._tasks.running_tasks

    def get_tasks(self, func_or_name: Any) -> list[WebLabTask]:
        return self._tasks.get_tasks(func_or_name)

    def get_running_tasks(self, func_or_name: Any) -> list[WebLabTask]:
        return self._tasks.get_running_tasks(func_or_name)

    def get_running_task(self, func_or_name: Any) -> WebLabTask | None:
        return self._tasks.get_running_task(func_or_name)

    def join_tasks(self, func_or_name: Any, timeout: float | None = None, stop: bool = False) -> None:
        """Wait for all tasks with a name; raises nothing when the timeout (seconds) comes."""
        self._tasks.join_tasks(func_or_name, timeout, stop)

    # -- work in the caller

    def clean_expired_users(self) -> None:
        """End every session that is due, in the caller, and block until it is done."""
        lab = self.lab
        lab.process.start()
        for session_id in lab.sessions.due():
            end_overdue_session(lab, session_id)

    def run_tasks(self) -> None:
        """Run what is pending, once, in the caller."""
        self._tasks.run_pending()

    def loop(self, threads: int | None = None, reload: bool | None = None) -> None:
        """Be `labkit loop`: own the hardware, run tasks, end what is overdue, until SIGTERM or SIGINT.

        threads: task runners, None: WEBLAB_TASK_THREADS_PROCESS. reload: begin anew whenever the lab's files change,
        None: as FLASK_DEBUG says. Returns when it was ended in order. Call it in the main thread.
        """
        run_loop(self.lab, threads=threads, reload=self.lab.app.debug if reload is None else reload)

    def create_token(self, size: int | None = None) -> str:
        """A random token that can stand in a URL, made of `size` random bytes (None: 32, which are 43 characters)."""
        return secrets.token_urlsafe(32 if size is None else size)

    def close(self) -> None:
        """Stop the background work of this process and leave the store. At any time, and twice."""
        if self._workers is not None:
            self._workers.stop()
        if self._sockets is not None:
            self._sockets.close()
        if self._lab is not None:
            self._lab.close()


def _path(url: str) -> str:
    inner = url.strip("/")
    return f"/{inner}" if inner else ""
