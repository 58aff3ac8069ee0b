"""The soak: a lab of eight simulated benches is used as if for weeks, and nothing of it may grow.

    SOAK_SECONDS=600 python -m tests.chaos.soak

Forty sessions an hour, a hundred times as fast: a student arrives every 0.9 s, with a page that reads the console and
looks at the camera, writes lines, runs a task, and goes in one of the ways in which students go. Memory, descriptors
and threads of each process and the store's keys are sampled all the time, to be shown.

What is judged is the lab at rest: after each quarter all have gone, and the store is restarted, so that no connection
is left but those that are needed. How busy the machine was says nothing there, and what leaks is more each time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.reservations import Reservations
from labkit.testing.store import StoreServer
from tests.chaos.chaos_lab import APP
from tests.chaos.idle import EMPTY, lasting_keys, own_threads
from tests.chaos.part import children_of, links_of
from tests.flows.harness import FlowLab
from tests.flows.people import Page, Rlms, Student, eventually
from tests.ports import free_ports
from tests.prepared import Prepared

BENCHES = 8
AN_HOUR = 40
FASTER = 100
SAMPLE_SECONDS = 2.0
KEPT_PART = 0.1
"""How long ended sessions and tasks stay readable here, of the whole time: the keys have to be level long before the
end. A feed of the store stays for a minute after its session, whatever is set."""
SETTINGS: Mapping[str, Any] = {
    "WEBLAB_TIMEOUT": 15,
    "LABKIT_HEALTH_INTERVAL": 5,
}
BENCH = """[console]
driver = "serial"
simulate = true
safe = { send = "\\u0003halt\\r", expect = "all leds are off" }

[camera]
driver = "camera"
simulate = true
size = "320x180"
rate = 4
"""
PARTS = 4
"""After each of them the lab comes to rest. The first is the time in which it gets warm."""
AWAY_SECONDS = 1.5
"""How long the store is away then: each process notices with its beat, and drops the connections that it kept."""
SETTLED_SECONDS = 5.0
LOOK_SECONDS = 12.0
"""A lab at rest looks at its devices now and then. What is there at every moment of this time counts."""
GROWTH: Mapping[str, tuple[float, float]] = {
    "memory": (1.5, 12.0),
    "files": (0.0, 4.0),
    "sockets": (0.0, 6.0),
    "threads": (0.0, 6.0),
    "keys": (0.0, 6.0),
}
"""What grows: by more than the first number (MiB, files, ...) from each rest to the next, or by more than the second
from the first to the last. What one busy moment needed and is kept (memory of Python's, a thread) is no growth."""
MOST_FAILED = 0.05
"""Part of the visits that may fail: a machine that stands still for four seconds takes a process for dead."""
FEWEST_SERVED = 0.8
"""Part of the students who come that has to be served; on a busy machine some find all benches taken."""
USES = ("frames", "bytes of feeds", "lines", "tasks")
"""What students use, by its name in the tally. Where nobody did, nothing is said of what it leaves behind."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one process (or the store's keys) had at one moment, by what was measured."""

    at: float
    of: str
    values: Mapping[str, float]


@dataclass(kw_only=True)
class Tally:
    """What the students saw. Safe for many threads."""

    counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, count: int = 1) -> None:
        with self._lock:
            self.counts[what] += count


