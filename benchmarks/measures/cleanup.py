"""A clean-up pass with nothing due: what it costs to find that out, with ever more live sessions.

labkit's is `clean_expired_users()` in a process of its own, and the beat, which carries the same question each second.
Beside them weblablib's `clean_expired_users()`, which looks at each session.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.many import OWNER, start_sessions
from benchmarks.programs import Program
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.stores import BenchStore, store
from labkit.store.connection import Store
from labkit.store.processes import Processes

MEASURE = "clean-up"
PREFIX = "bench-labkit"
LIMIT_US, SAME = 1000.0, 1.5


def measure(report: Report, scale: Scale) -> None:
    """Measure labkit's passes, and weblablib's at the sizes that can be waited for."""
    with store() as here:
        found = _labkit(report, scale, here)
        report.at_most(MEASURE, "labkit's slowest median pass", max(found.values()), LIMIT_US, "us")
        least, most = min(found), max(found)
        what = f"labkit's pass at {most:,} live sessions, of that at {least:,}"
        report.at_most(MEASURE, what, found[most] / found[least], SAME)
        theirs = _weblablib(report, scale, here)
        for count in theirs.keys() & found.keys():
            ratio = found[count] / theirs[count]
            report.at_most(MEASURE, f"labkit's pass at {count:,}, of weblablib's", ratio, 0.1)


def _labkit(report: Report, scale: Scale, here: BenchStore) -> dict[int, float]:
    """Each number of live sessions -> the median of a pass, in us."""
    found, live = {}, 0
    with Program(sys.executable, "weblablib_app.py", "labkit", here.tcp) as lab:
        for count in (10, 1_000, 10_000, 100_000) if not scale.quick else (10, 100):
            start_sessions(here.client, PREFIX, count - live)
            live = count
            lab.seconds("clean", times=5)
            passes = lab.seconds("clean", times=scale.times(1000, 5))
            found[count] = statistics.median(passes) * 1e6
            _keep(report, f"labkit at {count:,} live sessions", passes)
            _keep(report, f"labkit's beat at {count:,}", _beats(here, scale))
    return found


def _beats(here: BenchStore, scale: Scale) -> list[float]:
    processes = Processes(Store(here.tcp, PREFIX))
    took = []
    for number in range(scale.times(500, 5)):
        began = time.perf_counter()
        processes.beat(OWNER, first=number == 0, roles="endings", highest_fence=0, benches={})
        took.append(time.perf_counter() - began)
    return took


def _weblablib(report: Report, scale: Scale, here: BenchStore) -> dict[int, float]:
    python = scale.python("weblablib")
    if python is None:
        report.leave_out("weblablib's clean-up", "it is not installed (make bench installs it)")
        return {}
    found, live = {}, 0
    with Program(python, "weblablib_app.py", "weblablib", here.tcp) as lab:
        for count, passes in ((1_000, 10), (10_000, 3)) if not scale.quick else ((10, 1),):
            lab.seconds("start", times=count - live)
            live = count
            took = lab.seconds("clean", times=passes)
            found[count] = statistics.median(took) * 1e6
            _keep(report, f"weblablib at {count:,} live sessions", took)
    return found


def _keep(report: Report, who: str, took: list[float]) -> None:
    report.figure(MEASURE, who, statistics.median(took) * 1e6, "us", p99=quantile(took, 0.99) * 1e6, count=len(took))
