"""Starting: the program's help, the imports, a whole demo lab, and what the loop's memory is then.

Each is a process of its own, started again and again, in turn. Python's bytecode is compiled before.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import command_line, cpu_seconds, resident_mb, tree, with_environment
from benchmarks.programs import ROOT, clean_environment
from benchmarks.report import Report
from benchmarks.scale import Scale
from benchmarks.stores import store

MEASURE = "start"
HELP_S, IMPORT_X, DEMO_S, LOOP_MB = 0.25, 1.5, 3.0, 80.0
LABKIT = (sys.executable, "-P", "-m", "labkit.cli")
STARTS = {
    "labkit --help": (*LABKIT, "--help"),
    "python -c pass": (sys.executable, "-c", "pass"),
    "import flask": (sys.executable, "-c", "import flask"),
    "import labkit": (sys.executable, "-c", "import labkit"),
    "from labkit import WebLab": (sys.executable, "-c", "from labkit import WebLab"),
    "import labkit.plugin": (sys.executable, "-c", "import labkit.plugin"),
}
DEVICES = 8
KINDS = ("serial", "gpio", "camera")
PARTS = {"loop": " loop", "web": "gunicorn", "demo": " demo"}


def measure(report: Report, scale: Scale) -> None:
    """Measure what a lab's owner and every restart wait for."""
    medians = _imports(report, scale)
    report.at_most(MEASURE, "labkit --help", medians["labkit --help"], HELP_S, "s")
    report.at_most(
        MEASURE, "import labkit, of import flask", medians["import labkit"] / medians["import flask"], IMPORT_X
    )
    used = medians["from labkit import WebLab"] / medians["import flask"]  # names are imported with their first use
    report.figure(MEASURE, "from labkit import WebLab, of import flask", used, "x", note="what a lab's module imports")
    ready = [_demo(report, last=number == 0) for number in range(scale.times(5, 1))]
    figure = report.figure(MEASURE, "labkit demo: ready", statistics.median(ready), "s", count=len(ready))
    report.at_most(MEASURE, "labkit demo: ready", figure.value, DEMO_S, "s")
    devices = scale.times(DEVICES, len(KINDS))
    memory = _loop_memory(devices)
    report.figure(MEASURE, f"labkit loop with {devices} devices", memory, "MB", note="resident, after opening them all")
    report.at_most(MEASURE, f"labkit loop's memory with {devices} devices", memory, LOOP_MB, "MB")


def _imports(report: Report, scale: Scale) -> dict[str, float]:
    """Start each so many times, in turn. Returns the medians in seconds."""
    took: dict[str, list[float]] = {name: [] for name in STARTS}
    used: dict[str, list[float]] = {name: [] for name in STARTS}
    for number in range(1 + scale.times(15, 1)):
        for name, command in STARTS.items():
            seconds, cpu = _run(command)
            if number:
                took[name].append(seconds)
                used[name].append(cpu)
    for name in STARTS:
        note = f"CPU {statistics.median(used[name]):.3f} s"
        report.figure(
            MEASURE, name, statistics.median(took[name]), "s", p99=max(took[name]), count=len(took[name]), note=note
        )
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Run a command to its end: seconds on the wall, and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT, env=clean_environment({}))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _demo(report: Report, *, last: bool) -> float:
    """Seconds until a demo says that all its parts are ready."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    began = time.perf_counter()
    with running_labkit("demo", "--port", "0", "--no-browser", environment={"BENCH_MARK": mark}) as process:
        lines: list[str] = []
        while not (lines and "labkit devices" in lines[-1]):
            lines.append(_line(process, lines))
        seconds = time.perf_counter() - began
        bad = [line for line in lines if " ready" not in line and line.strip().startswith(("store", "loop", "web"))]
        if bad:
            raise RuntimeError(f"The demo was not ready: {bad}")
        if last:
            used = {pid: cpu_seconds(pid) for pid in with_environment("BENCH_MARK", mark)}
            report.figure(MEASURE, "labkit demo: CPU until ready", sum(used.values()), "s", note=_by_part(used))
    return seconds


def _by_part(used: dict[int, float]) -> str:
    """How much CPU each part of the demo has used."""
    sums: dict[str, float] = {}
    for pid, seconds in used.items():
        line = command_line(pid)
        name = next((part for part, word in PARTS.items() if word in line), "its twins, store and sweeper")
        sums[name] = sums.get(name, 0.0) + seconds
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in sums.items())


def _loop_memory(devices: int) -> float:
    """The memory of a loop that has opened so many devices of the bundled kinds, in MB."""
    kinds = [*KINDS, *[KINDS[0]] * (devices - len(KINDS))]
    with store() as here, tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        write_bench(Path(folder), kinds)
        given = {"WEBLAB_REDIS_URL": here.tcp}
        with running_labkit("loop", "--no-reload", environment=given, folder=Path(folder)) as process:
            lines: list[str] = []
            while sum("condition=ok" in line for line in lines) < devices:
                lines.append(_line(process, lines))
            return max(resident_mb(pid) for pid in tree(process.pid) if " loop" in command_line(pid))


def write_bench(folder: Path, kinds: Sequence[str], name: str = "bench-1") -> None:
    """Declare a bench of simulated devices in a lab's folder."""
    texts = [f'[bench]\ntitle = "{name}"\n']
    for number, kind in enumerate(kinds, start=1):
        more = "lines = { lamp = 17 }\n" if kind == "gpio" else ""
        texts.append(f'[{kind}-{number}]\ndriver = "{kind}"\nsimulate = true\n{more}')
    (folder / "devices").mkdir(exist_ok=True)
    (folder / "devices" / f"{name}.toml").write_text("\n".join(texts))


@contextlib.contextmanager
def running_labkit(
    *arguments: str, environment: dict[str, str], folder: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run the `labkit` program; it is asked to end after the block, and waited for."""
    command = [*LABKIT, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder or tempfile.gettempdir(),
        env=clean_environment({**environment, "PYTHONPATH": str(ROOT)}),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)
        if process.poll() is None:
            process.kill()
            process.communicate()


def _line(process: subprocess.Popen[str], before: Sequence[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("labkit ended: " + "".join(before[-20:]))
    return line
