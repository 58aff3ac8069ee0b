"""The faults: each kind is a function that does it to one part of a chaos lab, waits, and undoes it.

Used by the run (`chaos_run.py`), which picks kinds and targets by its seed. What is done to a target is over before the
next thing is done to the same one; different targets have their faults at the same time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from labkit.errors import StoreUnavailableError
from tests.chaos.chaos_lab import ChaosLab, Part
from tests.chaos.late import Visitor
from tests.chaos.load import Desk

Act = Callable[["Scene"], None]
STORE_CLOCK = "store-clock-jump"


class Scene:
    """One fault's place: the lab, its target, its own random generator, and for how long it lasts."""

    def __init__(self, lab: ChaosLab, desk: Desk, target: str, rng: random.Random):
        self.lab = lab
        self.desk = desk
        self.target = target
        self.random = rng

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


def kill(scene: Scene) -> None:
    """kill -9 of a process, with its children."""
    scene.part.send(signal.SIGKILL, scene.part.pids)


def kill_worker(scene: Scene) -> None:
    """kill -9 of a web process's worker: its gunicorn starts another one."""
    scene.part.send(signal.SIGKILL, scene.part.pids[1:])


def end(scene: Scene) -> None:
    """SIGTERM, as a service manager does to restart a part."""
    scene.part.send(signal.SIGTERM, scene.part.pids[:1])


def stop(scene: Scene) -> None:
    """SIGSTOP, and SIGCONT a while later."""
    pids = scene.part.pids
    scene.part.send(signal.SIGSTOP, pids)
    try:
        scene.last()
    finally:
        scene.part.send(signal.SIGCONT, pids)


def jump_clock(scene: Scene) -> None:
    """The wall clock of one process jumps, and jumps back."""
    scene.part.let_clock_jump(scene.random.choice([-86400.0, -3600.0, -30.0, 30.0, 3600.0, 86400.0]))
    try:
        scene.last()
    finally:
        scene.part.let_clock_jump(0.0)


# -- the way to the store


def cut(scene: Scene) -> None:
    for _ in range(scene.random.randint(1, 4)):
        scene.part.proxy.cut()
        scene.wait(0.0, 0.3)


def delay(scene: Scene) -> None:
    scene.part.proxy.delay(scene.random.uniform(0.02, 0.4))
    try:
        scene.last()
    finally:
        scene.part.proxy.delay(0.0)


def black_hole(scene: Scene) -> None:
    """Nothing comes through for a while; then all of it does, or the connections break."""
    scene.part.proxy.swallow()
    try:
        scene.last()
    finally:
        if scene.random.random() < 0.5:
            scene.part.proxy.cut()
        scene.part.proxy.let_go()


# -- the store


def kill_store(scene: Scene) -> None:
    """kill -9 of the store; it comes back with all that it had."""
    with scene.lab.store_down():
        scene.last()


def stop_store(scene: Scene) -> None:
    pid = scene.lab.server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        scene.last()
    finally:
        os.kill(pid, signal.SIGCONT)


def empty_store(scene: Scene) -> None:
    """The store comes back without its file."""
    with scene.lab.store_down() as folder:
        shutil.rmtree(folder)
        scene.wait(0.0, 2.0)
    scene.lab.forgotten.append(time.monotonic())


def cut_store(scene: Scene) -> None:
    """The store comes back with a file that lacks its last moments: a session that was over is shown again, and its
    page still clicks."""
    visitor = Visitor(scene.desk, f"late-{scene.random.randrange(10**6)}")
    came = visitor.come()
    size = size_of(scene.lab.server.folder / "appendonlydir")
    visitor.go() if came else scene.wait(0.3, 1.5)
    with visitor.clicking():
        with scene.lab.store_down() as folder:
            for path, length in size_of(folder).items():
                if path in size and length > size[path]:
                    with open(path, "r+b") as file:
                        file.truncate(size[path])
        scene.lab.forgotten.append(time.monotonic())
        scene.wait(0.5, 2.0)


def jump_store_clock(scene: Scene) -> None:
    """The store's own clock jumps, and jumps back: what is timed by it ends early, or lasts so much longer."""
    scene.lab.store_clock.jump(scene.random.choice([-30.0, -6.0, 6.0, 30.0]))
    try:
        scene.last()
    finally:
        scene.lab.store_clock.jump(0.0)


def size_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.glob("*.aof")}


@contextlib.contextmanager
def server_told(lab: ChaosLab, first: Sequence[str], then: Sequence[str]) -> Iterator[None]:
    """Tell the store one thing, and another one at the end of the block."""
    with contextlib.suppress(StoreUnavailableError):
        lab.server_command(*first)
    try:
        yield
    finally:
        lab.server_command(*then)


def read_only(scene: Scene) -> None:
    """The store becomes a replica of nobody, as it does while a fail-over is under way."""
    with server_told(scene.lab, ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]):
        scene.last()


def no_memory(scene: Scene) -> None:
    with server_told(scene.lab, ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]):
        scene.last()


def no_right(scene: Scene) -> None:
    """The lab's user of the store may not write any more."""
    with server_told(scene.lab, ["ACL", "SETUSER", "default", "-@write"], ["ACL", "SETUSER", "default", "+@all"]):
        scene.last()


# -- devices


def unplug(scene: Scene) -> None:
    board = scene.lab.boards[scene.target]
    board.control("unplug")
    try:
        scene.last()
    finally:
        board.control("plug")


def hang_board(scene: Scene) -> None:
    """The board neither reads nor answers for a while."""
    board = scene.lab.boards[scene.target]
    board.control("hang")
    try:
        scene.last()
    finally:
        board.control("normal")


# -- the RLMS and the lab's own code


def shift_slots(scene: Scene) -> None:
    """The RLMS's clock is wrong, and with it the slots that it gives."""
    scene.desk.shift = scene.random.choice([-7200.0, -600.0, -3.0, 3.0, 600.0, 7200.0])
    try:
        scene.wait(1.0, 3.0)
    finally:
        scene.desk.shift = 0.0


def order(where: str, how: str) -> Act:
    """The next session's hook or task goes wrong in one way. Waits until somebody has taken the order."""

    def act(scene: Scene) -> None:
        scene.desk.orders.append({where: how})
        until = time.monotonic() + 10.0
        while scene.desk.orders and time.monotonic() < until:
            time.sleep(0.05)

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
