"""Host: the part of a process that has devices open. Used by the loop, and in web processes without one.

It claims the benches declared for this machine: first the bench's file lock (one holder a machine; a dead process
loses it, a stopped one keeps it), then the store's claim. It makes each device safe before it says that it is ok.
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
from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration
from labkit.errors import StoreUnavailableError
from labkit.loop.device_link import open_device
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.dispatch import Dispatch
from labkit.loop.feeds import FeedOutlet
from labkit.loop.hosted_bench import HostedBench, in_maintenance, take_lock
from labkit.loop.reports import Reports
from labkit.loop.upkeep import left_unsafe
from labkit.plugin import DeviceEvent, feeds_of
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Call, Calls, Reply
from labkit.store.feeds import FeedStore
from labkit.store.processes import BeatNews
from labkit.store.reservations import Claim, Reservations
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop")

THREADS_SECONDS = 2.0
"""Seconds that the host's own threads have to end, before its devices are made safe; they may wait for a store."""


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
        self._instance = instance
        self._clock = clock or Clock()
        self._lock = threading.RLock()
        self._benches: dict[str, HostedBench] = {}
        self._reports = Reports(store.reservations, on_change)
        self._kept: dict[str, HostedBench] = {}
        self._dropping = threading.Lock()
        self._drop_all = ""
        self._lost: set[tuple[str, int]] = set()
        self._elsewhere: set[str] = set()
        self._tidied = False
        self._wake = threading.Event()
        self.looked = threading.Event()
        """Set when the benches were claimed for the first time, as far as they could be."""
        self._threads: list[LabThread] = []
        self._epoch = 0
        self._dispatch = Dispatch(store.calls, self._claims, self._runner_for)

    def __repr__(self) -> str:
        return f"<Host of {', '.join(self._benches) or 'no bench'}>"

    @property
    def benches(self) -> Mapping[str, HostedBench]:
        return self._benches

    @property
    def wants_replacement(self) -> bool:
        """Is a thread stuck in a driver, and no bench in use, so that the process may replace itself?"""
        runners = [runner for bench in self._benches.values() for runner in bench.runners.values()]
        stuck = bool(self._kept) or any(runner.stuck for runner in runners)
        return stuck and all(runner.stuck or runner.free for runner in runners)

    def start(self) -> None:
        """Begin to host; devices are opened in the background."""
        if self._threads:
            return
        self._process.on_news(self._hear)
        self._process.on_gone(self._gone)
        self._threads = [
            LabThread("host", self._work, wake=self._wake.set),
            self._dispatch.thread(),
        ]
        for thread in self._threads:
            thread.start()
        self._process.add_role("host")
        self._process.listen()
        _let_go_in_children(self)

    def use(self, catalog: Catalog) -> None:
        """Follow new declarations: a bench that changed is closed and opened anew as soon as no session has it."""
        self._catalog, self._tidied = catalog, False
        self._wake.set()

    def let_go(self) -> None:
        """In a forked child: drop the inherited files of the locks, so that only the parent's life keeps them."""
        for bench in [*self._benches.values(), *self._kept.values()]:
            bench.lock.close()
        self._benches, self._kept, self._threads = {}, {}, []

    def stop(self, seconds: float = 15.0) -> None:
        """Make every device safe, close it, and give the benches up; blocks, at most `seconds`."""
        deadline = Deadline(seconds, self._clock)
        threads, self._threads = self._threads, []
        self._process.forget(self._hear, self._gone)
        self._process.drop_role("host")
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
        left = self._settings.safe_after - self._process.silent_for
        return min(1.0, max(0.1, left)) if self._benches else 3600.0

    def _look_after(self, stopping: threading.Event) -> None:
        if self._process.silent_for >= self._settings.safe_after:
            self._drop_all = self._drop_all or "the store has been away"
        if self._drop_all:
            why, self._drop_all = self._drop_all, ""
            self._drop(list(self._benches), why, 15.0)
        if self._lost:
            lost, self._lost = self._lost, set()
            self._drop(
                [name for name, bench in self._benches.items() if (name, bench.claim) in lost],
                "its bench was claimed by another host",
                15.0,
            )
        if self._process.silent_for >= self._settings.safe_after:
            return
        self._follow_declarations()
        if not self._tidied:
            declared = self._catalog.benches
            self._store.reservations.forget_undeclared(self._settings.machine_name, declared)
            self._tidied = True
        self._let_go()
        for bench in list(self._benches.values()):
            bench.enforce()
        for runner in self._reports.unsaid():
            self.report(runner)
        for declaration in self._catalog.for_machine(self._settings.machine_name):
            if declaration.name not in self._benches and declaration.name not in self._kept and not stopping.is_set():
                self._host(declaration)

    def _follow_declarations(self) -> None:
        """Give up the benches that are declared differently by now, or no more, where no session has them."""
        declared = {bench.name: bench for bench in self._catalog.for_machine(self._settings.machine_name)}
        for name, bench in list(self._benches.items()):
            if declared.get(name) == bench.declaration or not bench.free:
                continue
            if self._store.reservations.leave_idle_bench(name, bench.claim):
                self._drop([name], "its declaration was changed", 15.0)
                self._tidied = False  # it may be declared no more

    def _let_go(self) -> None:
        """A bench that was kept because a thread of it hung is given up when that thread has come back."""
        for name, bench in list(self._kept.items()):
            if not bench.alive:
                bench.lock.close()
                del self._kept[name]

    def _host(self, declaration: BenchDeclaration) -> None:
        lock = take_lock(self._instance / "hosts", declaration.name)
        if lock is None:
            return
        try:
            claim = self._store.reservations.claim_bench(
                declaration.name,
                self._process.id,
                self._settings.machine_name,
                devices=[device.name for device in declaration.devices],
                features=sorted(declaration.features),
                info=self._catalog.published(declaration.name),
                silence=3 * self._settings.safe_after,
            )
        except StoreUnavailableError:
            lock.close()
            raise
        if isinstance(claim, str):
            lock.close()
            if declaration.name not in self._elsewhere:
                log.info("bench is hosted elsewhere bench=%s machine=%s", declaration.name, claim)
            self._elsewhere.add(declaration.name)
            return
        self._elsewhere.discard(declaration.name)
        log.info("bench claimed bench=%s fence=%d", declaration.name, claim.fence)
        bench = HostedBench(
            declaration=declaration, lock=lock, claim=claim.fence, runners=self._runners(declaration, claim)
        )
        if claim.maintenance is not None and bench.free:
            for name, runner in bench.runners.items():
                runner.rest(in_maintenance(claim.maintenance), left_unsafe(*claim.before[name]))
        with self._lock:
            self._benches[declaration.name] = bench
        self._process.hosts(declaration.name, claim.fence)
        for runner in bench.runners.values():
            runner.thread.start()
        self._dispatch.wake()

    def _runners(self, bench: BenchDeclaration, claim: Claim) -> dict[str, DeviceRunner]:
        return {
            device.full_name: self._runner(device, claim.holds.get(device.full_name, ("none", 0)), claim.fence)
            for device in bench.devices
        }

    def _runner(self, device: DeviceDeclaration, hold: tuple[str, int], claim: int) -> DeviceRunner:
        folder = self._instance / "devices" / device.bench / device.name

        def opener(on_lost):  # type: ignore[no-untyped-def]
            outlet = FeedOutlet(
                self._store.feeds,
                device.full_name,
                feeds_of(device.driver),
                self._next_epoch(claim),
                beats=self._process,
            )
            return open_device(device, folder, outlet, on_lost)

        return DeviceRunner(
            opener,
            device.full_name,
            self,
            hold=hold,
            safe_seconds=self._settings.release_timeout,
            health_interval=self._settings.health_interval,
            clock=self._clock,
        )

    def _next_epoch(self, claim: int) -> int:
        with self._lock:
            self._epoch = max(self._epoch + 1, claim)  # a fence, so it grows over restarts and clocks that step back
            return self._epoch

    def _drop(self, names: list[str], why: str, seconds: float) -> None:
        """Make safe and close, then give the lock back: in this order, so that nobody opens what is still open here."""
        with self._dropping:
            self._drop_now(names, why, seconds)

    def _drop_now(self, names: list[str], why: str, seconds: float) -> None:
        with self._lock:
            benches = [self._benches[name] for name in names if name in self._benches]
        runners = [runner for bench in benches for runner in bench.runners.values()]
        for runner in runners:
            runner.begin_stop(why)
        left = {thread.name for thread in stop_all([runner.thread for runner in runners], seconds)}
        for runner in runners:
            self._reports.drop(runner)
        for bench in benches:
            with self._lock:
                self._benches.pop(bench.declaration.name, None)
            self._process.hosts_no_more(bench.declaration.name)
            if any(runner.thread.name in left for runner in bench.runners.values()):
                log.error("bench kept: a device of it hangs bench=%s", bench.declaration.name)
                self._kept[bench.declaration.name] = bench  # and its lock: nobody may open what is still open here
                continue
            try:
                self._store.reservations.leave_bench(bench.declaration.name, bench.claim)
            except StoreUnavailableError:
                log.info("bench left while the store was away bench=%s", bench.declaration.name)
            log.info("bench given up bench=%s reason=%s", bench.declaration.name, why)
            bench.lock.close()
        self._dispatch.wake()

    # -- calls

    def _claims(self) -> Mapping[str, int]:
        with self._lock:
            return {name: bench.claim for name, bench in self._benches.items()}

    def _runner_for(self, call: Call) -> DeviceRunner | None:
        self._process.saw_fence(call.fence)
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
        bench = self._benches.get(runner.name.partition("/")[0])
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
