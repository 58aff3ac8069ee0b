"""Device calls: from another process, and from a task in the host's. labkit beside the floor, jumpstarter and Pyro5.

Each calls a device that gives back what it is given, in a process of its own. labkit's calls are full ones, of a live
session: its fence and its time are checked, they run at most once, have a deadline, and end with their reservation.
Pyro5 is a connection straight to the object with no guard: the limit of a direct path. All are up during the whole
measure, and are asked in turn, a block each.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

from benchmarks.programs import PEERS, ROOT, Program, clean_environment
from benchmarks.report import Figure, Report
from benchmarks.scale import Scale
from benchmarks.stores import store

CALL, TASK, EIGHT = "device calls: proxy to driver and back, {}", "device calls: from a task, {}", "eight devices, {}"
LABKIT, FLOOR, JUMPSTARTER, PYRO = "labkit", "floor", "jumpstarter", "Pyro5"
FLOOR_BAR, JUMPSTARTER_BAR, TASK_BAR_MS = 2.5, 0.8, 0.1
KEPT_BAR, TOGETHER_BAR = 1.25, 1.25
JUDGED = "TCP"
NAP = 0.1
"""Seconds that a call takes in its driver where eight of them are under way at once."""
Times = dict[str, list[float]]


def measure(report: Report, scale: Scale) -> None:
    with store() as found:
        for transport, url in found.urls().items():
            with _labkit(url) as labkit:
                _tell_calls(report, transport, _calls(report, labkit, transport, url, scale))
                _tell_task(report, transport, _from_task(labkit, scale))
                _tell_eight(report, transport, _eight(labkit, scale))


# -- who calls


@contextlib.contextmanager
def _labkit(url: str) -> Iterator[Program]:
    """A loop with eight devices, and the process that calls them."""
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as instance:
        environment = {"STORE_URL": url, "LAB_INSTANCE": instance, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "labkit.cli", "loop", "--quiet"]
        environ, nothing = clean_environment(environment), subprocess.DEVNULL
        loop = subprocess.Popen(command, cwd=PEERS / "labkit_calls_lab", env=environ, stdin=nothing)
        try:
            with Program(sys.executable, "labkit_calls.py", environment=environment) as caller:
                yield caller
        finally:
            loop.terminate()
            loop.wait(30)


@contextlib.contextmanager
def _callers(
    report: Report, labkit: Program, transport: str, url: str, scale: Scale
) -> Iterator[Mapping[str, Program]]:
    """labkit, the floor, and the peers that are installed; those have their own way, so they are asked only once."""
    with contextlib.ExitStack() as stack:

        def run(python: str, file: str, *arguments: str) -> Program:
            return stack.enter_context(Program(python, file, *arguments))

        found = {LABKIT: labkit, FLOOR: run(sys.executable, "floor.py", url)}
        jumpstarter, tasks = scale.python("jumpstarter"), scale.python("tasks")
        if transport == JUDGED and jumpstarter:
            found[JUMPSTARTER] = run(jumpstarter, "jumpstarter_calls.py")
            found[f"{JUMPSTARTER}, in one process"] = run(jumpstarter, "jumpstarter_calls.py", "in-process")
        elif transport == JUDGED:
            report.leave_out("device calls of jumpstarter", f"{scale.environments}/jumpstarter is not there")
        if tasks:
            path = "" if transport == JUDGED else stack.enter_context(tempfile.TemporaryDirectory()) + "/s"
            found[PYRO] = run(tasks, "pyro5_calls.py", path)
        elif transport == JUDGED:
            report.leave_out("device calls of Pyro5", f"{scale.environments}/tasks is not there")
        yield found


# -- what is measured


def _calls(report: Report, labkit: Program, transport: str, url: str, scale: Scale) -> Times:
    """One call after another, from another process."""
    with _callers(report, labkit, transport, url, scale) as callers:
        kept: Times = {name: [] for name in callers}
        for number in range(scale.times(10, 1) + 1):
            for name, caller in callers.items():
                took = caller.seconds(count=scale.times(150, 5))
                kept[name] += took if number or scale.quick else []  # the first block warms up
    return kept


def _from_task(labkit: Program, scale: Scale) -> list[float]:
    """One call after another, from a task in the process that has the device; what is beyond the driver's own time."""
    labkit.seconds(count=scale.times(150, 5), task=True)
    return [took for _ in range(scale.times(5, 1)) for took in labkit.seconds(count=scale.times(300, 5), task=True)]


def _eight(labkit: Program, scale: Scale) -> Times:
    """Seven devices while the eighth sleeps in a call, and while it doesn't; and eight that are called at once."""
    kept: Times = {"quiet": [], "asleep": [], "alone": [], "together": []}
    seven, count = list(range(1, 8)), scale.times(280, 7)
    for _ in range(scale.times(4, 1)):
        kept["quiet"] += labkit.seconds(count=count, devices=seven)
        labkit.ask(asleep=8, nap=scale.seconds(1.5, 0.2))
        kept["asleep"] += labkit.seconds(count=count, devices=seven)
        labkit.ask(awake=8)
        kept["alone"] += labkit.seconds(count=scale.times(5, 1), devices=[1], nap=NAP)
        kept["together"] += labkit.seconds(count=scale.times(5, 1), devices=list(range(1, 9)), nap=NAP)
    return kept


# -- what is said of it


def _tell_calls(report: Report, transport: str, kept: Times) -> None:
    name = CALL.format(transport)
    for who, took in kept.items():
        report.times(name, who, took, note="a direct connection, no guard" if who == PYRO else "")
    if transport == JUDGED:
        middle = {who: statistics.median(took) for who, took in kept.items()}
        report.at_most(name, "labkit beside the floor, median", middle[LABKIT] / middle[FLOOR], FLOOR_BAR)
        if JUMPSTARTER in kept:
            ratio = middle[LABKIT] / middle[JUMPSTARTER]
            report.at_most(name, "labkit beside jumpstarter, median", ratio, JUMPSTARTER_BAR)


def _tell_task(report: Report, transport: str, took: list[float]) -> None:
    name = TASK.format(transport)
    figure = report.times(name, LABKIT, took, note="beyond the driver's own time")
    if transport == JUDGED:
        report.at_most(name, "beyond the driver's own time, median", figure.value, TASK_BAR_MS, "ms")


def _tell_eight(report: Report, transport: str, kept: Times) -> None:
    name = EIGHT.format(transport)
    quiet = report.times(name, "seven devices in turn", kept["quiet"])
    asleep = report.times(name, "the same while the eighth sleeps in a call", kept["asleep"])
    note = f"{NAP * 1e3:.0f} ms of it in the driver"
    alone = report.times(name, "one device called alone", kept["alone"], note=note)
    together = report.times(name, "eight devices called at once", kept["together"], note=note)
    if transport == JUDGED:
        report.at_most(name, "seven while the eighth sleeps, median", asleep.value / quiet.value, KEPT_BAR)
        report.at_most(name, "eight at once beside one alone, p99", _p99(together) / alone.value, TOGETHER_BAR)


def _p99(figure: Figure) -> float:
    return figure.value if figure.p99 is None else figure.p99
