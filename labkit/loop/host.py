"""Host: the part of a process that has devices open. Used by the loop, and in web processes without one.

It claims the benches declared for this machine: first the bench's file lock (one holder a machine; a dead process
loses it, a stopped one keeps it), then the store's claim. Each device is made safe before it is said to be ok.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.clock import Clock, Deadline
from labkit.devices.catalog import Catalog
from labkit.devices.declaration import BenchDeclaration
from labkit.errors import StoreUnavailableError
from labkit.loop.claiming import Claiming
from labkit.loop.closing import Closing
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.dispatch import Dispatch
from labkit.loop.hosted_bench import HostedBench
from labkit.loop.own_calls import OwnCalls
from labkit.loop.reports import Reports
from labkit.plugin import DeviceEvent
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Call, Calls, Reply
from labkit.store.feeds import FeedStore
from labkit.store.processes import BeatNews
from labkit.store.reservations import Reservations
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop")

THREADS_SECONDS = 2.0
"""Seconds that the host's own threads have to end, before its devices are made safe; they may wait for a store."""
SILENT_SECONDS = 2.0
"""After so long without a beat the host asks the store nothing: each question may wait for seconds, and what must be
done without a store is to be done in time."""


@dataclass(frozen=True, kw_only=True)
class HostStore:
    """The parts of the store that a host uses."""

    reservations: Reservations
    calls: Calls
    feeds: FeedStore


