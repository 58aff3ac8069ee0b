"""Lab: settings, store, catalog, devices, tasks and the author's hooks, put together once for each app and process.

Made by the extension; used by the spine (`sessions`), web and loop. Making one starts nothing and connects to nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from labkit.announcer import Announcer, Event
from labkit.clock import Clock
from labkit.context import BoundSession, session_bound
from labkit.devices.caller import DeviceCaller
from labkit.devices.catalog import Catalog, read_catalog
from labkit.devices.plugins import Plugins, load_plugins
from labkit.devices.proxy import Devices
from labkit.devices.reservation import BenchReservation
from labkit.devices.wish import Wish, read_wish
from labkit.errors import BadRequestError, StoreUnavailableError
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Calls
from labkit.store.connection import Store
from labkit.store.embedded import EmbeddedStore
from labkit.store.feeds import FeedStore
from labkit.store.processes import BeatNews, Processes
from labkit.store.reservations import Reservations
from labkit.store.sessions import Sessions
from labkit.store.tasks import TaskStore
from labkit.store.trial import try_again, try_store
from labkit.tasks import Tasks, TaskServices
from labkit.users import remembered, user_of

log = logging.getLogger("labkit.lab")

_NO_NAMES = ("__main__", "lab", "app", "application", "wsgi", "main")
"""Modules that say nothing of the lab in them; the folder does."""


@dataclass(kw_only=True)
class Hooks:
    """The author's functions; each may be registered once."""

    initial_url: Callable[[], str] | None = None
    on_start: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None
    on_dispose: Callable[[], Any] | None = None
    user_loader: Callable[[str], Any] | None = None
    reserve: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Connected:
    """The store and everything that speaks to it, made together once."""

    store: Store
    processes: Processes
    process: LabProcess
    sessions: Sessions
    reservations: Reservations
    calls: Calls
    feeds: FeedStore
    task_services: TaskServices
    caller: DeviceCaller
    bench_reservation: BenchReservation
    devices: Devices


