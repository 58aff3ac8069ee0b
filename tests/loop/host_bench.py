"""Hosts with toys on a real store: each with a process of its own, as if on a machine of its own or the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from labkit.clock import Clock
from labkit.devices.caller import DeviceCaller, PendingCall
from labkit.devices.catalog import catalog_of
from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration
from labkit.devices.plugins import Plugins
from labkit.devices.reservation import BenchReservation
from labkit.loop.host import Host, HostStore
from labkit.plugin import DeviceEvent
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Calls
from labkit.store.connection import Store
from labkit.store.feeds import FeedStore
from labkit.store.processes import Processes
from labkit.store.reservations import BenchChange, BenchView, DeviceView, Reservations
from labkit.store.sessions import EndReason, NewSession, SessionRecord, Sessions, Started
from tests.toy import GUARD, Toy, ToyOptions, World, wait_until


class Skipping(Clock):
    """A clock that can be moved on: the machine, or the process, slept."""

    skipped = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.skipped


class Standing(Clock):
    """A clock that stands still, but for what a test moves it on."""

    moved = 0.0

    def boottime(self) -> float:
        return 1000.0 + self.moved


class Node:
    """One process that hosts benches. Use it with `with`; `up()` starts it."""

    def __init__(
        self, lab: HostBench, *, machine: str = "pi-1", instance: str = "", clock: Clock | None = None, **settings: Any
    ):
        self.events: list[DeviceEvent] = []
        self.lab = lab
        self.store = Store(lab.store.url, lab.store.keys.prefix)
        self.settings = Settings(machine=machine, **settings)
        self.process = LabProcess(Processes(self.store), machine, clock=clock)
        parts = HostStore(reservations=Reservations(self.store), calls=Calls(self.store), feeds=FeedStore(self.store))
        catalog = catalog_of(lab.declarations, Plugins())
        folder = lab.folder / (instance or "instance")
        self.host = Host(parts, self.process, catalog, self.settings, folder, clock=clock, on_change=self.events.append)
        lab.nodes.append(self)

    def up(self) -> Node:
        self.process.start()
        self.host.start()
        return self

    def down(self) -> None:
        self.host.stop()
        self.process.stop()


class HostBench:
    """A lab of benches with one toy each, and what callers and sessions need. Its hosts end with the block."""

    def __init__(self, folder: Path, store: Store, benches: Sequence[str] = ("bench-1",), machine: str | None = None):
        self.folder = folder
        self.store = store
        self.worlds = {bench: World() for bench in benches}
        self.declarations = [self._declare(bench, machine) for bench in benches]
        self.nodes: list[Node] = []
        self.reservations = Reservations(store)
        self.sessions = Sessions(store)
        self.process = LabProcess(Processes(store), "web")
        self.caller = DeviceCaller(Calls(store), self.reservations, self.process, Settings())
        self.benches = BenchReservation(self.reservations, self.caller, Settings())
        self._count = 0

    def _declare(self, bench: str, machine: str | None) -> BenchDeclaration:
        options = ToyOptions(world=self.worlds[bench].name)
        device = DeviceDeclaration(bench=bench, name="toy", driver=Toy, kind="toy", options=options, line=1)
        file = self.folder / f"{bench}.toml"
        return BenchDeclaration(
            name=bench, title=bench, features=("uno",), machine=machine, devices=(device,), file=file
        )

    def __enter__(self) -> HostBench:
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for world in self.worlds.values():
            world.let_go()
        for node in self.nodes:
            node.down()
            node.store.close()
        self.process.stop()

    @property
    def world(self) -> World:
        return self.worlds["bench-1"]

    def view(self, bench: str = "bench-1") -> BenchView | None:
        return next((view for view in self.reservations.benches() if view.name == bench), None)

    def device(self, bench: str = "bench-1") -> DeviceView:
        view = self.view(bench)
        assert view is not None
        return view.devices[0]

    def log(self, bench: str = "bench-1") -> list[BenchChange]:
        return self.reservations.bench_log(bench, 1000)

    def wait_ok(self, bench: str = "bench-1") -> None:
        """Wait until a bench can be given out."""

        def free() -> bool:
            view = self.view(bench)
            return bool(view and view.host and view.devices[0].condition == "ok" and view.devices[0].hold == "none")

        wait_until(free, f"{bench} to be free")

    def wait_condition(self, condition: str, bench: str = "bench-1") -> DeviceView:
        wait_until(lambda: self.view(bench) and self.device(bench).condition == condition, condition)
        return self.device(bench)

    def session(self, bench: str = "bench-1", **facts: Any) -> tuple[str, int]:
        """An active session on a bench, its devices ready. Returns its id and fence."""
        self._count += 1
        session_id = f"session-{self._count}"
        new = NewSession(
            session_id=session_id, user={}, slot_start=None, slot_length=600, timeout=0, start_timeout=60, bench=bench
        )
        started = self.sessions.start(new, self.process.id)
        assert isinstance(started, Started), started
        assert self.benches.make_ready(bench, started.fence) is None
        assert self.sessions.activate(session_id, self.process.id) == "active"
        return session_id, started.fence

    def submit(
        self, fence: int, command: str, *args: Any, seconds: float = 20.0, bench: str = "bench-1"
    ) -> PendingCall:
        return self.caller.submit(f"{bench}/toy", command, fence=fence, seconds=seconds, args=args)

    def call(self, fence: int, command: str, *args: Any, **options: Any) -> Any:
        return self.submit(fence, command, *args, **options).result()

    def end(self, session_id: str) -> int:
        """Begin the ending of a session and claim it; returns its fence."""
        self.sessions.end(session_id, EndReason.DISPOSED)
        claimed = self.sessions.claim_ending(session_id, self.process.id, 60.0)
        assert isinstance(claimed, SessionRecord)
        return int(claimed.fields["fence"])

    def beat_no_more(self, node: Node) -> None:
        """End a node's beats. The store takes it for alive for 7 s still: a busy machine may need them for the rest."""
        beat = node.process._threads[0]
        beat.stop()
        beat.join(GUARD)
        assert not beat.is_alive()
        self.store.command("ZADD", self.store.keys["processes"], time.time() + 3, node.process.id)

    def release(self, session_id: str, fence: int) -> None:
        assert self.reservations.release(session_id, "", fence) is not None


@pytest.fixture
def lab(tmp_path: Path, store: Store) -> Iterator[HostBench]:
    """For the tests of a module that imports it: one bench, and no host yet."""
    with HostBench(tmp_path, store) as lab:
        yield lab


@pytest.fixture(name="lab")
def lab_of_two(tmp_path: Path, store: Store) -> Iterator[HostBench]:
    """For the tests of a module that imports it: two benches, and a host that has both ready."""
    with HostBench(tmp_path, store, benches=("bench-1", "bench-2")) as lab:
        Node(lab).up()
        for bench in ("bench-1", "bench-2"):
            lab.wait_ok(bench)
        yield lab