class SoakLab:
    """Store, loop and two web processes for simulated benches, in a folder."""

    def __init__(self, folder: Path, kept: float):
        self.ports = free_ports(2)
        self.server = StoreServer(append_only=True)
        self._folder = folder
        self._stack = contextlib.ExitStack()
        settings = {**SETTINGS, "WEBLAB_EXPIRED_USERS_TIMEOUT": kept, "WEBLAB_TASK_EXPIRES": kept}
        self.flow = FlowLab(folder, self.server, self.ports[0], benches=0, settings=settings)
        self.processes: dict[str, Prepared] = {}
        (folder / "exits").mkdir()
        for number in range(1, BENCHES + 1):
            (folder / "devices" / f"bench-{number}.toml").write_text(BENCH)

    def __enter__(self) -> SoakLab:
        self._stack.enter_context(self.server)
        self._stack.callback(self.flow.close)
        self.store = self._stack.enter_context(contextlib.closing(Store(self.server.url, "lab")))
        self.processes["loop"] = self.flow.loop(app=APP)
        for number, port in enumerate(self.ports, start=1):
            self.processes[f"web-{number}"] = self.flow.web(app=APP, port=port)
        eventually(lambda: self.free == BENCHES, 120.0, "free benches")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def free(self) -> int:
        """How many benches could be given out now."""
        views = Reservations(self.store).benches()
        return sum(
            bool(view.host) and all(one.hold == "none" and one.condition == "ok" for one in view.devices)
            for view in views
        )

    def samples(self) -> Iterator[Sample]:
        """Look at everything once."""
        at = time.monotonic()
        for name, pid in self._pids():
            yield Sample(at=at, of=name, values=facts_of(pid))
        memory = self.store.command("INFO", "memory")
        keys = {"keys": float(self.store.command("DBSIZE")), "memory": float(memory["used_memory"]) / 2**20}
        yield Sample(at=at, of="store", values=keys)

    def _pids(self) -> Iterator[tuple[str, int]]:
        for name, process in self.processes.items():
            for pid in children_of(process.pid) if name.startswith("web") else [process.pid]:
                yield name, pid

    def rest(self) -> dict[tuple[str, str], float]:
        """Wait until nothing is under way, restart the store, and look at what there is when all have come back."""
        eventually(self._at_rest, 120.0, "a lab at rest")
        self.server.stop()
        time.sleep(AWAY_SECONDS)
        self.server.start()
        eventually(self._at_rest, 120.0, "a lab at rest after its store's restart")
        time.sleep(SETTLED_SECONDS)
        found, until = self._counted(), time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until:
            time.sleep(0.2)
            found = {key: min(found[key], value) for key, value in self._counted().items()}
        return found | {("store", "keys"): float(len(lasting_keys(self.store)))}

    def _at_rest(self) -> bool:
        """Are all processes there, all benches free, and is nothing under way?"""
        ask, keys = self.store.command, self.store.keys
        with contextlib.suppress(StoreUnavailableError):  # it was restarted just now
            here = self.free == BENCHES and ask("ZCARD", keys["processes"]) == len(self.processes)
            return here and not any(ask("EXISTS", keys[key]) for key in EMPTY)
        return False

    def _counted(self) -> dict[tuple[str, str], float]:
        """Memory, descriptors and threads of each process."""
        found = {}
        for name, pid in self._pids():
            facts = {**facts_of(pid), "threads": float(len(own_threads(pid)))}
            found |= {(name, what): value for what, value in facts.items()}
        return found


def facts_of(pid: int) -> dict[str, float]:
    """Memory in MiB, descriptors (sockets and others) and threads of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    links = links_of(pid)
    sockets = sum(link.startswith("socket:") for link in links)
    return {
        "memory": pages * os.sysconf("SC_PAGESIZE") / 2**20,
        "files": float(len(links) - sockets),
        "sockets": float(sockets),
        "threads": float(len(os.listdir(f"/proc/{pid}/task"))),
    }


class Visit:
    """One session, from the RLMS's start to its end."""

    def __init__(self, lab: SoakLab, tally: Tally, seed: str):
        self._random = random.Random(seed)
        self._tally = tally
        self._rlms = Rlms(self._random.choice(lab.ports))

    def make(self) -> None:
        """Come, work, go."""
        began = time.monotonic()
        status, answer = self._rlms.start("student", length=20.0)
        if status != 200:
            self._tally.add("refused" if status == 503 else f"start answered {status}")
            return
        student = Student(self._rlms.port, answer["session_id"], answer["url"])
        try:
            if self._random.random() < 0.9:  # else a student who never comes
                self._work(student.enter())
        finally:
            self._end(student.session_id)
        self._tally.add("sessions")
        self._tally.add("session milliseconds", int((time.monotonic() - began) * 1000))

    def _work(self, student: Student) -> None:
        page = student.socket()

        def shown(frame: dict[str, Any]) -> None:
            self._tally.add("frames")
            page.client.emit("ack", {key: frame[key] for key in ("device", "feed", "id")})

        page.client.on("frame", shown)
        with page:
            self._use(student, page)
            self._tally.add("bytes of feeds", len(page.bytes()))
        if self._random.random() < 0.3:
            student.ask("POST", "/leave", b"")

    def _use(self, student: Student, page: Page) -> None:
        devices = student.ask("GET", "/names")[1]
        console, camera = (next(name for name in devices if name.endswith(kind)) for kind in ("console", "camera"))
        page.subscribe(console)
        assert page.ask("subscribe", {"device": camera, "feed": "frames", "cursor": None})["ok"]
        for number in range(self._random.randint(2, 6)):
            assert page.write(console, f"# by the page {number}\r".encode())["ok"]
            assert student.ask("POST", "/line?size=40", b"")[0] == 200
            self._tally.add("lines", 2)
            time.sleep(self._random.uniform(0.1, 0.6))
        if self._random.random() < 0.5:
            assert student.ask("POST", "/work", b"")[0] == 200
            self._tally.add("tasks")

    def _end(self, session: str) -> None:
        eventually(lambda: self._rlms.dispose(session)["message"] == "Deleted", 60.0, "the end of a session")


