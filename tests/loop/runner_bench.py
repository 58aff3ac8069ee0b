"""One device runner with a toy, and a port that remembers what the runner says. No store, no host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from labkit.loop.device_link import Link, OpenDevice
from labkit.loop.device_runner import DeviceRunner
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Condition
from labkit.threads import stop_all
from tests.toy import GUARD, Toy, ToyOptions, World, wait_until

DEVICE = "bench-1/toy"


class Outlet:
    """Where the toy's feeds go: (fence, feed, data)."""

    def __init__(self, heard: list[tuple[int, str, Any]]):
        self.fence = 0
        self.closed = False
        self._heard = heard

    def emit(self, feed: str, data: Any) -> None:
        self._heard.append((self.fence, feed, data))

    def watched(self, feed: str) -> bool:
        return False

    def opened(self, tell: Callable[[str, bool], None]) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Port:
    """What a runner needs from its host. The time stands still unless a test moves it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.silence = 0.0
        self.given_up: set[str] = set()
        self.replies: dict[str, list[Reply]] = {}
        self.reports: list[tuple[Condition, str, int]] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def silent_for(self) -> float:
        return self.silence

    def task_runs(self, call: Call) -> bool:
        return call.task not in self.given_up

    def reply(self, call: Call, reply: Reply) -> None:
        with self._lock:
            self.replies.setdefault(call.id, []).append(reply)

    def report(self, runner: Any) -> None:
        with self._lock:
            self.reports.append((runner.condition, runner.reason, runner.dealt_with))


class RunnerBench:
    """Use it with `with`: the runner's thread ends with the block, whatever the toy does."""

    def __init__(
        self,
        folder: Path,
        *,
        hold: tuple[str, int] = ("none", 0),
        safe_seconds: float = GUARD,
        health_interval: float = 0.0,
        driver: type[Toy] = Toy,
    ):
        self.world = World()
        self.port = Port()
        self.heard: list[tuple[int, str, Any]] = []
        self._folder = folder
        self._driver = driver
        self.runner = DeviceRunner(
            self._open, DEVICE, self.port, hold=hold, safe_seconds=safe_seconds, health_interval=health_interval
        )

    def _open(self, on_lost: Callable[[str], None], on_driver: Callable[[Toy], None]) -> OpenDevice:
        outlet = Outlet(self.heard)
        toy = self._driver(ToyOptions(world=self.world.name), Link(DEVICE, self._folder, outlet, on_lost))
        device = OpenDevice(toy, outlet)
        on_driver(toy)
        try:
            toy.open()
        except BaseException:
            device.close()
            raise
        return device

    def __enter__(self) -> RunnerBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.world.let_go()
        assert self.stop() == []

    def start(self) -> RunnerBench:
        """Start and wait for the first word on the device's condition."""
        self.runner.thread.start()
        wait_until(lambda: self.port.reports, "the first report")
        return self

    def stop(self) -> list[Any]:
        self.runner.begin_stop("its host stops")
        return list(stop_all([self.runner.thread], GUARD))

    @property
    def toy(self) -> Toy:
        return self.world.toys[-1]

    def call(self, command: str, *args: Any, fence: int = 1, seconds: float = 60.0, **options: Any) -> Call:
        """Submit a call, without waiting."""
        call = Call(
            device=DEVICE, command=command, fence=fence, until=self.port.time + seconds, args=list(args), **options
        )
        self.runner.submit(call)
        return call

    def answer(self, call: Call) -> Reply:
        """Wait for the reply of a call."""
        wait_until(lambda: self.port.replies.get(call.id), f"the reply to {call.command}")
        return self.port.replies[call.id][0]

    def ask(self, command: str, *args: Any, **options: Any) -> Reply:
        return self.answer(self.call(command, *args, **options))

    def ready(self, fence: int) -> Reply:
        return self.ask(READY, fence=fence)

    def acts(self, what: Any) -> None:
        """Wait until something has reached the device."""
        wait_until(lambda: what in self.world.acts, f"{what!r} at the device")

    def condition(self, condition: Condition) -> None:
        """Wait until the port was told a condition last."""
        wait_until(lambda: self.port.reports and self.port.reports[-1][0] is condition, f"condition {condition}")

    def dealt(self, fence: int) -> None:
        """Wait until the port was told that a release is dealt with."""
        wait_until(lambda: any(row[2] >= fence for row in list(self.port.reports)), f"release {fence} to be dealt with")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RunnerBench]:
    """For the tests of a module that imports it."""
    with RunnerBench(tmp_path) as bench:
        yield bench
