"""One chaos run: rounds of faults under load, each followed by a calm in which everything comes up again and is judged.

    CHAOS_SEED=7 CHAOS_FAULTS=1000 python -m tests.chaos.chaos_run

A short run with a fixed seed is a test (`test_chaos.py`), long ones are `make chaos`. Prints its seed at its start and
a table of faults by kind at its end; ends with status 1 where anything did not hold.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import StoreUnavailableError
from tests.chaos.chaos_lab import HANG_SECONDS, ChaosLab
from tests.chaos.faults import KINDS, STORE_CLOCK, Scene, targets
from tests.chaos.idle import Idle, look_at_idle, wait_until_idle
from tests.chaos.judge import complaints_about
from tests.chaos.load import NO_ANSWER, Desk, Load, Web
from tests.chaos.record import Fault, Record
from tests.flows.people import Rlms

ROUND = 25
"""Faults before a calm."""
AT_ONCE = 3
USERS = 2
"""For each bench."""
PAUSE = (0.1, 1.2)
RECOVERY = 60.0
"""Seconds after which a lab that is not up again has failed. PROMISED is less; the rest is for a slow machine."""
PROMISED = 10.0
HANGS = ("hang", "deaf")
Complaints = dict[str, list[str]]


class ChaosRun:
    """The run: picks faults by its seed, does them, waits, judges. `table()` is what to show at the end."""

    def __init__(self, lab: ChaosLab, webs: Sequence[Web], seed: int, kinds: Sequence[str] = tuple(KINDS)):
        self._lab = lab
        self._desk = Desk(lab=lab, webs=webs)
        self._seed = seed
        self._kinds = kinds
        self._random = random.Random(seed)
        self._bag: list[str] = []
        self._busy: set[str] = set()
        self._lock = threading.Condition()
        self._faults: list[Fault] = []
        self._idle: Idle | None = None
        self._judged = 0
        self._held: Counter[str] = Counter()
        self._waited_for = ""
        self.recoveries: list[float] = []
        self.complaints: Complaints = {}

    def run(self, faults: int) -> bool:
        """Do so many faults, in rounds. False: something did not hold, see `complaints`; it ends with that round."""
        self._wait_until_up()
        self._warm_up()
        self._idle = look_at_idle(self._lab)
        number = 0
        while faults > 0 and not self.complaints:
            self._round(number, min(ROUND, faults))
            faults, number = faults - ROUND, number + 1
        return not self.complaints

    def _round(self, number: int, faults: int) -> None:
        with Load(self._lab, self._desk, USERS * len(self._lab.benches), f"{self._seed} {number}"):
            for _ in range(faults):
                self._begin()
                time.sleep(self._random.uniform(*PAUSE))
            last = self._wait_for_faults()
            took = self._wait_until_up(last)
            self.recoveries.append(took)
        self.complaints = self._judge()
        done = self._faults[self._judged :]
        self._judged = len(self._faults)
        if not self.complaints:
            self._held.update(fault.kind for fault in done)
        slow = f" (waited for {self._waited_for})" if took > PROMISED else ""
        print(f"round {number}: {len(done)} faults, up again {took:.1f} s after the last one{slow}, {self._figures()}")

    # -- faults

    def _begin(self) -> None:
        """Begin one fault on a target that has none; waits until there is one, and until not too many go on."""
        with self._lock:
            while True:
                kind, target = self._pick()
                if target and len(self._busy) < AT_ONCE:
                    break
                self._lock.wait(0.05)
            self._busy.add(target)
        rng = random.Random(f"{self._seed} {len(self._faults)} {kind}")
        threading.Thread(target=self._do, args=(kind, Scene(self._lab, self._desk, target, rng))).start()

    def _pick(self) -> tuple[str, str]:
        if not self._bag:
            self._bag = self._random.sample(self._kinds, len(self._kinds))
        for kind in self._bag:
            free = [target for target in targets(self._lab, KINDS[kind][0]) if target not in self._busy]
            if free and len(self._busy) < AT_ONCE:
                self._bag.remove(kind)
                return kind, self._random.choice(free)
        return "", ""

    def _do(self, kind: str, scene: Scene) -> None:
        began = time.monotonic()
        try:
            KINDS[kind][1](scene)
        except Exception:
            self.complaints.setdefault("harness", []).append(f"{kind} on {scene.target}: {traceback.format_exc()}")
        hangs = scene.target == "hooks" and kind.endswith(HANGS)  # and goes on after it was ordered
        over = time.monotonic() + (HANG_SECONDS if hangs else 0.0)
        with self._lock:
            self._faults.append(Fault(kind=kind, target=scene.target, began=began, over=over))
            self._busy.discard(scene.target)
            self._lock.notify_all()

    def _wait_for_faults(self) -> float:
        """Wait until all are over; returns when the last one was."""
        with self._lock:
            while self._busy:
                self._lock.wait(1.0)
            self._desk.orders.clear()
            return max(fault.over for fault in self._faults)

    # -- the calm

    def _wait_until_up(self, since: float = 0.0) -> float:
        """Wait until everything is up again; returns after how many seconds it was."""
        since = since or time.monotonic()
        wrong, still = "not looked yet", self._lab.stood_still
        while wrong and time.monotonic() < since + RECOVERY + 3 * (self._lab.stood_still - still):
            self._waited_for = wrong
            time.sleep(0.05)
            wrong = self._what_is_down()
        exits = [act.at for act in self._lab.acts() if act.what == "exit"]  # a hook does it when its session ends
        took = max(0.0, time.monotonic() - max(since, *exits, 0.0))
        if wrong:
            self.complaints.setdefault("up_again", []).append(f"after {took:.0f} s: {wrong}")
        return took

    def _what_is_down(self) -> str:
        for part in self._lab.parts:
            if part.process.poll() is not None:
                return f"{part.name} does not run"
        for web in self._desk.webs:
            try:
                if Rlms(web.port).ask("POST", "/weblab/sessions/nobody", {"action": "delete"})[1] != {
                    "message": "Not found"
                }:
                    return f"{web.name} has no store"
            except NO_ANSWER:
                return f"{web.name} does not answer"
        try:
            return "; ".join(f"{bench}: {why}" for bench, why in self._lab.unwell().items())
        except StoreUnavailableError as error:
            return str(error)

    def _warm_up(self) -> None:
        """A little of everything, so that what is made with its first use is there before it is counted."""
        with Load(self._lab, self._desk, USERS * len(self._lab.benches), f"{self._seed} warm-up"):
            time.sleep(5.0)
        wait_until_idle(self._lab)

    # -- judging

    def _judge(self) -> Complaints:
        found = dict(self.complaints)
        assert self._idle is not None
        if left := wait_until_idle(self._lab, self._idle):
            found["nothing_left_behind"] = left
        return found | complaints_about(self._record())

    def _record(self) -> Record:
        acts = sorted([*self._lab.acts(), *self._desk.acts], key=lambda act: act.at)
        sessions = {act.session for act in acts if act.session}
        tasks = {str(act.facts["task"]) for act in acts if act.what in ("submitted", "task")}
        return Record(
            heard=self._lab.heard(),
            acts=acts,
            asked=list(self._desk.log),
            sessions={session: self._lab.kept(session) for session in sessions},
            tasks={task: self._lab.task_status(task) for task in tasks},
            faults=list(self._faults),
            samples=list(self._lab.samples),
            openers=list(self._lab.openers),
            forgotten=list(self._lab.forgotten),
            moves=list(self._lab.moves),
        )

    def _figures(self) -> str:
        acts = Counter(act.what for act in self._lab.acts())
        pages = sum(act.what == "line" for act in self._desk.acts)
        asked = Counter(asked.what for asked in self._desk.log)
        return (
            f"sessions {acts['on_start']}, disposed {acts['on_dispose']}, lines {acts['line']} and {pages} by pages "
            f"(failed {acts['line failed']}), tasks {acts['task']}, requests of the RLMS {sum(asked.values())} "
            f"(unanswered {sum(not one.status for one in self._desk.log)})"
        )

    def history(self) -> str:
        """Each fault with its times, which are those of the boards' records and of acts.log."""
        rows = sorted(self._faults, key=lambda fault: fault.began)
        return "".join(f"{one.began:.3f} {one.over:.3f} {one.kind} {one.target}\n" for one in rows)

    def table(self) -> str:
        """Faults by kind, and how many of them held."""
        done = Counter(fault.kind for fault in self._faults)
        rows = [f"{kind:24} {done[kind]:6} {self._held[kind]:6}" for kind in self._kinds if done[kind]]
        recoveries = ", ".join(f"{seconds:.1f}" for seconds in self.recoveries)
        return "\n".join(
            [
                f"{'fault':24} {'done':>6} {'held':>6}",
                *rows,
                f"{'all':24} {sum(done.values()):6} {sum(self._held.values()):6}",
                f"up again after (s): {recoveries}",
            ]
        )


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def run_chaos(folder: Path, seed: int, faults: int, *, benches: int = 3, kinds: Sequence[str] = tuple(KINDS)) -> bool:
    """Run it all in a folder; prints what happens. True: all held."""
    print(f"CHAOS_SEED={seed} CHAOS_FAULTS={faults}", flush=True)
    ports = free_ports(2)
    webs = [Web(name=f"web-{number}", port=port) for number, port in enumerate(ports, start=1)]
    with ChaosLab(folder, ports, benches=benches, loops=2, seed=seed) as lab:
        if not lab.store_clock.moves:
            print("There is no C compiler (cc): the store's clock does not jump.")
            kinds = [kind for kind in kinds if kind != STORE_CLOCK]
        run = ChaosRun(lab, webs, seed, kinds)
        held = run.run(faults)
        print(run.table())
        for judge, wrong in run.complaints.items():
            print(f"{judge}: {len(wrong)}", *wrong[:10], sep="\n  ")
        print(f"the machine stood still for {lab.stood_still:.1f} s")
        if not held:
            (folder / "faults.txt").write_text(run.history())
            print(f"CHAOS_SEED={seed} did not hold; the logs are in {folder}, what was done when in its faults.txt")
    return held


def main() -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
    folder = Path(tempfile.mkdtemp(prefix="labkit-chaos-"))
    kinds = os.environ.get("CHAOS_KINDS", "").split() or list(KINDS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends it, the lab's processes are ended
    held = run_chaos(folder, seed, int(os.environ.get("CHAOS_FAULTS") or 1000), kinds=kinds)
    if held:
        shutil.rmtree(folder)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
