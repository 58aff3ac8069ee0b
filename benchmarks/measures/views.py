"""A protected view, beyond the same view in an app that is no lab: time, and what it asks of the store.

Both views are called in one process, in turn, without a network: what is left is the guard with its store. The
commands are the store's own count, and so are the round trips: how often the server read from a connection. Beside
them a bare view that sends one PING by redis-py: less than one round trip is not to be had.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from benchmarks.programs import Program, in_turn
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.stores import BenchStore, store

MEASURE = "views"
LIMIT_US = 300.0

Blocks = list[list[float]]


@dataclass(frozen=True)
class Lab:
    """One library's lab over one transport."""

    who: str
    running: Program


def measure(report: Report, scale: Scale) -> None:
    """Measure the views of labkit, over both transports, and of weblablib."""
    with store() as here, contextlib.ExitStack() as stack:
        labs = [Lab(who, stack.enter_context(lab)) for who, lab in _labs(report, scale, here)]
        for lab in labs:
            lab.running.ask("enter")
        blocks = _blocks(scale, labs)
        beyond = {
            lab.who: _times(report, lab, bare, guarded) for lab, (bare, _, guarded) in zip(labs, blocks, strict=True)
        }
        pings = {lab.who: _beyond(bare, ping) for lab, (bare, ping, _) in zip(labs, blocks, strict=True)}
        for who, took in pings.items():
            report.figure(MEASURE, f"{who}: one bare PING, beyond the bare view", took, "us")
        asked = {lab.who: _asks_of_store(report, scale, here, lab) for lab in labs}
    report.at_most(MEASURE, "labkit's guard over TCP, beyond the bare view", beyond["labkit, TCP"], LIMIT_US, "us")
    report.at_most(MEASURE, "labkit's round trips", asked["labkit, TCP"], 1.0, "a request")
    if "weblablib, TCP" in beyond:
        ratio = beyond["labkit, TCP"] / beyond["weblablib, TCP"]
        report.figure(MEASURE, "labkit's guard, of weblablib's", ratio, "x", note="over TCP, beyond the bare view")


def _labs(
    report: Report, scale: Scale, here: BenchStore
) -> Iterator[tuple[str, contextlib.AbstractContextManager[Program]]]:
    for transport, url in here.urls().items():
        yield f"labkit, {transport}", Program(sys.executable, "weblablib_app.py", "labkit", url)
    python = scale.python("weblablib")
    if python is None:
        report.leave_out("weblablib's views", "it is not installed (make bench installs it)")
    else:
        yield "weblablib, TCP", Program(python, "weblablib_app.py", "weblablib", here.tcp)


def _blocks(scale: Scale, labs: list[Lab]) -> list[tuple[Blocks, Blocks, Blocks]]:
    """Of each lab the blocks of its bare view, of the one with a PING, and of the protected one."""
    asked = [(lab.running, do) for lab in labs for do in ("bare", "ping", "guarded")]
    found = in_turn(asked, scale.times(40, 1), scale.times(100, 5))
    return list(zip(found[::3], found[1::3], found[2::3], strict=True))


def _beyond(bare: Blocks, other: Blocks) -> float:
    """What another view takes beyond the bare one, in us: the median of the blocks' differences."""
    differences = (statistics.median(b) - statistics.median(a) for a, b in zip(bare, other, strict=True))
    return statistics.median(differences) * 1e6


def _times(report: Report, lab: Lab, bare: Blocks, guarded: Blocks) -> float:
    """Keep what a lab's views took. Returns what the guard takes, in us."""
    floors = [statistics.median(block) for block in bare]
    beyond = _beyond(bare, guarded)
    each = [took - floor for block, floor in zip(guarded, floors, strict=True) for took in block]
    report.times(MEASURE, f"{lab.who}: bare view", list(chain(*bare)))
    report.times(MEASURE, f"{lab.who}: protected view", list(chain(*guarded)))
    report.figure(
        MEASURE, f"{lab.who}: beyond the bare view", beyond, "us", p99=quantile(each, 0.99) * 1e6, count=len(each)
    )
    return beyond


def _asks_of_store(report: Report, scale: Scale, here: BenchStore, lab: Lab) -> float:
    """Count what one protected view asks of the store. Returns its round trips.

    The median of several blocks: a beat of the lab's process falls into one of them each second.
    """
    commands, trips, times = [], [], scale.times(20, 5)
    for _ in range(scale.times(11, 3)):
        before = here.counted()
        lab.running.seconds("guarded", times=times)
        after = here.counted()
        trips.append((after[0] - before[0] - 2) / times)  # but the two questions after the counters themselves
        commands.append((after[1] - before[1]) / times)
    report.figure(MEASURE, f"{lab.who}: round trips", statistics.median(trips), "a request")
    report.figure(
        MEASURE, f"{lab.who}: commands", statistics.median(commands), "a request", note="those inside scripts too"
    )
    return statistics.median(trips)
