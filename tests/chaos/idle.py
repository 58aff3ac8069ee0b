"""What a lab has when nobody uses it: processes, their descriptors and threads, keys of its store.

The chaos run compares it before and after its faults, the soak while it goes on.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.keys import FAMILIES
from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.part import links_of

SECONDS = 90.0
"""How long it may take until nothing is under way any more; what hangs in a hook comes back after 9 s."""
EMPTY = ("deadlines", "holds", "unique", "queue", "urgent", "running")
"""Keys that are not there when nothing is under way."""
MORE_FILES = 3
MORE_SOCKETS = 60
"""Connections are kept for the next use: as many as were ever needed at once."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Descriptors, sockets and threads by kind of process and name, and keys that stay for ever.

    processes: how many there are of each kind.
    """

    files: Mapping[str, int]
    sockets: Mapping[str, int]
    threads: Mapping[str, int]
    lasting: frozenset[str]
    processes: Mapping[str, int] = field(default_factory=dict)


def look_at_idle(lab: ChaosLab) -> Idle:
    """Count what is there."""
    files, sockets, threads, processes = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for part in lab.parts:
        kind = part.name.partition("-")[0]
        for pid in part.pids:
            links = links_of(pid)
            processes[kind] += 1
            sockets[kind] += sum(link.startswith("socket:") for link in links)
            files[kind] += sum(not link.startswith("socket:") for link in links)
            threads.update(f"{kind} {name}" for name in own_threads(pid))
    lasting = frozenset(lasting_keys(lab.store))
    return Idle(files=files, sockets=sockets, threads=threads, lasting=lasting, processes=processes)


def thread_names(pid: int) -> list[str]:
    """The names that the kernel has of a process's threads."""
    names = []
    for path in Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            names.append(kernel_name(path))
    return names


def own_threads(pid: int) -> list[str]:
    """The names of a process's threads, but for the main one, and those of gunicorn's pool: it keeps as many as were
    ever needed."""
    unnamed = ""
    with contextlib.suppress(OSError):
        unnamed = kernel_name(Path(f"/proc/{pid}/comm"))
    return [name for name in thread_names(pid) if name != unnamed and not name.startswith("ThreadPool")]


def kernel_name(path: Path) -> str:
    """A name that the kernel has of a thread, without what differs from one to the next."""
    return re.sub(r"[0-9]+", "N", path.read_text().strip())


def lasting_keys(store: Store) -> list[str]:
    """Keys without a TTL, but those of the fixed hashes and the benches' logs."""
    fixed = {store.keys[name] for name, _ in FAMILIES}
    keys = [key.decode() for key in store.command("KEYS", "*")]
    lasting = [key for key in keys if key not in fixed and store.command("TTL", key) == -1]
    return [key for key in lasting if not key.startswith(store.keys["bench_log"])]


def wait_until_idle(lab: ChaosLab, before: Idle | None = None) -> list[str]:
    """Wait until nothing is under way, and there is no more of anything than before; returns what still is, and what
    else was for long."""
    began, seen = time.monotonic(), Counter[str]()
    while True:
        left = _left(lab, before)
        if not left:
            return []
        if time.monotonic() > began + SECONDS:
            long = [what for what, looks in seen.most_common(3) if what not in left and looks > seen.total() / 10]
            return [*left, *(f"before that for long: {what}" for what in long)]
        seen.update(left)
        time.sleep(0.2)


def _left(lab: ChaosLab, before: Idle | None) -> list[str]:
    try:
        left = under_way(lab)
        return left if left or before is None else growth(before, look_at_idle(lab))
    except StoreUnavailableError as error:
        return [f"the store is away: {error}"]


def under_way(lab: ChaosLab) -> list[str]:
    """What is not over yet, or was left behind."""
    left = [f"{key} is there" for key in EMPTY if lab.store.command("EXISTS", lab.store.keys[key])]
    left += [f"{bench}: {why}" for bench, why in lab.out_of_service().items()]
    left += not_as_listed(lab)
    left += [f"process {pid} is there, and nobody's" for pid in strays(lab)]
    return left


def strays(lab: ChaosLab) -> list[int]:
    """Processes that came of the lab's and belong to none of its parts: all of its work in its folder."""
    own = {pid for part in lab.parts for pid in part.pids}
    folder = os.path.realpath(lab.folder)
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid not in own and _in(pid, folder)]


def _in(pid: int, folder: str) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        return os.readlink(f"/proc/{pid}/cwd") == folder
    return False


def not_as_listed(lab: ChaosLab) -> list[str]:
    """Where the list of live processes is wrong. A web process is on it from the first thing that it does for a lab."""
    names = [name.decode() for name in lab.store.command("ZRANGE", lab.store.keys["processes"], 0, -1)]
    listed = Counter(int(name.split(":")[1]) for name in names)
    running = {pid for part in lab.parts for pid in part.pids}
    wrong = [f"process {pid} is listed, and does not run" for pid in listed if pid not in running]
    wrong += [f"process {pid} is listed {count} times" for pid, count in listed.items() if count > 1]
    loops = [part for part in lab.parts if part.name.startswith("loop")]
    return wrong + [f"{part.name} is not listed" for part in loops if not listed.keys() & set(part.pids)]


def growth(before: Idle, now: Idle) -> list[str]:
    """What there is more of than before."""
    found = [f"key {key} has no end" for key in sorted(now.lasting - before.lasting)]
    found += _more("descriptors", before.files, now.files, lambda had: had + MORE_FILES)
    found += _more("sockets", before.sockets, now.sockets, lambda had: had + MORE_SOCKETS)
    own = dict(now.threads)
    feeds = sum(own.pop(name) for name in list(own) if name.startswith("loop feeds:"))
    devices = sum(count for name, count in before.threads.items() if name.startswith("loop device:"))
    if feeds > devices:  # each device has one from the first word that it says in a session
        found.append(f"threads for feeds: {feeds}, and there are {devices} devices")
    for name, count in now.threads.items():  # those that begin with their first use: one for each process
        if ":" not in name and not name.startswith("loop ") and count <= now.processes.get(name.partition(" ")[0], 0):
            del own[name]
    return found + _more("threads", before.threads, own, lambda had: had)


def _more(what: str, before: Mapping[str, int], now: Mapping[str, int], most: Callable[[int], int]) -> list[str]:
    return [
        f"{what} {name}: {count}, and there were {before.get(name, 0)}"
        for name, count in now.items()
        if count > most(before.get(name, 0))
    ]
