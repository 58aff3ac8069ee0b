"""Tasks: from the submission to the result, and how many in a second, labkit's beside those of huey and others.

Each has two workers in processes of their own, and a process that submits tasks that do nothing. labkit's are full
ones: of a live session, with status, fence, stop flag, data, and results that expire. All are up during the whole
measure, and are asked in turn, a block each.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.programs import PEERS, Program, ProgramError, clean_environment
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.stores import store

LATENCY, RATE = "tasks: submit to result, {}", "tasks: done each second, {}"
JUDGED = "TCP"
FLOOR, LABKIT, HUEY = "floor", "labkit", "huey"
HUEY_BAR, FLOOR_BAR, RATE_BAR = 0.75, 3.0, 1.1
BLOCKS, BLOCK = 10, 100
BURSTS, BURST = 4, 2000


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Somebody who runs tasks. environment: where it is installed, '' labkit's own.

    program: the half that submits (see `peers/submitting.py`). arguments: what it is told before the store's URL.
    workers: their commands, python not included.
    part: one in so many is asked of it, since it would take too long. blocks: at most so many.
    """

    name: str
    environment: str
    program: str
    workers: tuple[tuple[str, ...], ...]
    arguments: tuple[str, ...] = ()
    folder: Path = PEERS
    part: int = 1
    blocks: int = BLOCKS


WEBLABLIB = Queue(name="weblablib", environment="weblablib", program="weblablib_app.py", arguments=("weblablib",),
                  part=20, blocks=1,
                  workers=(("weblablib_app.py", "weblablib", "{url}", "--loop", "2"),))  # fmt: skip
QUEUES = (
    Queue(name=LABKIT, environment="", program="labkit_tasks.py", folder=PEERS / "labkit_lab",
          workers=(("-m", "labkit.cli", "loop", "--threads", "2"),)),
    Queue(name=HUEY, environment="tasks", program="huey_app.py",
          workers=(("-m", "huey.bin.huey_consumer", "huey_app.huey", "-w", "2", "-k", "process"),)),
    Queue(name="celery", environment="tasks", program="celery_app.py", part=2,
          workers=(("-m", "celery", "-A", "celery_app", "worker", "-c", "2"),)),
    Queue(name="rq", environment="tasks", program="rq_app.py", part=4,
          workers=(("-m", "rq.cli", "worker", "-w", "rq.worker.SimpleWorker", "--url", "{url}", "bench"),) * 2),
    Queue(name="dramatiq", environment="tasks", program="dramatiq_app.py", part=4,
          workers=(("-m", "dramatiq", "-p", "1", "-t", "2", "dramatiq_app"),)),
    WEBLABLIB,
)  # fmt: skip


class Submitting:
    """The half of a queue that submits, and waits."""

    def __init__(self, program: Program):
        self._program = program

    def latency(self, count: int) -> list[float]:
        return self._program.seconds(count=count)

    def burst(self, count: int) -> float:
        return self._program.seconds(many=count)[0]


class SubmittingView(Submitting):
    """The same where the view of a lab does it: VIEWS' program of the library whose API labkit has."""

    def __init__(self, program: Program):
        super().__init__(program)
        program.ask("enter")

    def latency(self, count: int) -> list[float]:
        return self._program.seconds("tasks", times=count)

    def burst(self, count: int) -> float:
        return self._program.seconds("burst", times=count)[0]


@dataclass
class Found:
    """What one queue took: seconds from submission to result, and tasks in a second, a figure for each burst."""

    latency: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def measure(report: Report, scale: Scale) -> None:
    queues = [queue for queue in QUEUES if not queue.environment or scale.python(queue.environment)]
    for queue in QUEUES:
        if queue not in queues:
            report.leave_out(f"tasks of {queue.name}", f"{scale.environments / queue.environment} is not there")
    with store() as found:
        for transport, url in found.urls().items():
            _tell(report, transport, measured(report, queues, url, scale))


