"""One chaos run: rounds of faults under load, each followed by a calm in which everything comes up again and is judged.

    CHAOS_SEED=7 CHAOS_FAULTS=1000 python -m tests.chaos.chaos_run

A short run with a fixed seed is a test (`test_chaos.py`), long ones are `make chaos`. Prints its seed at its start and
a table of faults by kind at its end; ends with status 1 where anything did not hold. Only faults that took effect are
counted, and it goes on until there were as many as were asked for.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from labkit.errors import StoreUnavailableError
from tests.chaos.calm import visit_each_bench
from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.faults import KINDS, Scene, targets
from tests.chaos.idle import Idle, look_at_idle, wait_until_idle
from tests.chaos.judge import complaints_about
from tests.chaos.load import NO_ANSWER, Desk, Load, Web
from tests.chaos.record import STORE_CLOCK, Act, Fault, Record
from tests.flows.people import Rlms
from tests.ports import free_ports

ROUND = 25
"""Faults before a calm."""
FEWEST = 10
"""Faults of a further round, which makes up for those that had no effect."""
AT_ONCE = 3
USERS = 2
"""For each bench."""
PAUSE = (0.1, 1.2)
RECOVERY = 60.0
"""Seconds for which a lab that is not up again is waited for."""
PROMISED = 10.0
"""Seconds within which it has to be, not counting those for which the machine stood still."""
DEAF_SECONDS = 7.0
"""How long a call that is deaf to its interruption goes on after it was ordered."""
MOST_TRIES = 3
"""So many faults may be tried for each that took effect."""
DONE = ("on_start done", "line done", "on_dispose done", "task done")
"""What the lab's own code does. Where it did not even once in a run, the run says nothing."""
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
        self._load_did: Counter[str] = Counter()
        self._waited_for = ""
        self._up_by = 0.0
        """When all is to be up again, after the last round."""
        self._record = Record()
        self.harness: list[str] = []
        """What went wrong in the harness itself: then nothing is shown."""
        self.recoveries: list[float] = []
        self.complaints: Complaints = {}

    def run(self, faults: int, *, again: bool = True) -> bool:
        """Do faults, in rounds, until so many took effect; again=False: until so many were tried. False: something did
        not hold, see `complaints`; it ends with that round."""
        self._wait_until_up()
        self._warm_up()
        self._idle = look_at_idle(self._lab)
        number = 0
        while not self.complaints and (left := faults - (self._happened if again else len(self._faults))) > 0:
            if len(self._faults) >= MOST_TRIES * faults:
                self._complain("harness", f"of {len(self._faults)} faults only {self._happened} took effect")
                break
            self._round(number, min(ROUND, max(left, FEWEST if number else 0)))
            number += 1
        self._look_whether_anything_happened(number)
        return not self.complaints

    @property
    def _happened(self) -> int:
        return sum(fault.happened for fault in self._faults)

    def _complain(self, judge: str, text: str) -> None:
        self.complaints.setdefault(judge, []).append(text)

    def _round(self, number: int, faults: int) -> None:
        before = self._did()
        with Load(self._lab, self._desk, USERS * len(self._lab.benches), f"{self._seed} {number}"):
            for _ in range(faults):
                self._begin()
                time.sleep(self._random.uniform(*PAUSE))
            last = self._wait_for_faults()
            took = self._wait_until_up(last)
            self.recoveries.append(took)
        self._load_did += self._did() - before
        self._judge()
        done = self._faults[self._judged :]
        self._judged = len(self._faults)
        if not self.complaints:
            self._held.update(fault.kind for fault in done if fault.happened)
        slow = f" (waited for {self._waited_for})" if took > PROMISED else ""
        happened = sum(fault.happened for fault in done)
        print(f"round {number}: {happened} faults, up again {took:.1f} s after the last one{slow}, {self._figures()}")

    def _did(self) -> Counter[str]:
        return Counter(act.what for act in self._lab.acts())

    def _look_whether_anything_happened(self, rounds: int) -> None:
        """Under load, each kind of act has come to its end; all but tasks about once in each round."""
        for what in DONE:
            least = 1 if what == "task done" else rounds
            if not self.complaints and self._load_did[what] < least:
                self._complain("nothing_happened", f"'{what}' {self._load_did[what]} times in {rounds} rounds")

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
        scene = Scene(self._lab, self._desk, target, rng)
        threading.Thread(target=self._do, args=(kind, scene), name=f"fault {kind}").start()

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
        began, happened = time.monotonic(), False
        try:
            happened = KINDS[kind][1](scene)
        except Exception:
            self.harness.append(f"{kind} on {scene.target}: {traceback.format_exc()}")
        over = time.monotonic()
        fault = Fault(
            kind=kind, target=scene.target, began=began, over=over, happened=happened, order=scene.order
        )  # fmt: skip
        with self._lock:
            self._faults.append(fault)
            self._busy.discard(scene.target)
            self._lock.notify_all()

    def _wait_for_faults(self) -> float:
        """Wait until all are over; returns when the last one was."""
        with self._lock:
            while self._busy:
                self._lock.wait(1.0)
            self._desk.orders.clear()
            return max(fault.over for fault in self._faults)

    def _see_what_was_ordered(self) -> None:
        """What the lab's own code was ordered to do wrong happened where it says so."""
        did = {act.facts["order"]: act.at for act in self._lab.acts() if act.what == "misbehaves"}
        for number, fault in enumerate(self._faults):
            if fault.order in did:
                over = max(fault.over, did[fault.order])
                self._faults[number] = replace(fault, over=over, happened=True)

    # -- the calm

    def _wait_until_up(self, since: float = 0.0) -> float:
        """Wait until everything is up again; returns after how many seconds it was."""
        since = since or time.monotonic()
        wrong, still = "not looked yet", self._lab.stood_still
        while wrong and time.monotonic() < since + RECOVERY + 3 * (self._lab.stood_still - still):
            self._waited_for = wrong
            time.sleep(0.05)
            wrong = self._what_is_down()
        last = max(since, *self._latest(self._lab.acts()))
        took, self._up_by = max(0.0, time.monotonic() - last), last + PROMISED
        if wrong:
            self._complain("up_again", f"after {took:.0f} s: {wrong}")
        elif took > PROMISED + 3 * (self._lab.stood_still - still):
            self._complain("up_again_in_time", f"after {took:.1f} s: {self._waited_for}")
        return took

    def _latest(self, acts: Sequence[Act]) -> Iterator[float]:
        """When the last of that happened which does not end with its fault: a hook that exits does so when its session
        ends, a deaf driver comes back later, and who died is started again after a moment."""
        yield 0.0
        for act in acts:
            if act.what == "exit":
                yield act.at
            elif act.what == "misbehaves" and act.facts["kind"] == "task-deaf":
                yield min(act.at + DEAF_SECONDS, time.monotonic())
        for part in self._lab.parts:
            yield part.back_at

    def _what_is_down(self) -> str:
        for part in self._lab.parts:
            if not part.runs:
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
        for left in wait_until_idle(self._lab):
            self._complain("warm_up", left)

    # -- judging

    def _judge(self) -> None:
        assert self._idle is not None
        if left := wait_until_idle(self._lab):
            self.complaints["nothing_left_behind"] = left
        else:
            for wrong in visit_each_bench(self._lab, self._desk, self._up_by):
                self._complain("a_session_on_each_bench", wrong)
            if left := wait_until_idle(self._lab, self._idle):
                self.complaints["nothing_left_behind"] = left
        self._see_what_was_ordered()
        self._record = self._recorded()
        self.complaints |= complaints_about(self._record)
        for wrong in [*self.harness, *self._lab.late_looks, *(f"{name} has died" for name in self._lab.dead_threads)]:
            self._complain("harness", wrong)

    def _recorded(self) -> Record:
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
            lived=dict(self._lab.lived),
            downs={part.name: list(part.downs) for part in self._lab.parts},
            stills=list(self._lab.stills),
        )

    def _figures(self) -> str:
        acts = self._did()
        pages = sum(act.what == "line" for act in self._desk.acts)
        asked = Counter(asked.what for asked in self._desk.log)
        return (
            f"sessions {acts['on_start']}, disposed {acts['on_dispose']}, lines {acts['line']} and {pages} by pages "
            f"(failed {acts['line failed']}), tasks {acts['task']}, requests of the RLMS {sum(asked.values())} "
            f"(unanswered {sum(not one.status for one in self._desk.log)})"
        )

    def keep(self, folder: Path) -> None:
        """Write down what the judges have read (`record.pickle`), and each fault with its times, which are those of the
        boards' records and of acts.log."""
        rows = sorted(self._faults, key=lambda fault: fault.began)
        lines = (
            f"{one.began:.3f} {one.over:.3f} {one.kind} {one.target}{'' if one.happened else ' -'}\n" for one in rows
        )
        (folder / "faults.txt").write_text("".join(lines))
        (folder / "record.pickle").write_bytes(pickle.dumps(self._record))

    def table(self) -> str:
        """Faults by kind, how many of them took effect, and how many of those held; what the judges let pass."""
        tried = Counter(fault.kind for fault in self._faults)
        done = Counter(fault.kind for fault in self._faults if fault.happened)
        kinds = [kind for kind in self._kinds if tried[kind]]
        rows = [f"{kind:24} {tried[kind]:6} {done[kind]:12} {self._held[kind]:6}" for kind in kinds]
        recoveries = ", ".join(f"{seconds:.1f}" for seconds in self.recoveries)
        return "\n".join(
            [
                f"{'fault':24} {'tried':>6} {'took effect':>12} {'held':>6}",
                *rows,
                f"{'all':24} {sum(tried.values()):6} {sum(done.values()):12} {sum(self._held.values()):6}",
                f"up again after (s): {recoveries}",
                f"starts within {PROMISED:.0f} s of the last fault that were to come again: {self._desk.again}",
                *(f"let pass {count:4} times: {why}" for why, count in sorted(self._record.excused.items())),
            ]
        )


