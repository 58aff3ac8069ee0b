"""How each cost grows: with live sessions, devices, benches, tasks that a session keeps, and viewers.

Each cost is measured at several sizes, and the exponent of size ** exponent is fitted to the medians, by least squares
of their logarithms. What is constant beside what grows keeps an exponent low, so what one more costs stands beside it,
from the first size to the last. The reasons are in FINDINGS.md. Nothing that happens often may grow with the sessions.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.many import start_sessions
from benchmarks.report import Report, number, quantile
from benchmarks.scale import Scale
from benchmarks.stores import BenchStore, store
from benchmarks.worlds import PREFIX, Viewers, World

MEASURE = "growth"
SAME = 1.5
"""What must not grow may take so many times as long at the largest size as at the smallest: noise does as much."""
BLOCKS = 5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One thing that is done. times: how often to measure it at each size. steady: it must not grow on this axis."""

    name: str
    act: Callable[[World], object]
    times: int = 200
    steady: bool = False


HOT = (
    Cost(name="a protected view's question", act=World.request, steady=True),
    Cost(name="a device call, there and back", act=World.call, steady=True),
    Cost(name="a task, submitted, claimed, read", act=World.task, steady=True),
    Cost(name="a beat", act=World.beat, steady=True),
    Cost(name="a clean-up pass", act=lambda world: world.sessions.due(), steady=True),
    Cost(name="a session, start to end", act=World.start_and_end, times=60, steady=True),
)
WITH_BENCHES = (
    Cost(name="a protected view's question", act=World.request, steady=True),
    Cost(name="a device call, there and back", act=World.call, steady=True),
    Cost(name="a beat", act=World.beat, times=60),
    Cost(name="a session, start to end", act=lambda world: world.start_and_end(""), times=20),
    Cost(name="all benches, as a page reads them", act=lambda world: world.reservations.benches(), times=20),
)
WITH_TASKS = (
    Cost(name="a protected view's question", act=World.request, steady=True),
    Cost(name="a task, submitted, claimed, read", act=World.task, steady=True),
    Cost(name="all tasks of the session", act=lambda world: world.tasks.of_session(world.session_id), times=10),
)


def measure(report: Report, scale: Scale) -> None:
    """Grow a lab along each axis in turn."""
    with store() as here:
        _sessions(report, scale, here)
        _benches(report, scale, here)
        _tasks(report, scale, here)
        _viewers(report, scale, here)


def _sessions(report: Report, scale: Scale, here: BenchStore) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    world, live = World(here), 1
    for size in (10, 100, 1_000, 10_000, 100_000) if not scale.quick else (10, 20):
        start_sessions(here.client, PREFIX, size - live)
        live = size
        _measure_all(found, scale, world, HOT, size)
    world.close()
    _keep(report, "sessions", found, HOT)


def _benches(report: Report, scale: Scale, here: BenchStore) -> None:
    """Devices on one bench, then benches of one device; two more, so that one is free."""
    sizes = (1, 5, 20, 50, 200) if not scale.quick else (1, 2)
    for axis in ("devices of a bench", "benches"):
        found: dict[str, dict[int, list[float]]] = {}
        for size in sizes:
            shape = {"benches": 2, "devices": size} if axis.startswith("devices") else {"benches": 1 + size}
            world = World(here, **shape)
            _measure_all(found, scale, world, WITH_BENCHES, size)
            world.close()
        _keep(report, axis, found, WITH_BENCHES)


def _tasks(report: Report, scale: Scale, here: BenchStore) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    world, kept = World(here), 0
    for size in (10, 100, 1_000, 5_000) if not scale.quick else (2, 4):
        while kept < size:
            if kept % 500 == 0:
                world.beat()
            world.task()
            kept += 1
        _measure_all(found, scale, world, WITH_TASKS, size)
    world.close()
    _keep(report, "tasks that a session keeps", found, WITH_TASKS)


def _viewers(report: Report, scale: Scale, here: BenchStore) -> None:
    """Pages of one session that look at one feed, then pages of other sessions beside one; all in one web process."""
    for axis, name in (("viewers", "a line to all of them"), ("pages of other sessions", "a line to its one viewer")):
        found: dict[str, dict[int, list[float]]] = {}
        for size in (1, 5, 20, 50, 200) if not scale.quick else (1, 2):
            world = World(here)
            viewers = Viewers(world, size) if axis == "viewers" else Viewers(world, 1, strangers=size)
            cost = Cost(name=name, act=partial(_give, viewers), times=60)
            _measure_all(found, scale, world, (cost,), size)
            viewers.close()
            world.close()
        _keep(report, axis, found, (cost,))


def _give(viewers: Viewers, _: World) -> None:
    viewers.give_to_all()


def _measure_all(
    found: dict[str, dict[int, list[float]]], scale: Scale, world: World, costs: Sequence[Cost], size: int
) -> None:
    """Measure each cost in turn, in blocks, so that the machine's drift hits all alike. The first block warms up."""
    for block in range(1 + scale.times(BLOCKS, 1)):
        for cost in costs:
            world.beat()
            took = _timed(world, cost, scale.times(max(1, cost.times // BLOCKS), 1))
            if block:
                found.setdefault(cost.name, {}).setdefault(size, []).extend(took)


def _timed(world: World, cost: Cost, times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        cost.act(world)
        took.append(time.perf_counter() - began)
    return took


def _keep(report: Report, axis: str, found: Mapping[str, Mapping[int, list[float]]], costs: Sequence[Cost]) -> None:
    steady = {cost.name: cost.steady for cost in costs}
    for name, by_size in found.items():
        medians = {size: statistics.median(took) for size, took in by_size.items()}
        most = max(medians)
        note = " ".join(f"{size:,}: {number(median * 1e6)}" for size, median in medians.items())
        exponent, one_more = fitted_exponent(medians), number(_one_more(medians) * 1e6)
        report.figure(
            MEASURE, f"{axis}: {name} at {most:,}", medians[most] * 1e6, "us", p99=quantile(by_size[most], 0.99) * 1e6,
            count=len(by_size[most]), note=f"exponent {exponent:.2f}, one more: {one_more} us; us at {note}",
        )  # fmt: skip
        if steady[name]:
            what = f"{name}, at {most:,} {axis} of that at {min(medians):,}"
            report.at_most(MEASURE, what, medians[most] / medians[min(medians)], SAME)


def fitted_exponent(medians: Mapping[int, float]) -> float:
    """The exponent that fits best: the slope of the logarithms, by least squares."""
    points = [(math.log(size), math.log(median)) for size, median in medians.items()]
    mean_x, mean_y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def _one_more(medians: Mapping[int, float]) -> float:
    """What one more costs, in seconds, from the first size to the last."""
    least, most = min(medians), max(medians)
    return (medians[most] - medians[least]) / (most - least)