class Lab:
    """One lab in one process.

    folder: where `devices/` and `drivers/` lie. instance: where the embedded store and the hosts' locks lie.
    """

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        hooks: Hooks,
        tasks: Tasks,
        *,
        folder: Path,
        instance: Path,
        clock: Clock | None = None,
    ):
        self.app = app
        self.name = Path(app.root_path).name if app.import_name in _NO_NAMES else app.import_name
        self.settings = settings
        self.hooks = hooks
        self.tasks = tasks
        self.instance = instance
        self.clock = clock or Clock()
        self.devices_folder = Path(settings.devices) if settings.devices else folder / "devices"
        self.drivers_folder = Path(settings.drivers) if settings.drivers else folder / "drivers"
        self._keeper = None if settings.redis_url else EmbeddedStore(instance)
        self._connected: Connected | None = None
        self._opening = threading.Lock()
        self._at_work: set[str] = set()
        self._reading = threading.RLock()
        self._plugins: Plugins | None = None
        self._catalog: Catalog | None = None
        self._announcer = Announcer(
            lambda: self.plugins.manager,
            known=lambda: None if self._plugins is None else self._plugins.manager,
            audit_log=settings.audit_log,
        )

    def __repr__(self) -> str:
        return f"<Lab {self.name}>"

    @property
    def title(self) -> str:
        return self.settings.title or self.name

    # -- the store and what speaks to it

    @property
    def connected(self) -> Connected:
        """The store and what speaks to it; the embedded one starts with the first use.

        Errors: `StoreUnavailableError` (`StoreUnfitError`: no lab can rely on it), `WrongAppError`.
        """
        found = self._connected
        if found is None:
            with self._opening:
                if self._connected is None:
                    self._connected = self._connect()
                found = self._connected
        return found

    def _connect(self) -> Connected:
        if self._keeper is None:
            return self._connect_to(self.settings.redis_url)
        try:
            return self._connect_to(self._keeper.open())
        except BaseException:
            self._keeper.close()  # else its server would live as long as this process, which has no use for it
            raise

    def _connect_to(self, url: str) -> Connected:
        store = Store(url, self.settings.redis_base, keeper=self._keeper, replicas=self.settings.store_replicas)
        try:
            try_store(store)
            processes = Processes(store)
            self._claim_prefix(processes)
        except BaseException:
            store.close()
            raise
        process = LabProcess(processes, self.settings.machine_name, clock=self.clock)
        process.on_gone(lambda: self._meet_again(store, processes), inherited=True)
        task_store = TaskStore(store)
        process.on_news(lambda news: _bury(task_store, news), inherited=True)
        calls, reservations = Calls(store), Reservations(store)
        caller = DeviceCaller(calls, reservations, process, self.settings, clock=self.clock)
        benches = BenchReservation(reservations, caller, self.settings)
        tasks = TaskServices(store=task_store, process=process, settings=self.settings, entered=self.entered)
        return Connected(
            store=store,
            processes=processes,
            process=process,
            sessions=Sessions(store),
            reservations=reservations,
            calls=calls,
            feeds=FeedStore(store),
            task_services=tasks,
            caller=caller,
            bench_reservation=benches,
            devices=Devices(caller, benches),
        )

    def _claim_prefix(self, processes: Processes) -> None:
        """Two labs may share a server, and must not share a prefix; an embedded store is one lab's own."""
        if self.settings.redis_url:
            processes.claim_app(self.name)

    def _meet_again(self, store: Store, processes: Processes) -> None:
        """The store took this process for gone: it, or this process, has been away, and it may be another one."""
        try_again(store)
        with contextlib.suppress(StoreUnavailableError):  # then the next beat fails too, and all this comes again
            self._claim_prefix(processes)

    @property
    def store(self) -> Store:
        return self.connected.store

    @property
    def processes(self) -> Processes:
        return self.connected.processes

    @property
    def process(self) -> LabProcess:
        return self.connected.process

    @property
    def sessions(self) -> Sessions:
        return self.connected.sessions

    @property
    def reservations(self) -> Reservations:
        return self.connected.reservations

    @property
    def calls(self) -> Calls:
        return self.connected.calls

    @property
    def feeds(self) -> FeedStore:
        return self.connected.feeds

    @property
    def task_services(self) -> TaskServices:
        return self.connected.task_services

    @property
    def caller(self) -> DeviceCaller:
        return self.connected.caller

    @property
    def bench_reservation(self) -> BenchReservation:
        return self.connected.bench_reservation

    @property
    def devices(self) -> Devices:
        return self.connected.devices

    # -- devices

    @property
    def catalog(self) -> Catalog:
        """The declarations of this machine with their drivers, read once. `del` has them read again when they are
        wanted. Errors: `DeclarationError` with every problem."""
        return self._catalog or self._read_declarations(anew=False)

    @catalog.deleter
    def catalog(self) -> None:
        self._catalog = None

    def read_declarations_again(self) -> Catalog:
        """Take what `devices/` says now; drivers stay as they were loaded. Returns the new catalog, which is
        `self.catalog` from then on. Errors: `DeclarationError` with every problem; then the old one stands."""
        return self._read_declarations(anew=True)

    def _read_declarations(self, *, anew: bool) -> Catalog:
        settings = self.settings
        with self._reading:
            found = None if anew else self._catalog  # another thread may have been first
            if found is None:
                found = read_catalog(
                    self.devices_folder, self.plugins, simulate=settings.simulate, machine=settings.machine_name
                )
                self._catalog = found
            return found

    @property
    def plugins(self) -> Plugins:
        """The drivers and panels that are installed here or lie beside the app, loaded once, whoever asks first.
        Broken declarations don't matter."""
        found = self._plugins
        if found is None:
            with self._reading:
                found = self._plugins or load_plugins(self.drivers_folder)  # another thread may have been first
                self._plugins = found
        return found

    def announce(self, event: Event) -> None:
        """Have plugins hear that something has happened; from any thread, at once, whatever they make of it."""
        self._announcer.announce(event)

    def try_audit_log(self) -> None:
        """Say in the log where LABKIT_AUDIT_LOG can't be written: at the start of a process that has something to tell,
        not when somebody looks for the lines. Once for each process."""
        self._announcer.try_file()

    @property
    def declares_devices(self) -> bool:
        """Are there declarations, whether a host has published them yet or not?"""
        return any(self.devices_folder.glob("*.toml"))

    def wish(self, user: Mapping[str, Any]) -> Wish | None:
        """Which bench a new session of this user gets by itself, None: none. Asks the author's `@weblab.reserve`.

        Errors: `WishError`, `BadRequestError` (LABKIT_BENCH gives another one only), what the author's function raises.
        """
        only = self.settings.bench
        if not self.settings.acquire:
            return None
        if not only and not self.declares_devices and not self.reservations.benches():
            return None  # a lab without any device is a lab too
        if self.hooks.reserve is None:
            return Wish(bench=only)
        with self.entered(None):
            wish = read_wish(self.hooks.reserve(dict(user["client_data"]), dict(user["server_data"])))
        if only and wish.bench not in ("", only):
            raise BadRequestError(
                "reserve", f"This lab gives only the bench {only} (LABKIT_BENCH), not '{wish.bench}'."
            )
        return Wish(bench=only or wish.bench, features=wish.features)

    # -- contexts and users

    @contextlib.contextmanager
    def entered(self, bound: BoundSession | None) -> Iterator[None]:
        """The app's context with a session bound, as hooks and tasks run in; stores no data."""
        with self.app.app_context(), session_bound(bound):
            yield

    def load_user(self, username_unique: str) -> Any:
        """What the lab's `user_loader` gives, or None."""
        return self.hooks.user_loader(username_unique) if self.hooks.user_loader is not None else None

    def save_user_data(self) -> None:
        """Store the data of the user of this context where it was modified."""
        user = remembered()
        if user is not None and not user.is_anonymous:
            user.save()  # type: ignore[union-attr]

    def user(self, session_id: str) -> Any:
        """The user of a session, whoever asks."""
        return user_of(self, self.sessions.touch(session_id, poll=False))

    @contextlib.contextmanager
    def only_once(self, session_id: str) -> Iterator[bool]:
        """Whether this thread is the only one of this process in such a block for the session (an ending, say)."""
        with self._opening:
            first = session_id not in self._at_work
            self._at_work.add(session_id)
        try:
            yield first
        finally:
            if first:
                self._at_work.discard(session_id)

    def close(self) -> None:
        """Tell plugins what they have not heard, and leave the store. Twice is fine; the next use opens it again."""
        self._announcer.close()
        with self._opening:
            found, self._connected = self._connected, None
        if found is not None:
            found.process.stop()
            found.store.close()


def _bury(tasks: TaskStore, news: BeatNews) -> None:
    """Every process that beats buries those that are gone: what they owned must not wait for a loop."""
    for process in news.gone:
        lost = tasks.bury(process)
        if lost:
            log.warning("process was buried process=%s tasks_lost=%d", process, len(lost))