class Soak:
    """Students at a steady pace, and samples beside them.

    came: how many there were. samples: what was seen while the lab was used, by quarter. rests: what of what -> how
    much there was at each rest.
    """

    def __init__(self, lab: SoakLab, seconds: float, seed: int):
        self._lab = lab
        self._seconds = seconds
        self._seed = seed
        self.came = 0
        self.samples: list[list[Sample]] = []
        self.rests: dict[tuple[str, str], list[float]] = {}
        self.tally = Tally()

    def run(self) -> None:
        """Use the lab for so long, in quarters; after each wait until the last student has gone, and look."""
        for _ in range(PARTS):
            self._use(self._seconds / PARTS)
            for key, value in self._lab.rest().items():
                self.rests.setdefault(key, []).append(value)

    def _use(self, seconds: float) -> None:
        over, seen = threading.Event(), list[Sample]()
        watcher = threading.Thread(target=self._watch, args=(over, seen))
        watcher.start()
        visits: list[threading.Thread] = []
        pace, began = 3600 / (AN_HOUR * FASTER), time.monotonic()
        try:
            while (left := began + seconds - time.monotonic()) > 0:
                visits.append(threading.Thread(target=self._visit, args=(self.came,)))
                visits[-1].start()
                self.came += 1
                time.sleep(min(left, max(0.0, began + len(visits) * pace - time.monotonic())))
        finally:
            over.set()
            watcher.join(30.0)
            for visit in visits:
                visit.join(120.0)
        self.samples.append(seen)

    def _visit(self, number: int) -> None:
        try:
            Visit(self._lab, self.tally, f"{self._seed} {number}").make()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.tally.add(f"failed: {type(error).__name__} in {where.line}")

    def _watch(self, over: threading.Event, seen: list[Sample]) -> None:
        while not over.wait(SAMPLE_SECONDS):
            seen += self._lab.samples()


def means(parts: Sequence[Sequence[Sample]]) -> dict[tuple[str, str], list[float]]:
    """What was measured of what -> its mean in each part of the time."""
    series: dict[tuple[str, str], list[list[float]]] = {}
    for number, samples in enumerate(parts):
        for sample in samples:
            for what, value in sample.values.items():
                series.setdefault((sample.of, what), [[] for _ in parts])[number].append(value)
    return {key: [statistics.fmean(each) if each else 0.0 for each in values] for key, values in series.items()}


def growths(rests: Mapping[tuple[str, str], Sequence[float]]) -> list[str]:
    """What there was more of at each rest, or far more at the last."""
    found = []
    for (of, what), values in rests.items():
        step, most = GROWTH[what]
        if min(later - earlier for earlier, later in pairwise(values)) > step or values[-1] - values[0] > most:
            found.append(f"{what} of {of} grew: {', '.join(f'{value:.1f}' for value in values)}")
    return found


def unused(counts: Mapping[str, int], came: int) -> list[str]:
    """What of the lab was used too little for this to be a soak. came: how many students."""
    found = [f"too few: nobody has had {what}" for what in USES if not counts.get(what)]
    served = counts.get("sessions", 0)
    if served < FEWEST_SERVED * came or not served:
        found.append(f"too few: {served} of {came} students were served")
    return found


def report(soak: Soak, seconds: float) -> list[str]:
    """Print the figures; returns what is wrong with them."""
    counts = soak.tally.counts
    for title, rows in (("in use, means", means(soak.samples)), ("at rest", soak.rests)):
        print(f"{title:22}", *(f"{f'quarter {number}':>10}" for number in range(1, PARTS + 1)), "  (memory in MiB)")
        for (of, what), values in sorted(rows.items()):
            print(f"{of:8} {what:13}", *(f"{value:10.1f}" for value in values))
    length = counts.pop("session milliseconds", 0) / max(1, counts["sessions"]) / 1000
    print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())), f"; a session took {length:.1f} s")
    print(f"{counts['sessions'] / seconds * 3600:.0f} sessions an hour were served")
    wrong = growths(soak.rests) + unused(counts, soak.came)
    failed = {what: count for what, count in counts.items() if what.startswith(("failed", "start answered"))}
    if sum(failed.values()) > MOST_FAILED * counts["sessions"]:
        wrong += [f"{count} x {what}" for what, count in failed.items()]
    return wrong


def main() -> None:
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    folder = Path(tempfile.mkdtemp(prefix="labkit-soak-"))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends it, the lab's processes are ended
    print(f"{BENCHES} benches, {AN_HOUR * FASTER} students an hour for {seconds:.0f} s")
    with SoakLab(folder, max(1.0, KEPT_PART * seconds)) as lab:
        soak = Soak(lab, seconds, seed=1)
        soak.run()
        wrong = report(soak, seconds)
    for complaint in wrong:
        print(f"WRONG: {complaint}")
    print(f"something is wrong; the logs are in {folder}" if wrong else "nothing grew")
    if not wrong:
        shutil.rmtree(folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