class Host:
    """Hosts the benches of this machine. `start()` and `stop()` may be called twice.

    on_change: hears of each change of a device's condition, once, from any thread; it must not block.
    """

    def __init__(
        self,
        store: HostStore,
        process: LabProcess,
        catalog: Catalog,
        settings: Settings,
        instance: Path,
        *,
        clock: Clock | None = None,
        on_change: Callable[[DeviceEvent], None] | None = None,
    ):
        self._store = store
        self._process = process
        self._catalog = catalog
        self._settings = settings
        self._clock = clock or Clock()
        self._lock = threading.RLock()
        self._benches: dict[str, HostedBench] = {}
        self._reports = Reports(store.reservations, on_change)
        self._claiming = Claiming(
            store.reservations, store.feeds, process, settings, instance, port=self, clock=self._clock
        )
        self._closing = Closing(store.reservations, self._forget)
        self._dropping = threading.Lock()
        self._drop_all = ""
        self._lost: set[tuple[str, int]] = set()
        self._unhosted: dict[str, str] = {}  # bench -> why it can't be hosted, as it was logged
        self._tidy = Deadline(0.0, self._clock)
        """When benches that are declared no more are looked for."""
        self._wake = threading.Event()
        self.looked = threading.Event()
        """Set when the benches were claimed for the first time, as far as they could be."""
        self._threads: list[LabThread] = []
        self.own_calls = OwnCalls(process, self._runner_of)
        """For calls from this process."""
        self._dispatch = Dispatch(store.calls, self._claims, self._runner_for, self.own_calls)

    def __repr__(self) -> str:
        return f"<Host of {', '.join(self._benches) or 'no bench'}>"

    @property
    def benches(self) -> Mapping[str, HostedBench]:
        return self._benches

    @property
    def runners(self) -> list[DeviceRunner]:
        """The runners of all devices of its benches."""
        with self._lock:
            return [runner for bench in self._benches.values() for runner in bench.runners.values()]

    @property
    def stuck(self) -> list[DeviceRunner]:
        """Those whose threads hang in a driver, also of benches that are given up but for that."""
        return [runner for runner in self.runners if runner.stuck] + self._closing.hanging

    @property
    def wants_replacement(self) -> bool:
        """Is a thread stuck in a driver, and no bench in use, so that the process may replace itself?

        Not where such a thread is stuck in the kernel itself: an exec waits for all threads, and nobody would host.
        """
        stuck, idle = self.stuck, all(runner.stuck or runner.free for runner in self.runners)
        return bool(stuck) and idle and not any(runner.thread.unkillable for runner in stuck)

    def start(self) -> None:
        """Begin to host; devices are opened in the background."""
        if self._threads:
            return
        self._process.on_news(self._hear)
        self._process.on_gone(self._gone)
        self._threads = [LabThread("host", self._work, wake=self._wake.set), self._dispatch.thread()]
        for thread in self._threads:
            thread.start()
        self._process.add_role("host")
        self._process.listen()
        _let_go_in_children(self)

    def use(self, catalog: Catalog) -> None:
        """Follow new declarations: a bench that changed is closed and opened anew as soon as no session has it."""
        self._catalog, self._tidy = catalog, Deadline(0.0, self._clock)
        self._wake.set()

    def let_go(self) -> None:
        """In a forked child: drop the inherited files of the locks, so that only the parent's life keeps them."""
        for bench in [*self._benches.values(), *self._closing.kept.values()]:
            bench.lock.close()
        self._benches, self._closing.kept, self._threads = {}, {}, []

    def stop(self, seconds: float = 15.0) -> None:
        """Make every device safe, close it, and give the benches up; blocks, at most `seconds`."""
        deadline = Deadline(seconds, self._clock)
        self._process.forget(self._hear, self._gone)
        self._process.drop_role("host")
        for bench in self._closing.withdraw(list(self._benches.values()), lambda: self._silent):
            self._process.keeps(bench.name, bench.claim)
        threads, self._threads = self._threads, []
        stop_all(threads, min(THREADS_SECONDS, deadline.left()))  # the devices matter more than these
        self._drop(list(self._benches), "its host stops", deadline.left())

    # -- news, on the beat's thread: quick

    def _hear(self, news: BeatNews) -> None:
        with self._lock:
            benches = list(self._benches.items())
        for name, bench in benches:
            if name not in news.benches or news.claims[name] != bench.claim:
                continue  # claimed since this beat was sent
            if not news.benches[name]:
                bench.revoke("its bench was claimed by another host")
                self._lost.add((name, bench.claim))
                continue
            for hold in news.holds.values():
                self._process.saw_fence(hold.fence)
            for runner in bench.follow(news):
                self._reports.want(runner)
            bench.enforce()
        self._wake.set()

    def _gone(self) -> None:
        """This process was taken for dead: what it still holds calls for may be another's by now."""
        for bench in list(self._benches.values()):
            bench.revoke("its host was taken for dead")
        self._drop_all = "its host was taken for dead"
        self._wake.set()

    # -- the thread `host`

    def _work(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self._look_after(stopping)
                self.looked.set()
            except StoreUnavailableError as error:
                log.warning("host waits for the store error=%s", error)
            except Exception:
                log.exception("host failed")
            self._wake.wait(self._patience())
            self._wake.clear()

    def _patience(self) -> float:
        """Seconds until this thread must look by itself: the store may be away, and with it the beat's news."""
        if not self._benches:
            return 1.0 if self._closing.kept else 3600.0
        return min(1.0, max(0.1, self._settings.safe_after - self._process.silent_for))

    def _look_after(self, stopping: threading.Event) -> None:
        if self._process.silent_for >= self._settings.safe_after:
            self._drop_all = self._drop_all or "the store has been away"
        if self._drop_all:
            why, self._drop_all = self._drop_all, ""
            self._drop(list(self._benches), why, 15.0)
        if self._lost:
            lost, self._lost = self._lost, set()
            names = [name for name, bench in self._benches.items() if (name, bench.claim) in lost]
            self._drop(names, "its bench was claimed by another host", 15.0)
        for name in self._closing.let_go():
            self._process.hosts_no_more(name)
            self._tidy = Deadline(0.0, self._clock)  # it may be declared no more
        for bench in [*self._benches.values(), *self._closing.kept.values()]:
            bench.enforce()
        if not self._silent:
            self._follow_declarations()
        if self._tidy.over and not self._silent:
            done = self._claiming.forget_undeclared({*self._catalog.benches, *self._closing.kept})
            self._tidy = Deadline(None if done else self._settings.safe_after, self._clock)
        for runner in self._reports.unsaid():
            if not self._silent and not runner.telling.locked():  # else somebody is telling, and waits for the store
                self.report(runner)
        for declaration in self._catalog.for_machine(self._settings.machine_name):
            known = declaration.name in self._benches or declaration.name in self._closing.kept
            if not known and not stopping.is_set() and not self._silent:
                self._try_to_host(declaration, stopping)

    @property
    def _silent(self) -> bool:
        return self._process.silent_for > min(SILENT_SECONDS, self._settings.safe_after)

    def _follow_declarations(self) -> None:
        """Give up the benches that are declared differently by now, or no more, where no session has them."""
        declared = {bench.name: bench for bench in self._catalog.for_machine(self._settings.machine_name)}
        for name, bench in list(self._benches.items()):
            if declared.get(name) == bench.declaration or not bench.free:
                continue
            if self._store.reservations.leave_idle_bench(name, bench.claim):
                self._process.keeps(name, bench.claim)
                self._drop([name], "its declaration was changed", 15.0)
                self._tidy = Deadline(0.0, self._clock)  # it may be declared no more

    def _try_to_host(self, declaration: BenchDeclaration, stopping: threading.Event) -> None:
        """Host a bench. One that can't be hosted is said once, tried again, and in no other one's way."""
        name = declaration.name
        try:
            self._host(declaration, stopping)
            self._unhosted.pop(name, None)
        except StoreUnavailableError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if self._unhosted.get(name) != why:
                told = isinstance(error, OSError)  # the lock's: it says what to do
                log.error("bench can't be hosted bench=%s error=%s", name, error if told else why, exc_info=not told)
            self._unhosted[name] = why

    def _host(self, declaration: BenchDeclaration, stopping: threading.Event) -> None:
        bench = self._claiming.take(declaration, self._catalog)
        if bench is None:
            return
        with self._lock:
            late = stopping.is_set()  # who stops the host looks only afterwards which benches it has
            if not late:
                self._benches[bench.name] = bench
        if late:
            self._closing.close([bench], "its host stops", 0.0)
            return
        self._process.hosts(bench.name, bench.claim)
        try:
            for runner in bench.runners.values():
                runner.thread.start()
        except RuntimeError:  # no thread can be had
            self._drop([bench.name], "its devices can't have a thread each", 15.0)
            raise
        self._dispatch.wake()

    def _drop(self, names: list[str], why: str, seconds: float) -> None:
        """Make safe and close, then give the lock back: in this order, so that nobody opens what is still open here."""
        with self._dropping:
            with self._lock:
                benches = [self._benches[name] for name in names if name in self._benches]
            if benches:  # else nobody must wait here for a store that hangs
                self._closing.close(benches, why, seconds)
                self._dispatch.wake()

    def _forget(self, bench: HostedBench) -> None:
        self._claiming.remember(bench)
        for runner in bench.runners.values():
            self._reports.drop(runner)
            if runner.stuck:  # the bench is kept: nobody must get it, and this word may have been only on its way
                self.report(runner)
        with self._lock:
            self._benches.pop(bench.name, None)
        if bench.name in self._closing.kept:
            self._process.keeps(bench.name, bench.claim)
        else:
            self._process.hosts_no_more(bench.name)

    # -- calls

    def _claims(self) -> Mapping[str, int]:
        with self._lock:
            return {name: bench.claim for name, bench in self._benches.items()}

    def _runner_for(self, call: Call) -> DeviceRunner | None:
        self._process.saw_fence(call.fence)
        return self._runner_of(call)

    def _runner_of(self, call: Call) -> DeviceRunner | None:
        bench = self._benches.get(call.bench)
        return bench.runners.get(call.device) if bench is not None else None

    # -- what the runners use

    def now(self) -> float:
        return self._process.store_now()

    def silent_for(self) -> float:
        return self._process.silent_for

    def task_runs(self, call: Call) -> bool:
        """Whether the task that calls still runs. Calls of this process's own tasks end with their limits; other tasks
        are asked for in the store. Errors: `StoreUnavailableError`."""
        return not call.task or call.process == self._process.id or self._store.calls.task_runs(call)

    def reply(self, call: Call, reply: Reply) -> None:
        self._dispatch.reply(call, reply)

    def report(self, runner: DeviceRunner) -> None:
        """Tell the store a device's condition; where that fails it is told with the next beat."""
        name = runner.name.partition("/")[0]
        bench = self._benches.get(name) or self._closing.kept.get(name)
        if bench is None or bench.runners.get(runner.name) is not runner:
            self._reports.drop(runner)  # an earlier claim's: what it says concerns nobody
        elif not self._reports.tell(runner, bench):
            self._lost.add((bench.name, bench.claim))
            self._wake.set()


def _let_go_in_children(host: Host) -> None:
    known = weakref.ref(host)

    def let_go() -> None:
        inherited = known()
        if inherited is not None:
            inherited.let_go()

    os.register_at_fork(after_in_child=let_go)
