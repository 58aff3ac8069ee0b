"""An idle lab: web and loop with a bench of simulated devices, and nobody there. What it still does.

Its requests and commands are the store's own count. How often its threads wake up is the kernel's: a thread that sleeps
in a loop of its own would show. The beat wakes two threads a second, the one that sends it and the host that heeds the
answer; gunicorn's two processes look after each other once a second, and are shown apart.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measures.start import KINDS, running_labkit, write_bench
from benchmarks.processes import command_line, threads, tree
from benchmarks.report import Report
from benchmarks.scale import Scale
from benchmarks.stores import BenchStore, store

MEASURE = "idle"
COMMANDS_A_SECOND, SHARE_OF_CORE = 3.0, 1.0
SETTLED = 6.0
WITH_THE_BEAT = ("beat", "host")


def measure(report: Report, scale: Scale) -> None:
    """Let a lab be idle for a while, and count."""
    with store() as here, tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        write_bench(Path(folder), KINDS)
        with _idle_lab(Path(folder), here) as pids:
            time.sleep(scale.seconds(SETTLED, 1.0))
            _count(report, scale, here, pids)


@contextlib.contextmanager
def _idle_lab(folder: Path, here: BenchStore) -> Iterator[dict[int, str]]:
    """Run loop and web. Gives the processes that belong to them, with the part that each is."""
    given = {"WEBLAB_REDIS_URL": here.tcp}
    with (
        running_labkit("loop", "--no-reload", environment=given, folder=folder) as loop,
        running_labkit("web", "--port", "0", environment=given, folder=folder) as web,
    ):
        seen = 0
        while seen < len(KINDS):
            seen += "condition=ok" in _line(loop)
        while not (address := re.search(r"http://\S+", _line(web))):
            continue
        with urllib.request.urlopen(f"{address[0]}/weblab/sessions/api", timeout=30) as answer:
            answer.read()
        found = dict.fromkeys([pid for pid in tree(loop.pid) if " loop" in command_line(pid)], "loop")
        yield found | dict.fromkeys(tree(web.pid), "web")


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError(f"{process.args!r} ended.")
    return line


def _count(report: Report, scale: Scale, here: BenchStore, pids: dict[int, str]) -> None:
    before, began = (here.counted(), threads(pids)), time.monotonic()
    time.sleep(scale.seconds(30.0, 2.0))
    after, seconds = (here.counted(), threads(pids)), time.monotonic() - began
    asked, commands = ((now - then) / seconds for then, now in zip(before[0], after[0], strict=True))
    asked -= 2 / seconds  # the two questions for the counters themselves
    sleeps: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for thread, now in after[1].items():
        then, part = before[1].get(thread), pids[now.pid]
        name = f"{part}: {now.name if now.name in WITH_THE_BEAT else _others(part)}"
        sleeps[name] = sleeps.get(name, 0.0) + (now.sleeps - (then.sleeps if then else 0)) / seconds
        cpu[part] = cpu.get(part, 0.0) + 100 * (now.cpu - (then.cpu if then else 0.0)) / seconds
    _keep(report, asked, commands, sleeps, cpu)


def _others(part: str) -> str:
    return "gunicorn, its master and worker" if part == "web" else "all other threads"


def _keep(report: Report, asked: float, commands: float, sleeps: dict[str, float], cpu: dict[str, float]) -> None:
    report.figure(MEASURE, "requests to the store", asked, "a second")
    report.figure(MEASURE, "commands in the store", commands, "a second", note="those inside the beats' script too")
    for part, share in cpu.items():
        report.figure(MEASURE, f"{part}: share of a core", share, "%")
    for name, count in sleeps.items():
        report.figure(MEASURE, f"{name}: wake-ups", count, "a second")
    report.at_most(MEASURE, "web's and loop's requests to the store", asked, COMMANDS_A_SECOND, "a second")
    report.at_most(MEASURE, "web's and loop's share of a core", sum(cpu.values()), SHARE_OF_CORE, "%")
    asleep = sum(count for name, count in sleeps.items() if name.endswith("all other threads"))
    report.at_most(MEASURE, "wake-ups of all threads but the beat's", asleep, 0.0, "a second")
