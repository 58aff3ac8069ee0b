"""A host that is cut off: no store, no beat, or asleep. Its devices are safe in time, and nothing old is run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from labkit.errors import DeviceError, ReservationLostError
from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.loop.host_bench import HostBench, Node, Skipping, Standing
from tests.loop.host_bench import lab as lab
from tests.toy import GUARD, wait_until


def test_host_asks_a_store_nothing_that_has_not_answered_for_a_while(lab: HostBench) -> None:
    """Each question may wait for seconds, and the devices are to be safe in time."""
    clock = Skipping()
    node = Node(lab, clock=clock).up()
    lab.wait_ok()
    node.process._threads[0].stop()
    node.process._threads[0].join(GUARD)  # no beats from here on
    (runner,) = node.host.runners
    with runner.telling:  # its first word is said, and the store's answer to that was heard
        clock.skipped = 3.0
    node.host._reports.want(runner)
    node.host._look_after(threading.Event())
    assert node.host._reports.unsaid() == [runner]
    clock.skipped = 0.0
    node.process._beat(first=False)
    with runner.telling:
        node.host._look_after(threading.Event())  # somebody tells already; who waits for that waits twice as long
    wait_until(lambda: node.host._wake.set() or not node.host._reports.unsaid(), "the word")  # type: ignore[func-returns-value]


def test_host_makes_safe_and_closes_as_soon_as_no_beat_has_come_for_safe_after(lab: HostBench) -> None:
    clock = Standing()
    node = Node(lab, clock=clock, safe_after=10).up()
    node.process._threads[0].stop()
    node.process._threads[0].join(GUARD)  # no beats from here on
    lab.wait_condition("ok")
    clock.moved = 9.0
    node.host._look_after(threading.Event())
    assert lab.world.acts == ["open", "safe"]
    clock.moved = 9.5
    assert node.host._patience() == 0.5  # so that its thread looks in time, with no news to wake it
    clock.moved = 10.0
    node.host._look_after(threading.Event())
    wait_until(lambda: not node.host.benches, "the closing")  # by this look, or by one of its thread
    assert lab.world.acts == ["open", "safe", "safe", "close"]


def test_host_without_the_store_makes_safe_and_closes_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    clock = Standing()
    with StoreServer(append_only=True) as server:
        store = Store(server.url, "lab")
        store.command("CONFIG", "SET", "appendfsync", "always")
        with HostBench(tmp_path, store) as lab:
            node = Node(lab, clock=clock).up()
            lab.wait_ok()
            server.stop()
            before = lab.world.count("close")
            clock.moved = node.settings.safe_after
            wait_until(lambda: lab.world.count("close") > before, "the closing")
            assert lab.world.acts[-2:] == ["safe", "close"]
            server.start()
            wait_until(lambda: lab.world.acts[-1] == "safe", "the second opening")
            lab.wait_ok()
            wait_until(lambda: lab.world.open_now == 1, "one open device")


def test_process_that_was_taken_for_dead_claims_anew(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store) as lab:
        node = Node(lab).up()
        lab.wait_ok()
        name, claim = node.process.id, node.host.benches["bench-1"].claim
        store.command("ZREM", store.keys["processes"], name)
        wait_until(lambda: node.process.id != name, "the new name")
        wait_until(lambda: (b := node.host.benches.get("bench-1")) and b.claim > claim, "the new claim")
        lab.wait_ok()
        assert lab.world.acts[:4] == ["open", "safe", "safe", "close"]


def test_process_that_was_taken_for_dead_still_knows_the_fences_of_its_devices(tmp_path: Path, store: Store) -> None:
    """A store that went back shows an earlier reservation: the device refuses it, though its bench was claimed anew."""
    with HostBench(tmp_path, store) as lab:
        node = Node(lab).up()
        lab.wait_ok()
        _, fence = lab.session()
        node.host.runners[0].raise_fence(fence + 1)  # a later reservation, of which the store knows nothing
        name, claim = node.process.id, node.host.benches["bench-1"].claim
        store.command("ZREM", store.keys["processes"], name)
        wait_until(lambda: (b := node.host.benches.get("bench-1")) and b.claim > claim, "the new claim")
        lab.wait_condition("ok")
        with pytest.raises(ReservationLostError, match="nothing was done"):
            lab.call(fence, "write", "late")
        assert "late" not in lab.world.acts


def test_process_that_slept_runs_no_old_call(tmp_path: Path, store: Store) -> None:
    clock = Skipping()
    with HostBench(tmp_path, store) as lab:
        node = Node(lab, clock=clock).up()
        lab.wait_ok()
        _, fence = lab.session()
        lab.beat_no_more(node)
        clock.skipped = 5.0
        with pytest.raises(DeviceError, match=r"lost touch|not done"):
            lab.call(fence, "write", "blind", seconds=30.0)
        assert "blind" not in lab.world.acts
