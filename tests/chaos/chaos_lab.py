"""A lab that faults are done to: benches on boards' ptys, web processes, loops, a store behind proxies, all restarted.

Each process has a proxy of its own to the store, so it can be cut off alone. Who dies is started again after a moment,
as a service manager does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.reservations import BenchView, Reservations
from labkit.testing.board import BoardProcess
from labkit.testing.store import StoreServer
from tests.chaos.part import Part, links_of
from tests.chaos.record import DISPOSE_TIMEOUT, LOOKS, RELEASE_TIMEOUT, Act, Heard, Kept, Sample
from tests.chaos.store_clock import StoreClock
from tests.chaos.store_proxy import StoreProxies, StoreProxy
from tests.flows.harness import FlowLab
from tests.prepared import Prepared

APP = "tests.chaos.lab_app:app"
SETTINGS: Mapping[str, Any] = {
    "WEBLAB_TIMEOUT": 4,
    "WEBLAB_POLL_INTERVAL": 1,
    "WEBLAB_EXPIRED_USERS_TIMEOUT": 6 * 3600,
    "WEBLAB_TASK_EXPIRES": 6 * 3600,
    "LABKIT_CALL_TIMEOUT": 3,
    "LABKIT_START_TIMEOUT": 8,
    "LABKIT_TASK_STOP": 1,
    "LABKIT_DISPOSE_TIMEOUT": DISPOSE_TIMEOUT,
    "LABKIT_RELEASE_TIMEOUT": RELEASE_TIMEOUT,
    "LABKIT_SAFE_AFTER": 3,
    "LABKIT_HEALTH_INTERVAL": 2,
}
DEAF = '''"""A driver that is deaf to its interruption, as a bad library is."""

import time

from labkit.plugin import Driver, DriverOptions, command, hookimpl


class Deaf(Driver[DriverOptions]):
    kind = "deaf"

    def open(self): pass
    def close(self): pass
    def make_safe(self): pass
    def interrupt(self): pass

    @command
    def hang(self, seconds: float) -> None:
        """Come back when it pleases."""
        time.sleep(seconds)


@hookimpl
def labkit_drivers(): return [Deaf]
'''
HANG_SECONDS = 9.0
"""How long what hangs does so: longer than each limit above. Then it comes back, so that no run leaves a thread."""
PAUSES = (0.1, 2.0)
"""Seconds after which a process that died is started again: between these."""
STILL = 0.2
"""Seconds for which a thread gets no processor: that much more than it asked for is felt as standing still."""


class ChaosLab:
    """The running lab, and what was seen of it. Use it with `with`."""

    def __init__(self, folder: Path, ports: list[int], *, benches: int, loops: int, seed: int, **settings: Any):
        self.folder = folder
        self.ports = ports
        self.store_clock = StoreClock(folder)
        self.server = StoreServer(append_only=True, environment=self.store_clock.environment)
        self.forgotten: list[float] = []
        self.openers: list[tuple[float, str, list[int]]] = []
        self.samples: list[Sample] = []
        self.moves: list[tuple[float, str]] = []
        self.lived: dict[int, float] = {}
        """Process of the lab -> when it was last seen."""
        self.late_looks: list[str] = []
        """Looks at the ttys that came too late to be sure who had them in between."""
        self._openers: dict[str, int] = {}
        self._acts: list[Act] = []
        self._read = 0
        self._reading = threading.Lock()
        self._loops = loops
        self._random = random.Random(f"{seed} pauses")
        self._flow = FlowLab(folder, self.server, ports[0], benches=benches, settings={**SETTINGS, **settings})
        self._starting = threading.Lock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self.stood_still = 0.0
        """Seconds for which the machine had no time for this process, altogether: in them nothing could come up."""
        self.stills: list[tuple[float, float]] = []
        self._stack = contextlib.ExitStack()
        self.parts: list[Part] = []
        (folder / "hang-seconds").write_text(str(HANG_SECONDS))
        (folder / "exits").mkdir()
        (folder / "drivers").mkdir()
        (folder / "drivers" / "deaf.py").write_text(DEAF)
        for path in (folder / "devices").glob("*.toml"):
            path.write_text(path.read_text() + '\n[deaf]\ndriver = "deaf"\n')

    # -- life

    def __enter__(self) -> ChaosLab:
        self._stack.enter_context(self.server)
        self.keep_file()
        self.store = Store(self.server.url, "lab")
        self._stack.callback(self.store.close)
        proxies = self._stack.enter_context(StoreProxies(self.server.socket))
        self._stack.callback(self._flow.close)
        self._stack.callback(self._end_threads)
        for number in range(1, self._loops + 1):
            self._add(f"loop-{number}", proxies.make())
        for number, port in enumerate(self.ports, start=1):
            self._add(f"web-{number}", proxies.make(), port)
        for work in (self._look_after, self._look, self._watch_ttys, self._feel_time):
            thread = threading.Thread(target=work, name=work.__name__)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_threads(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    def _add(self, name: str, proxy: StoreProxy, port: int = 0) -> None:
        clock = self.folder / f"clock-{name}"
        clock.write_bytes(struct.pack("d", 0.0))

        def start() -> Prepared:
            with self._starting:
                if not port:
                    return self._flow.loop(app=APP, name=name, WEBLAB_REDIS_URL=proxy.url)
                return self._flow.web(
                    app=APP, port=port, name=name, more=["--threads", "40"], awaited=False, WEBLAB_REDIS_URL=proxy.url
                )

        self.parts.append(Part(name, start, proxy, clock))

    def _look_after(self) -> None:
        while not self._ending.wait(0.05):
            for part in self.parts:
                part.look_after(self._random.uniform(*PAUSES))

    def _feel_time(self) -> None:
        before = time.monotonic()
        while not self._ending.wait(0.1):
            now = time.monotonic()
            if now - before > STILL:
                self.stood_still += now - before - STILL
                self.stills.append((before, now))
            before = now

    # -- what is seen

    @property
    def boards(self) -> Mapping[str, BoardProcess]:
        return dict(zip(self.benches, self._flow.boards, strict=True))

    @property
    def benches(self) -> list[str]:
        return [f"bench-{number}" for number in range(1, len(self._flow.boards) + 1)]

    def views(self) -> list[BenchView]:
        """The benches as the store has them. Errors: `StoreUnavailableError`."""
        return Reservations(self.store).benches()

    def _look(self) -> None:
        """Again and again: why benches can't be given out."""
        while not self._ending.wait(0.1):
            with contextlib.suppress(StoreUnavailableError):
                at = time.monotonic()
                seen = self.out_of_service()
                self.samples.append(Sample(at=at, out_of_service=seen, until=time.monotonic()))

    def _watch_ttys(self) -> None:
        """Again and again: who has them open; on a thread of its own, for a store that hangs holds up the other."""
        before, still = time.monotonic(), self.stood_still
        while not self._ending.wait(0.1):
            self._look_at_ttys()
            now = time.monotonic()
            if now - before > LOOKS + 3 * (self.stood_still - still):
                self.late_looks.append(f"two looks at who has the ttys were {now - before:.1f} s apart")
            before, still = now, self.stood_still

    @property
    def dead_threads(self) -> list[str]:
        """Threads of the harness itself that have ended before their time."""
        return [thread.name for thread in self._threads if not thread.is_alive()]

    def out_of_service(self) -> dict[str, str]:
        """Why each bench can't be given out now, but for a session that has it; those that can are left out.

        Errors: `StoreUnavailableError`."""
        found = {view.name: why_not_well(view) or why_releasing(view) for view in self.views()}
        return {bench: why for bench, why in found.items() if why}

    def unwell(self) -> dict[str, str]:
        """What is wrong with each bench, whoever has it. Errors: `StoreUnavailableError`."""
        found = {view.name: why_not_well(view) for view in self.views()}
        return {bench: why for bench in self.benches if (why := found.get(bench, "not known"))}

    def _look_at_ttys(self) -> None:
        ttys = {os.path.realpath(board.path): bench for bench, board in self.boards.items()}
        holders: dict[str, list[int]] = {}
        for pid in [pid for part in self.parts for pid in part.pids]:
            self.lived[pid] = time.monotonic()
            for link in links_of(pid):
                if link in ttys:
                    holders.setdefault(ttys[link], []).append(pid)
        now = time.monotonic()
        self.openers += [(now, bench, pids) for bench, pids in holders.items() if len(set(pids)) > 1]
        self.moves += [(now, bench) for bench, pids in holders.items() if self._openers.get(bench) not in pids]
        self._openers |= {bench: pids[-1] for bench, pids in holders.items()}

    def acts(self) -> list[Act]:
        """All that the lab's own code has noted; only what is new is read."""
        with self._reading, contextlib.suppress(FileNotFoundError), open(self.folder / "acts.log", "rb") as log:
            log.seek(self._read)
            data = log.read()
            data = data[: data.rfind(b"\n") + 1]
            self._read += len(data)
            for act in map(json.loads, data.splitlines()):
                self._acts.append(Act(at=act.pop("at"), what=act.pop("what"), facts=act))
        return list(self._acts)

    def acts_of(self, session: str) -> list[Act]:
        return [act for act in self.acts() if act.session == session]

    def has_misbehaved(self, order: str) -> bool:
        """Has a hook or a task done wrong what it was ordered to?"""
        return any(act.what == "misbehaves" and act.facts["order"] == order for act in self.acts())

    def heard(self) -> dict[str, list[Heard]]:
        return {
            bench: [
                Heard(at=one["t"], event=one["event"], data=one.get("data", "").encode("latin-1"))
                for one in board.records()
            ]
            for bench, board in self.boards.items()
        }

    def kept(self, session: str) -> Kept:
        """What the store has of a session."""
        state = self.store.command("HGET", self.store.keys.of("session", session), "state")
        events = self.store.command("XRANGE", self.store.keys.of("events", session), "-", "+")
        states = [fields[b"state"].decode() for _, fields in events if b"state" in fields]
        claims = self.store.command("HGET", self.store.keys.of("session", session), "claims")
        return Kept(state=state.decode() if state else "unknown", states=states, claims=int(claims or 0))

    def wants_end(self, session: str) -> bool:
        """Does the store have it that the RLMS wants this session's end?"""
        with contextlib.suppress(StoreUnavailableError):
            return bool(self.store.command("HGET", self.store.keys.of("session", session), "disposing") == b"1")
        return False

    def bench_of(self, session: str) -> str:
        """The bench that it sent its last line to, '' where it sent none."""
        return str(next((act.facts["bench"] for act in reversed(self.acts_of(session)) if act.what == "line"), ""))

    def task_status(self, task: str) -> str:
        status = self.store.command("HGET", self.store.keys.of("task", task), "status")
        return status.decode() if status else ""

    def logs(self) -> str:
        return self._flow.logs()

    # -- what is done to the store

    def keep_file(self) -> None:
        """Nothing of the file is lost with the server's process: each answer comes after its write, and the machine
        goes on. With `everysec` a slow disk would let answers overtake the file."""
        self.server_command("CONFIG", "SET", "appendfsync", "no")

    def server_command(self, *arguments: Any) -> Any:
        """A command to the server itself, not through a proxy."""
        store = Store(self.server.url, "lab")
        try:
            return store.command(*arguments)
        finally:
            store.close()

    @contextlib.contextmanager
    def store_down(self) -> Iterator[Path]:
        """Kill the store; gives the folder of its file, and starts it again at the end of the block."""
        self.server.stop(signal.SIGKILL)
        try:
            yield self.server.folder / "appendonlydir"
        finally:
            self.server.start()
            self.keep_file()


def why_not_well(view: BenchView) -> str:
    if not view.host:
        return "no host"
    return "; ".join(f"{one.name} {one.condition}: {one.reason}" for one in view.devices if one.condition != "ok")


def why_releasing(view: BenchView) -> str:
    return "; ".join(f"{one.name} is being released" for one in view.devices if one.hold == "releasing")