@contextlib.contextmanager
def dying_threads(into: list[str]) -> Iterator[None]:
    """Note each thread that dies of an error in the block: what it was to do is not done any more."""

    def note(died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread is not None else "a thread"
        text = "".join(traceback.format_exception(died.exc_type, died.exc_value, died.exc_traceback))
        into.append(f"{name} has died: {text}")

    before, threading.excepthook = threading.excepthook, note
    try:
        yield
    finally:
        threading.excepthook = before


def run_chaos(
    folder: Path, seed: int, faults: int, *, benches: int = 3, kinds: Sequence[str] = tuple(KINDS), again: bool = True
) -> bool:
    """Run it all in a folder; prints what happens. again: try others for faults that had no effect. True: all held."""
    print(f"CHAOS_SEED={seed} CHAOS_FAULTS={faults}", flush=True)
    ports = free_ports(2)
    webs = [Web(name=f"web-{number}", port=port) for number, port in enumerate(ports, start=1)]
    with ChaosLab(folder, ports, benches=benches, loops=2, seed=seed) as lab:
        if not lab.store_clock.moves:
            print("There is no C compiler (cc): the store's clock does not jump.")
            kinds = [kind for kind in kinds if kind != STORE_CLOCK]
        run = ChaosRun(lab, webs, seed, kinds)
        with dying_threads(run.harness):
            held = run.run(faults, again=again)
        print(run.table())
        say(run.complaints)
        print(f"the machine stood still for {lab.stood_still:.1f} s")
        if not held:
            run.keep(folder)
            print(f"CHAOS_SEED={seed} did not hold; the logs are in {folder}, what was done when in its faults.txt")
    return held


def say(complaints: Mapping[str, Sequence[str]]) -> None:
    for judge, wrong in complaints.items():
        print(f"{judge}: {len(wrong)}", *wrong[:10], sep="\n  ")


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
