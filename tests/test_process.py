"""One process of a lab: its beat, its roles, its silence, its new name after a sleep, and a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit import process as process_module
from labkit.clock import Clock
from labkit.errors import StoreUnavailableError
from labkit.process import LabProcess
from labkit.store.connection import Store
from labkit.store.processes import BeatNews, Processes
from labkit.testing.store import StoreServer
from tests.frozen import freeze, thaw
from tests.toy import GUARD, NoThread, wait_until

CHILD = """\
import sys
from labkit.process import LabProcess
from labkit.store.connection import Store
from labkit.store.processes import Processes
process = LabProcess(Processes(Store(sys.argv[1], sys.argv[2])), "here")
process.on_gone(lambda: print(process.id, flush=True))
process.add_role("host")
process.hosts("bench-1", 7)
process.start()
print(process.id, flush=True)
sys.stdin.read()
process.stop(30)
"""


@pytest.fixture
def process(store: Store) -> Iterator[LabProcess]:
    process = LabProcess(Processes(store), "my pi")
    yield process
    process.stop()


@pytest.fixture
def only_when_nudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """No beat comes by itself: not even where the test stands still between two of its lines."""
    monkeypatch.setattr("labkit.process.BEAT_SECONDS", 600.0)


def beats(store: Store, name: str) -> bool:
    return store.command("ZSCORE", store.keys["processes"], name) is not None


def test_start_beats_at_once_and_twice_is_fine(store: Store, process: LabProcess) -> None:
    before = set(threading.enumerate())
    process.start()
    process.start()
    assert beats(store, process.id)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["beat"]
    assert process.silent_for < 10
    assert process.id.startswith(f"my-pi:{os.getpid()}:")


def test_time_is_the_stores(store: Store, process: LabProcess) -> None:
    store.now = 1_000_000.0
    process.start()
    assert 1_000_000 <= process.store_now() < 1_000_010


def test_roles_are_told_with_the_next_beat(store: Store, process: LabProcess) -> None:
    process.start()
    process.add_role("tasks")
    wait_until(lambda: Processes(store).with_role("tasks") == process.id, "the role")
    process.drop_role("tasks")
    process.nudge()
    wait_until(lambda: not Processes(store).with_role("tasks"), "the end of the role")
    assert not process.has_role("tasks")


def test_stop_leaves_at_once_and_the_next_start_has_a_new_name(store: Store, process: LabProcess) -> None:
    process.add_role("host")
    process.start()
    old = process.id
    process.stop(GUARD)  # long enough for the beat that may be under way: one that comes after the good-bye undoes it
    process.stop()
    assert not process.running
    assert not Processes(store).with_role("host")
    process.start()
    assert process.id != old
    assert Processes(store).with_role("host") == process.id


@pytest.mark.usefixtures("only_when_nudged")
def test_beat_that_comes_to_the_store_after_the_good_bye_says_another(
    store: Store, process: LabProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.add_role("host")
    process.start()
    name, under_way, let_go = process.id, threading.Event(), threading.Event()
    real = Processes.beat

    def late(self: Processes, process: str, **said: Any) -> BeatNews | None:
        under_way.set()
        assert let_go.wait(GUARD)
        return real(self, process, **said)

    def has_left() -> bool:
        beaten = store.command("ZSCORE", store.keys["processes"], name)
        return float(beaten) == 0 and not Processes(store).with_role("host")

    renamed: list[str] = []
    process.on_gone(lambda: renamed.append(process.id))
    monkeypatch.setattr(Processes, "beat", late)
    process.nudge()
    assert under_way.wait(GUARD)
    beating = [thread for thread in threading.enumerate() if thread.name == "beat"]
    process.stop(0.05)
    assert has_left()
    let_go.set()
    for thread in beating:
        thread.join(GUARD)
    assert has_left()
    assert renamed == []


@pytest.mark.usefixtures("only_when_nudged")
def test_listeners_hear_every_beat_and_can_be_forgotten(process: LabProcess) -> None:
    heard: list[BeatNews] = []
    listener = heard.append
    process.on_news(listener)
    process.start()
    assert len(heard) == 1
    process.nudge()
    wait_until(lambda: len(heard) >= 2, "the next beat")
    process.forget(listener, listener)
    process.nudge()


def test_listener_that_fails_stops_no_beat(store: Store, process: LabProcess, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[BeatNews] = []

    def broken(_: BeatNews) -> None:
        raise RuntimeError("broken listener")

    process.on_news(broken)
    process.on_news(heard.append)
    process.start()
    process.nudge()
    wait_until(lambda: len(heard) >= 2, "the next beat")
    assert "broken listener" in caplog.text


def test_process_that_was_taken_for_gone_takes_a_new_name(store: Store, process: LabProcess) -> None:
    gone: list[str] = []
    process.on_gone(lambda: gone.append(process.id))
    process.hosts("bench-1", 7)
    process.start()
    old = process.id
    store.command("ZREM", store.keys["processes"], old)
    process.nudge()
    wait_until(lambda: gone, "the news")
    assert process.id == gone[0] != old
    wait_until(lambda: beats(store, process.id), "the first beat of the new name")
    assert process.highest_fence == 7


@pytest.mark.usefixtures("only_when_nudged")
def test_change_brings_a_beat_at_once(store: Store, process: LabProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    listens, wait = threading.Event(), process._processes.wait_for_changes

    def wait_from(position: str, seconds: float) -> str:
        listens.set()
        return wait(position, seconds)

    monkeypatch.setattr(process._processes, "wait_for_changes", wait_from)
    heard: list[BeatNews] = []
    process.start()
    process.on_news(heard.append)
    process.listen()
    process.listen()
    assert listens.wait(GUARD)
    assert heard == []
    store.command("XADD", store.keys["changes"], "*", "news", "due")
    wait_until(lambda: heard, "the beat")


def test_store_that_is_away_is_silence_and_heals(tmp_path: Path) -> None:
    with StoreServer() as server:
        process = LabProcess(Processes(Store(server.url, "lab")), "here")
        process.start()
        server.stop()
        process.nudge()
        wait_until(lambda: process.silent_for > 0.5, "some silence")
        old = process.id
        server.start()
        wait_until(lambda: process.silent_for < 0.5, "the next beat")
        assert process.id != old  # this store has forgotten everything
        process.stop()


def test_start_without_a_store_is_an_error_and_can_be_tried_again(tmp_path: Path) -> None:
    with StoreServer() as server:
        process = LabProcess(Processes(Store(server.url, "lab")), "here")
        server.stop()
        with pytest.raises(StoreUnavailableError):
            process.start()
        assert not process.running
        server.start()
        process.start()
        assert process.running
        process.stop()


def test_start_for_which_no_thread_can_be_had_can_be_tried_again(
    store: Store, process: LabProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crowded:
        crowded.setattr(process_module, "LabThread", NoThread)
        with pytest.raises(RuntimeError):
            process.start()
        assert not process.running
    process.start()
    first = process._last_beat
    process.nudge()
    wait_until(lambda: process._last_beat > first, "a beat")


@pytest.mark.usefixtures("only_when_nudged")
def test_silence_counts_while_the_machine_sleeps(store: Store) -> None:
    class Sleepy(Clock):
        slept = 0.0

        def boottime(self) -> float:
            return super().boottime() + self.slept

    clock = Sleepy()
    process = LabProcess(Processes(store), "here", clock=clock)
    process.start()
    clock.slept = 100.0
    assert process.silent_for > 90
    process.nudge()
    wait_until(lambda: process.silent_for < 50, "the next beat")
    process.stop()


def test_stopped_process_wakes_up_under_a_new_name(store: Store, store_server: StoreServer) -> None:
    root = str(Path(__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, store_server.url, store.keys.prefix],
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        old = child.stdout.readline().strip()
        processes = Processes(store)
        assert processes.with_role("host") == old
        freeze(child.pid)
        wait_until(lambda: not processes.with_role("host"), "the silence")
        thaw(child.pid)
        new = child.stdout.readline().strip()
        assert new
        assert new != old
        wait_until(lambda: processes.with_role("host") == new, "the beat of the new name")
        child.communicate("", timeout=30)
        assert (child.returncode, processes.with_role("host")) == (0, "")
    finally:
        child.kill()
        child.communicate(timeout=30)


FORKER = """\
import os, sys
from labkit.errors import StoreUnavailableError
from labkit.process import LabProcess
from labkit.store.connection import Store
from labkit.store.processes import Processes
def away(*_, **__):
    raise StoreUnavailableError("away")
