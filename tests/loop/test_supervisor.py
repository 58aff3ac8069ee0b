"""Workers together in one process, and `labkit loop` as a real process with real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from labkit.loop.reaper import Reaper
from labkit.loop.supervisor import Workers
from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab
from tests.toy import NoThread, wait_until

LOOP = """\
import sys
from pathlib import Path
from tests.small_lab import SmallLab
lab = SmallLab(Path(sys.argv[1]), sys.argv[2], WEBLAB_REDIS_BASE=sys.argv[3])
lab.weblab.loop(threads=1)
print("ended", flush=True)
"""


@pytest.fixture
def lab(tmp_path: Path, store_server: StoreServer) -> Iterator[SmallLab]:
    with SmallLab(tmp_path, store_server.url, devices=["toy"], WEBLAB_NO_THREAD=True) as lab:
        yield lab


def names(besides: Iterable[threading.Thread] = ()) -> set[str]:
    """What the threads of this process are called, without numbers; besides: those that don't count."""
    counted = set(threading.enumerate()).difference(besides)
    return {thread.name.partition(":")[0].rstrip("-0123456789") for thread in counted}


def ended(before: set[str]) -> None:
    """Wait until no thread is left that was not there before; one that was not waited for any more may just be ending.
    `events` is the lab's, until it is closed."""
    wait_until(lambda: names() - {"events"} <= before, "the end of all threads")


def test_workers_start_all_and_stop_all(lab: SmallLab) -> None:
    before = names()
    workers = Workers(lab.lab, task_threads=2)
    workers.start()
    workers.start()
    lab.wait_free()
    assert {"beat", "changes", "host", "calls", "device", "task"} <= names()
    assert workers.running
    workers.stop()
    workers.stop()
    assert not workers.running
    ended(before)
    assert lab.world.open_now == 0
    assert not lab.lab.processes.with_role("host")


def test_workers_of_which_a_part_can_not_start_leave_nothing_behind(
    lab: SmallLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, workers = names(), Workers(lab.lab, task_threads=2)
    with monkeypatch.context() as crowded:
        crowded.setattr(Reaper, "start", lambda _: NoThread("reaper", lambda _: None).start())
        with pytest.raises(RuntimeError):
            workers.start()
    assert not workers.running
    ended(before)
    assert lab.world.open_now == 0
    workers.start()
    lab.wait_free()
    workers.stop()


def test_workers_start_again(lab: SmallLab) -> None:
    workers = Workers(lab.lab, task_threads=1)
    for _ in range(2):
        workers.start()
        lab.wait_free()
        workers.stop()
    assert lab.world.count("open") == 2


def test_workers_can_do_without_each_part(lab: SmallLab) -> None:
    workers, before = Workers(lab.lab, task_threads=0, reaper=False, host=False), set(threading.enumerate())
    workers.start()
    wait_until(lambda: lab.lab.process.silent_for < 5, "the beat")
    assert not ({"host", "task", "device"} & names(besides=before))
    workers.stop()


def test_workers_wait_for_a_store_without_an_error(tmp_path: Path) -> None:
    with SmallLab(tmp_path, f"unix://{tmp_path}/nothing", WEBLAB_NO_THREAD=True) as lab:
        workers = Workers(lab.lab, task_threads=1)
        workers.start_soon()
        workers.start_soon()
        assert not workers.running
        workers.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_loop_ends_in_order_by_a_signal(tmp_path: Path, store_server: StoreServer, store: Store, number: int) -> None:
    root = str(Path(__file__).parents[2])
    prefix = store.keys.prefix
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(tmp_path), store_server.url, prefix],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for role in ("host", "tasks", "endings"):
            wait_until(lambda role=role: Processes(store).with_role(role), role)  # type: ignore[misc]
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait(10)
    assert (process.returncode, output) == (0, "ended\n")
    assert not Processes(store).with_role("host")