def measured(report: Report, queues: list[Queue], url: str, scale: Scale) -> dict[str, Found]:
    """Have all of them do their blocks in turn, through the store at this URL."""
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(Program(sys.executable, "floor.py", url))
        up = _all_up(report, queues, url, scale, stack)
        kept = {name: Found() for name in (FLOOR, *(queue.name for queue, _ in up))}
        for number in range(scale.times(BLOCKS, 1) + 1):
            warm = number > 0 or scale.quick
            took = floor.seconds(count=scale.times(BLOCK, 4))
            kept[FLOOR].latency += took if warm else []
            for queue, submitting in list(up):
                if number <= queue.blocks:
                    with _or_left_out(report, queue, up, kept):
                        took = submitting.latency(max(1, scale.times(BLOCK, 4) // queue.part))
                        kept[queue.name].latency += took if warm else []
        for number in range(scale.times(BURSTS, 1)):
            for queue, submitting in list(up):
                if number == 0 or queue.part == 1:
                    with _or_left_out(report, queue, up, kept):
                        count = scale.times(BURST, 20) // (4 if queue is WEBLABLIB else 1)
                        kept[queue.name].rate.append(count / submitting.burst(count))
    return kept


@contextlib.contextmanager
def _or_left_out(
    report: Report, queue: Queue, up: list[tuple[Queue, Submitting]], kept: dict[str, Found]
) -> Iterator[None]:
    """A peer that fails is left out from there on, with what it has done; labkit must not fail."""
    try:
        yield
    except ProgramError as error:
        if queue.name == LABKIT:
            raise
        report.leave_out(f"tasks of {queue.name}", str(error))
        up[:] = [pair for pair in up if pair[0] is not queue]
        kept.pop(queue.name, None)


def _all_up(
    report: Report, queues: list[Queue], url: str, scale: Scale, stack: contextlib.ExitStack
) -> list[tuple[Queue, Submitting]]:
    """Start all programs at once, and wait until each has done its first task."""
    starting = [(queue, stack.enter_context(_started(queue, url, scale))) for queue in queues]
    up: list[tuple[Queue, Submitting]] = []
    for queue, half in starting:
        with _or_left_out(report, queue, up, {}):
            up.append((queue, (SubmittingView if queue is WEBLABLIB else Submitting)(half.__enter__())))
    return up


@contextlib.contextmanager
def _started(queue: Queue, url: str, scale: Scale) -> Iterator[Program]:
    """Start the workers of a queue and the half that submits, which is not ready yet; end them with the block."""
    found = scale.python(queue.environment) if queue.environment else None
    python, nothing = str(Path(found or sys.executable).absolute()), subprocess.DEVNULL
    environment = {"STORE_URL": url, "PYTHONPATH": f"{PEERS}", "PYTHONUNBUFFERED": "1"}
    workers = [
        subprocess.Popen(
            [python, *(part.format(url=url) for part in worker)],
            cwd=queue.folder, env=clean_environment(environment), stdin=nothing, stdout=nothing, stderr=nothing,
        )
        for worker in queue.workers
    ]  # fmt: skip
    try:
        with contextlib.closing(Program(python, queue.program, *queue.arguments, url, environment=environment)) as half:
            yield half
    finally:
        for process in workers:
            process.terminate()
        for process in workers:
            _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tell(report: Report, transport: str, kept: Mapping[str, Found]) -> None:
    latency, rate = LATENCY.format(transport), RATE.format(transport)
    for name, found in kept.items():
        report.times(latency, name, found.latency)
        if found.rate:
            report.figure(rate, name, statistics.median(found.rate), "a second", count=len(found.rate))
    if transport == JUDGED:
        _judge(report, kept, latency, rate)


def _judge(report: Report, kept: Mapping[str, Found], latency: str, rate: str) -> None:
    """What labkit must reach, as ratios of one run; without huey only what needs none."""
    median = {name: statistics.median(found.latency) for name, found in kept.items()}
    report.at_most(latency, "labkit beside the floor, median", median[LABKIT] / median[FLOOR], FLOOR_BAR)
    if HUEY in kept:
        slowest = {name: quantile(kept[name].latency, 0.99) for name in (LABKIT, HUEY)}
        done = {name: statistics.median(kept[name].rate) for name in (LABKIT, HUEY)}
        report.at_most(latency, "labkit beside huey, median", median[LABKIT] / median[HUEY], HUEY_BAR)
        report.at_most(latency, "labkit beside huey, p99", slowest[LABKIT] / slowest[HUEY], 1.0)
        report.at_least(rate, "labkit beside huey", done[LABKIT] / done[HUEY], RATE_BAR)
