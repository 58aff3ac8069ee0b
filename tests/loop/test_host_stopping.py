"""A host that stops: its devices are made safe and closed, its benches left, each as soon as its own devices are."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import CallLostError
from labkit.store.connection import Store
from labkit.store.sessions import NewSession
from labkit.threads import LabThread
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import GUARD, wait_until


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
