"""The faults: each kind is a function that does it to one part of a chaos lab, waits, and undoes it.

Used by the run (`chaos_run.py`), which picks kinds and targets by its seed. What is done to a target is over before the
next thing is done to the same one; different targets have their faults at the same time. Each says whether it took
effect: a process that is just being restarted can't be killed. What the lab's own code is ordered to do wrong it notes
itself.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from labkit.errors import StoreUnavailableError
from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.late import Visitor
from tests.chaos.load import Desk
from tests.chaos.part import Part
from tests.chaos.record import STORE_CLOCK
from tests.store.refusing import REFUSALS

Act = Callable[["Scene"], bool]
"""Does a fault. False: it had no effect."""
TAKEN_SECONDS = 10.0
"""How long somebody of the RLMS's has to take an order."""


class Scene:
    """One fault's place: the lab, its target, its own random generator, and for how long it lasts."""

    def __init__(self, lab: ChaosLab, desk: Desk, target: str, rng: random.Random):
        self.lab = lab
        self.desk = desk
        self.target = target
        self.random = rng
        self.order = ""
        """The number of the order, where this is one for the lab's own code."""

    def wait(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))

    def last(self) -> None:
        """Most faults are short; some are longer than all that labkit waits for."""
        if self.random.random() < 0.3:
            self.wait(4.5, 7.0)
        else:
            self.wait(0.2, 2.0)

    @property
    def part(self) -> Part:
        return next(part for part in self.lab.parts if part.name == self.target)


# -- processes


def kill(scene: Scene) -> bool:
    """kill -9 of a process, with its children."""
    return scene.part.send(signal.SIGKILL, scene.part.pids)


def kill_worker(scene: Scene) -> bool:
    """kill -9 of a web process's worker: its gunicorn starts another one."""
    return scene.part.send(signal.SIGKILL, scene.part.pids[1:])


def end(scene: Scene) -> bool:
    """SIGTERM, as a service manager does to restart a part."""
    return scene.part.send(signal.SIGTERM, scene.part.pids[:1])


def stop(scene: Scene) -> bool:
    """SIGSTOP, and SIGCONT a while later."""
    pids = scene.part.pids
    stopped = scene.part.send(signal.SIGSTOP, pids)
    try:
        scene.last()
    finally:
        scene.part.send(signal.SIGCONT, pids)
    return stopped


def jump_clock(scene: Scene) -> bool:
    """The wall clock of one process jumps, and jumps back."""
    began = time.monotonic()
    scene.part.let_clock_jump(scene.random.choice([-86400.0, -3600.0, -30.0, 30.0, 3600.0, 86400.0]))
    try:
        scene.last()
    finally:
        scene.part.let_clock_jump(0.0)
    return scene.part.ran_since(began)


# -- the way to the store


def cut(scene: Scene) -> bool:
    broken = 0
    for _ in range(scene.random.randint(1, 4)):
        broken += scene.part.proxy.cut()
        scene.wait(0.0, 0.3)
    return broken > 0


def delay(scene: Scene) -> bool:
    before = scene.part.proxy.met
    scene.part.proxy.delay(scene.random.uniform(0.02, 0.4))
    try:
        scene.last()
    finally:
        scene.part.proxy.delay(0.0)
    return scene.part.proxy.met > before


def black_hole(scene: Scene) -> bool:
    """Nothing comes through for a while; then all of it does, or the connections break."""
    before = scene.part.proxy.met
    scene.part.proxy.swallow()
    try:
        scene.last()
    finally:
        if scene.random.random() < 0.5:
            scene.part.proxy.cut()
        scene.part.proxy.let_go()
    return scene.part.proxy.met > before


# -- the store


def kill_store(scene: Scene) -> bool:
    """kill -9 of the store; it comes back with all that it had."""
    with scene.lab.store_down():
        scene.last()
    return True


def stop_store(scene: Scene) -> bool:
    pid = scene.lab.server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        scene.last()
    finally:
        os.kill(pid, signal.SIGCONT)
    return True


def empty_store(scene: Scene) -> bool:
    """The store comes back without its file."""
    with scene.lab.store_down() as folder:
        shutil.rmtree(folder)
        scene.wait(0.0, 2.0)
    scene.lab.forgotten.append(time.monotonic())
    return True


def cut_store(scene: Scene) -> bool:
    """The store comes back with a file that lacks its last moments: a session that was over is shown again, and its
    page still clicks."""
    visitor = Visitor(scene.desk, f"late-{scene.random.randrange(10**6)}")
    came = visitor.come()
    size = size_of(scene.lab.server.folder / "appendonlydir")
    visitor.go() if came else scene.wait(0.3, 1.5)
    lost = False
    with visitor.clicking():
        with scene.lab.store_down() as folder:
            for path, length in size_of(folder).items():
                if path in size and length > size[path]:
                    with open(path, "r+b") as file:
                        file.truncate(size[path])
                    lost = True
        scene.lab.forgotten.append(time.monotonic())
        scene.wait(0.5, 2.0)
    return lost


