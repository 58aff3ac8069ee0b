"""A host that stops: its devices are made safe and closed, its benches left, each as soon as its own devices are."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import CallLostError
from labkit.loop import device_runner, host
from labkit.store.connection import Store
from labkit.store.sessions import NewSession
from labkit.threads import LabThread
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import GUARD, NoThread, wait_until


def test_stop_makes_safe_closes_and_leaves(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    node.host.stop()
    assert lab.world.acts == ["open", "safe", "safe", "close"]
    assert (lab.device().condition, lab.device().reason) == ("offline", "its host was stopped")
    node.host.stop()


def test_host_starts_again_after_a_stop(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    node.host.stop()
    node.host.start()
    lab.wait_ok()
    assert lab.world.open_now == 1


def test_running_call_of_a_host_that_stops_is_answered(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    pending = lab.submit(fence, "block")
    wait_until(lambda: "blocks" in lab.world.acts, "the call")
    node.host.stop()
    with pytest.raises(CallLostError, match="may have run"):
        pending.result()


def test_bench_is_left_as_soon_as_its_own_devices_are_closed(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        node = Node(lab).up()
        for bench in ("bench-1", "bench-2"):
            lab.wait_ok(bench)
            lab.session(bench)
        gate = lab.world.hold("make_safe")
        stopping = LabThread("stop", lambda _: node.host.stop(600.0))
        stopping.start()
        wait_until(lambda: "make_safe hangs" in lab.world.acts, "the last making safe")
        other = wait_until(lambda: (view := lab.view("bench-2")) and not view.host and view, "bench-2 to be left")
        assert other.devices[0].reason == "its host was stopped"
        assert stopping.is_alive()
        lab.world.gates.clear()
        gate.set()
        stopping.join(GUARD)
        assert lab.device("bench-1").reason == "its host was stopped"


def test_bench_whose_host_stops_is_given_to_nobody_while_it_is_closed(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    gate = lab.world.hold("make_safe")
    stopping = LabThread("stop", lambda _: node.host.stop(600.0))
    stopping.start()
    wait_until(lambda: "make_safe hangs" in lab.world.acts, "the last making safe")
    new = NewSession(
        session_id="late", user={}, slot_start=None, slot_length=600, timeout=0, start_timeout=60, bench="bench-1"
    )
    assert isinstance(lab.sessions.start(new, lab.process.id), list)  # of refusals
    lab.world.gates.clear()
    gate.set()
    stopping.join(GUARD)


def test_bench_that_is_claimed_while_its_host_stops_is_given_back_unopened(
    lab: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was slow to answer the claim, and nobody waits for that."""
    monkeypatch.setattr(host, "THREADS_SECONDS", 0.05)
    node, claimed, gate = Node(lab), threading.Event(), threading.Event()
    take = node.host._claiming.take

    def slowly(*what: Any) -> Any:
        bench = take(*what)
        claimed.set()
        assert gate.wait(GUARD)
        return bench

    monkeypatch.setattr(node.host._claiming, "take", slowly)
    node.up()
    assert claimed.wait(GUARD)
    (thread,) = [thread for thread in node.host._threads if thread.name == "host"]
    node.host.stop()
    gate.set()
    thread.join(GUARD)
    assert not thread.is_alive()
    assert (node.host.benches, lab.world.acts) == ({}, [])
    view = lab.view()
    assert view is not None
    assert view.host == ""
    with open(lab.folder / "instance" / "hosts" / "bench-1.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_bench_whose_devices_can_have_no_threads_is_given_back_and_tried_again(
    lab: HostBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as crowded:
        crowded.setattr(device_runner, "LabThread", NoThread)
        node = Node(lab).up()
        wait_until(lambda: "bench can't be hosted bench=bench-1" in caplog.text, "the word on it")
    node.process.nudge()
    lab.wait_ok()
    assert lab.world.open_now == 1
