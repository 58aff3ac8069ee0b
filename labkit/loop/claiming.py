"""Claiming: how a bench becomes a host's: its file lock, the store's claim, a runner for each device. Used by the host.

A bench that somebody else has is no error: the host asks again. The way back is in `closing.py`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import IO

from labkit.clock import Clock
from labkit.devices.catalog import Catalog
from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration
from labkit.loop.bench_lock import take_lock
from labkit.loop.device_link import DevicePort, open_device
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.feeds import FeedOutlet
from labkit.loop.hosted_bench import HostedBench
from labkit.loop.upkeep import in_maintenance, left_unsafe
from labkit.plugin import feeds_of
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.feeds import FeedStore
from labkit.store.reservations import Claim, Reservations

log = logging.getLogger("labkit.loop")


class Claiming:
    """The way of benches to a host. port: the host, as the runners of its devices use it.

    elsewhere: the benches that another machine had when they were asked for last.
    """

    def __init__(
        self,
        reservations: Reservations,
        feeds: FeedStore,
        process: LabProcess,
        settings: Settings,
        instance: Path,
        *,
        port: DevicePort,
        clock: Clock,
    ):
        self.elsewhere: set[str] = set()
        self._reservations = reservations
        self._feeds = feeds
        self._process = process
        self._settings = settings
        self._instance = instance
        self._port = port
        self._clock = clock
        self._lock = threading.Lock()
        self._epoch = 0
        self._fences: dict[str, int] = {}

    def take(self, declaration: BenchDeclaration, catalog: Catalog) -> HostedBench | None:
        """Make a bench this process's. The threads of its runners are not started yet. None: somebody has it.

        Errors: StoreUnavailableError; OSError of the file lock, which says what to do.
        """
        lock = take_lock(self._instance / "hosts", declaration.name)
        if lock is None:
            return None
        bench = None
        try:
            claim = self._claim(declaration, catalog)
            if claim is not None:
                bench = self._claimed(declaration, lock, claim)
        finally:
            if bench is None:
                lock.close()
        return bench

    def forget_undeclared(self, declared: Collection[str]) -> bool:
        """Forget the benches of this machine that are declared no more. False: one is still somebody's; ask again.

        Errors: `StoreUnavailableError`.
        """
        machine, left = self._settings.machine_name, False
        for name in self._reservations.undeclared(machine, declared):
            lock = None
            with contextlib.suppress(OSError):  # who declares a bench again is told of such a file
                lock = take_lock(self._instance / "hosts", name)
            if lock is None:
                left = True
                continue
            with lock:
                left = not self._reservations.forget_bench(name, machine) or left
        return not left

    def remember(self, bench: HostedBench) -> None:
        """Keep the fences of a bench that is given up: where it is claimed again, the store may have gone back."""
        for name, runner in bench.runners.items():
            self._fences[name] = max(runner.fence, self._fences.get(name, 0))

    def _claimed(self, declaration: BenchDeclaration, lock: IO[str], claim: Claim) -> HostedBench:
        runners = self._runners(declaration, claim)
        bench = HostedBench(declaration=declaration, lock=lock, claim=claim.fence, runners=runners)
        if claim.maintenance is not None and bench.free:
            for name, runner in bench.runners.items():
                runner.rest(in_maintenance(claim.maintenance), left_unsafe(*claim.before[name]))
        return bench

    def _claim(self, declaration: BenchDeclaration, catalog: Catalog) -> Claim | None:
        """Claim a bench in the store, and publish it there. None: another machine has it, which is said once."""
        claim = self._reservations.claim_bench(
            declaration.name,
            self._process.id,
            self._settings.machine_name,
            devices=[device.name for device in declaration.devices],
            features=sorted(declaration.features),
            info=catalog.published(declaration.name),
            silence=3 * self._settings.safe_after,
        )
        if isinstance(claim, str):
            if declaration.name not in self.elsewhere:
                log.info("bench is hosted elsewhere bench=%s machine=%s", declaration.name, claim)
            self.elsewhere.add(declaration.name)
            return None
        self.elsewhere.discard(declaration.name)
        log.info("bench claimed bench=%s fence=%d", declaration.name, claim.fence)
        return claim

    def _runners(self, bench: BenchDeclaration, claim: Claim) -> dict[str, DeviceRunner]:
        return {
            device.full_name: self._runner(device, claim.holds.get(device.full_name, ("none", 0)), claim.fence)
            for device in bench.devices
        }

    def _runner(self, device: DeviceDeclaration, hold: tuple[str, int], claim: int) -> DeviceRunner:
        folder = self._instance / "devices" / device.bench / device.name

        def opener(on_lost, on_driver):  # type: ignore[no-untyped-def]
            epoch, feeds = self._next_epoch(claim), feeds_of(device.driver)
            outlet = FeedOutlet(self._feeds, device.full_name, feeds, epoch, beats=self._process)
            return open_device(device, folder, outlet, on_lost, on_driver)

        return DeviceRunner(
            opener,
            device.full_name,
            self._port,
            hold=hold,
            known_fence=self._fences.get(device.full_name, 0),
            safe_seconds=self._settings.release_timeout,
            health_interval=self._settings.health_interval,
            clock=self._clock,
        )

    def _next_epoch(self, claim: int) -> int:
        with self._lock:
            self._epoch = max(self._epoch + 1, claim)  # a fence, so it grows over restarts and clocks that step back
            return self._epoch
