"""The soak: a lab of eight simulated benches is used as if for weeks, and nothing of it may grow.

    SOAK_SECONDS=600 python -m tests.chaos.soak

Forty sessions an hour, a hundred times as fast: a student arrives every 0.9 s, with a page that reads the console and
looks at the camera, writes lines, runs a task, and goes in one of the ways in which students go. Memory, descriptors
and threads of each process and the store's keys are sampled all the time. The last third is compared with the middle
one: the first is the time in which a lab gets warm.
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
from pathlib import Path
from typing import Any

from labkit.store.connection import Store
from labkit.store.reservations import Reservations
from labkit.testing.store import StoreServer
from tests.chaos.chaos_lab import APP, children_of, links_of
from tests.chaos.chaos_run import free_ports
from tests.flows.harness import FlowLab
from tests.flows.people import Page, Rlms, Student, eventually
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
GROWTH: Mapping[str, tuple[float, float]] = {
    "memory": (0.03, 3.0),
    "files": (0.05, 3.0),
    "sockets": (0.10, 8.0),
    "threads": (0.05, 3.0),
    "keys": (0.10, 20.0),
}
"""By how much the last third may be above the middle one: this part of it, or so many MiB, files, ...

Connections to the store are kept for the next use, as many as were ever needed at once."""
MOST_FAILED = 0.05
"""Part of the visits that may fail: a machine that stands still for four seconds takes a process for dead."""


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
        self.server = StoreServer()
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
        self.processes["loop"] = self.flow.start_process("labkit.cli", ["--app", APP, "loop"])
        for number, port in enumerate(self.ports, start=1):
            how = ["-k", "gthread", "--threads", "60", "--no-control-socket", "-b", f"127.0.0.1:{port}", APP]
            self.processes[f"web-{number}"] = self.flow.start_process("gunicorn", how, WEBLAB_NO_THREAD=True)
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
        for name, process in self.processes.items():
            for pid in children_of(process.pid) if name.startswith("web") else [process.pid]:
                yield Sample(at=at, of=name, values=facts_of(pid))
        memory = self.store.command("INFO", "memory")
        keys = {"keys": float(self.store.command("DBSIZE")), "memory": float(memory["used_memory"]) / 2**20}
        yield Sample(at=at, of="store", values=keys)


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
    """Students at a steady pace, and samples beside them."""

    def __init__(self, lab: SoakLab, seconds: float, seed: int):
        self._lab = lab
        self._seconds = seconds
        self._seed = seed
        self._over = threading.Event()
        self.samples: list[Sample] = []
        self.tally = Tally()

    def run(self) -> None:
        """Use the lab for so long, and wait until the last student has gone."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        visits: list[threading.Thread] = []
        pace, began = 3600 / (AN_HOUR * FASTER), time.monotonic()
        try:
            while (left := began + self._seconds - time.monotonic()) > 0:
                number = len(visits)
                visits.append(threading.Thread(target=self._visit, args=(number,)))
                visits[-1].start()
                time.sleep(min(left, max(0.0, began + (number + 1) * pace - time.monotonic())))
        finally:
            for visit in visits:
                visit.join(120.0)
            self._over.set()
            watcher.join(30.0)

    def _visit(self, number: int) -> None:
        try:
            Visit(self._lab, self.tally, f"{self._seed} {number}").make()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.tally.add(f"failed: {type(error).__name__} in {where.line}")

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._over.wait(SAMPLE_SECONDS):
            self.samples += [Sample(at=one.at - began, of=one.of, values=one.values) for one in self._lab.samples()]


def thirds(samples: Sequence[Sample], seconds: float) -> dict[tuple[str, str], list[float]]:
    """What was measured of what -> its means in the three thirds of the time."""
    series: dict[tuple[str, str], list[list[float]]] = {}
    for sample in samples:
        third = min(2, int(3 * sample.at / seconds))
        for what, value in sample.values.items():
            series.setdefault((sample.of, what), [[], [], []])[third].append(value)
    return {key: [statistics.fmean(each) if each else 0.0 for each in parts] for key, parts in series.items()}


def growths(means: Mapping[tuple[str, str], Sequence[float]]) -> list[str]:
    """What grew in the last third beyond what noise explains."""
    found = []
    for (of, what), (_, middle, last) in means.items():
        part, least = GROWTH[what]
        if last - middle > max(part * middle, least):
            found.append(f"{what} of {of} grew from {middle:.1f} to {last:.1f}")
    return found


def report(soak: Soak, seconds: float) -> list[str]:
    """Print the figures; returns what is wrong with them."""
    means = thirds(soak.samples, seconds)
    counts = soak.tally.counts
    print(f"{'of':8} {'what':12} {'first':>9} {'middle':>9} {'last':>9}   (means of the thirds; memory in MiB)")
    for (of, what), values in sorted(means.items()):
        print(f"{of:8} {what:12}", *(f"{value:9.1f}" for value in values))
    length = counts.pop("session milliseconds", 0) / max(1, counts["sessions"]) / 1000
    print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())), f"; a session took {length:.1f} s")
    print(f"{counts['sessions'] / seconds * 3600:.0f} sessions an hour were served")
    wrong = growths(means)
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
        eventually(lambda: lab.free == BENCHES, 60.0, "free benches at the end")
    for complaint in wrong:
        print(f"WRONG: {complaint}")
    print(f"something grew or failed; the logs are in {folder}" if wrong else "nothing grew")
    if not wrong:
        shutil.rmtree(folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