def jump_store_clock(scene: Scene) -> bool:
    """The store's own clock jumps, and jumps back: what is timed by it ends early, or lasts so much longer."""
    scene.lab.store_clock.jump(scene.random.choice([-30.0, -6.0, 6.0, 30.0]))
    try:
        scene.last()
    finally:
        scene.lab.store_clock.jump(0.0)
    return True


def size_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.glob("*.aof")}


@contextlib.contextmanager
def server_told(lab: ChaosLab, first: Sequence[str], then: Sequence[str]) -> Iterator[bool]:
    """Tell the store one thing, and another one at the end of the block. Gives whether it took the first."""
    told = False
    with contextlib.suppress(StoreUnavailableError):
        lab.server_command(*first)
        told = True
    try:
        yield told
    finally:
        lab.server_command(*then)


def read_only(scene: Scene) -> bool:
    """The store becomes a replica of nobody, as it does while a fail-over is under way."""
    with server_told(scene.lab, *REFUSALS["a replica"]) as told:
        scene.last()
    return told


def no_memory(scene: Scene) -> bool:
    with server_told(scene.lab, *REFUSALS["full"]) as told:
        scene.last()
    return told


def no_right(scene: Scene) -> bool:
    """The lab's user of the store may not write any more. Scripts begin, so they are refused in the middle."""
    with server_told(
        scene.lab, ["ACL", "SETUSER", "default", "-@write"], ["ACL", "SETUSER", "default", "+@all"]
    ) as told:
        scene.last()
    return told


# -- devices


def unplug(scene: Scene) -> bool:
    board = scene.lab.boards[scene.target]
    board.control("unplug")
    try:
        scene.last()
    finally:
        board.control("plug")
    return True


def hang_board(scene: Scene) -> bool:
    """The board neither reads nor answers for a while."""
    board = scene.lab.boards[scene.target]
    board.control("hang")
    try:
        scene.last()
    finally:
        board.control("normal")
    return True


# -- the RLMS and the lab's own code


def shift_slots(scene: Scene) -> bool:
    """The RLMS's clock is wrong, and with it the slots that it gives."""
    before = scene.desk.shifted
    scene.desk.shift = scene.random.choice([-7200.0, -600.0, -3.0, 3.0, 600.0, 7200.0])
    try:
        scene.wait(1.0, 3.0)
    finally:
        scene.desk.shift = 0.0
    return scene.desk.shifted > before


def order(where: str, how: str) -> Act:
    """The next session's hook or task goes wrong in one way. Waits until somebody has taken the order.

    Whether it took effect the hook notes itself: a session that another fault ends has no task any more.
    """

    def act(scene: Scene) -> bool:
        scene.order = secrets.token_hex(4)
        told = {where: how, "order": scene.order}
        scene.desk.open_orders.add(scene.order)
        scene.desk.orders.append(told)
        until = time.monotonic() + TAKEN_SECONDS
        while scene.order in scene.desk.open_orders and time.monotonic() < until:
            time.sleep(0.05)
        scene.desk.open_orders.discard(scene.order)
        with contextlib.suppress(ValueError):
            scene.desk.orders.remove(told)
        return False

    return act


def _hooks() -> Iterator[tuple[str, str, Act]]:
    for where in ("on_start", "on_dispose", "task"):
        for how in ("raise", "hang", "exit-thread", "exit-process", "unstorable"):
            yield f"{where}-{how}", "hooks", order(where, how)
    yield "task-deaf", "hooks", order("task", "deaf")


KINDS: Mapping[str, tuple[str, Act]] = {
    "loop-kill": ("loop", kill),
    "loop-end": ("loop", end),
    "loop-stop": ("loop", stop),
    "web-kill": ("web", kill),
    "web-kill-worker": ("web", kill_worker),
    "web-end": ("web", end),
    "web-stop": ("web", stop),
    "clock-jump": ("part", jump_clock),
    "net-cut": ("part", cut),
    "net-delay": ("part", delay),
    "net-hole": ("part", black_hole),
    "store-kill": ("store", kill_store),
    "store-stop": ("store", stop_store),
    "store-emptied": ("store", empty_store),
    "store-cut-back": ("store", cut_store),
    "store-read-only": ("store", read_only),
    "store-full": ("store", no_memory),
    "store-forbids": ("store", no_right),
    STORE_CLOCK: ("store", jump_store_clock),
    "device-unplug": ("device", unplug),
    "device-hang": ("device", hang_board),
    "slots-wrong": ("rlms", shift_slots),
    **{kind: (target, act) for kind, target, act in _hooks()},
}
"""Kind -> what it is done to, and how."""


def targets(lab: ChaosLab, where: str) -> list[str]:
    """The names of what a fault may be done to."""
    parts = [part.name for part in lab.parts]
    if where == "device":
        return lab.benches
    if where == "part":
        return parts
    return [name for name in parts if name.startswith(where)] or [where]
