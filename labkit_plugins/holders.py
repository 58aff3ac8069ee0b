"""Which other processes have a device's file open. Used by the drivers and scans of serial ports and of cameras."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that has the file open."""

    pid: int
    program: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})"


def holders(path: str, proc: Path = Path("/proc")) -> list[Holder]:
    """Other processes that have the file open, as far as this user may see them."""
    meant = os.path.realpath(path)
    pids = sorted(int(entry) for entry in os.listdir(proc) if entry.isdecimal())
    others = (pid for pid in pids if pid != os.getpid())
    return [
        Holder(pid=pid, program=program(proc / str(pid))) for pid in others if meant in _open_files(proc / str(pid))
    ]


def program(process: Path, unknown: str = "ended meanwhile") -> str:
    """What a process runs, by its folder in /proc."""
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return unknown


def _open_files(process: Path) -> Iterator[str]:
    try:
        entries = os.listdir(process / "fd")
    except OSError:  # ended meanwhile, or another user's
        return
    for entry in entries:
        try:
            yield os.readlink(process / "fd" / entry)
        except OSError:
            continue
