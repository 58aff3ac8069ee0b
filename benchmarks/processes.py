"""What the kernel says of running processes: their CPU time, memory, threads, and how often those went to sleep.

Used by the measures of start and idleness. Linux only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ThreadFacts:
    """One thread as it was at one moment. sleeps: how often it has given up its core by itself since it was born."""

    pid: int
    name: str
    cpu: float
    sleeps: int


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in _listed(Path(f"/proc/{pid}/task")):
        for child in _text(task / "children").split():
            found += tree(int(child))
    return found


def command_line(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


def with_environment(name: str, value: str) -> list[int]:
    """The processes that were started with this in their environment: also those that nobody is a parent of."""
    wanted = f"{name}={value}"
    pids = [int(one.name) for one in _listed(Path("/proc")) if one.name.isdecimal()]
    return [pid for pid in pids if wanted in _text(Path(f"/proc/{pid}/environ")).split("\0")]


def threads(pids: Iterable[int]) -> dict[int, ThreadFacts]:
    """All threads of processes, by their ids."""
    found = {}
    for pid in pids:
        for task in _listed(Path(f"/proc/{pid}/task")):
            stat, status = _text(task / "stat"), _text(task / "status")
            if stat and status:
                fields = stat.rpartition(")")[2].split()
                sleeps = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
                cpu = (int(fields[11]) + int(fields[12])) * TICK
                found[int(task.name)] = ThreadFacts(pid, _text(task / "comm").strip(), cpu, sleeps)
    return found


def cpu_seconds(pid: int) -> float:
    """What a process and its children that have ended have used so far."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK if fields else 0.0


def resident_mb(pid: int) -> float:
    """Its memory that is in RAM, in MB."""
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