process = LabProcess(Processes(Store(sys.argv[1], sys.argv[2])), "here")
process.start()
mine = process.id
child = os.fork()
if child == 0:
    running, beat, process._processes.beat = process.running, process._processes.beat, away
    try:
        process.start()
    except StoreUnavailableError:
        running = running or process.running
    process._processes.beat = beat
    process.start()
    ok = not running and process.running and process.id != mine
    process.stop()
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert process.running and process.id == mine
process.nudge()
process.stop()
"""


def test_forked_child_starts_anew_though_its_first_beat_fails_and_its_parent_goes_on(
    store: Store, store_server: StoreServer
) -> None:
    root = str(Path(__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", FORKER, store_server.url, store.keys.prefix],
        env={**os.environ, "PYTHONPATH": root},
        check=True,
        timeout=60,
    )


@pytest.mark.usefixtures("only_when_nudged")
def test_what_a_renamed_process_hosted_stays_its_machines_until_it_is_closed(store: Store, process: LabProcess) -> None:
    heard: list[BeatNews] = []
    process.on_news(heard.append)
    process.start()
    process.hosts("bench-1", 7)
    before = process.id
    store.command("HSET", store.keys["bench_host"], "bench-1", f"{before} 7 my-pi 1.0")
    store.command("ZREM", store.keys["processes"], before)
    process.nudge()
    wait_until(lambda: len(heard) == 2, "the first beat of its new name")
    assert process.id != before

    def seen() -> float:
        (host,) = store.command("HMGET", store.keys["bench_host"], "bench-1")
        name, fence, machine, at = host.decode().split()
        assert (name, fence, machine) == (before, "7", "my-pi"), "its sessions would find the new one"
        return float(at)

    assert seen() > 1.0, "no beat speaks of it"
    process.hosts_no_more("bench-1")
    store.command("HSET", store.keys["bench_host"], "bench-1", f"{before} 7 my-pi 1.0")
    process.nudge()
    wait_until(lambda: len(heard) == 3, "the next beat")
    assert seen() == 1.0
