"""One host for each bench: by the file lock on one machine, by the claim in the store between machines."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from labkit.store.connection import Store
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import wait_until


def test_only_one_process_of_a_machine_hosts_a_bench(lab: HostBench) -> None:
    first, second = Node(lab).up(), Node(lab)
    lab.wait_ok()
    second.up()
    wait_until(lambda: second.process.silent_for < 1 and second.process.has_role("host"), "the second host")
    second.process.nudge()
    assert not second.host.benches
    first.down()
    wait_until(lambda: second.process.nudge() or second.host.benches, "the second host to take over")  # type: ignore[func-returns-value]
    lab.wait_ok()
    assert lab.world.open_now == 1


def test_lock_is_held_from_before_the_opening_to_after_the_closing(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    path = lab.folder / "instance" / "hosts" / "bench-1.lock"
    with open(path) as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    gate = lab.world.hold("make_safe")
    node.host._drop_all = "test"
    node.host._wake.set()
    wait_until(lambda: "make_safe hangs" in lab.world.acts, "the last making safe")
    with open(path) as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lab.world.gates.clear()
    gate.set()


def test_other_machine_leaves_a_bench_alone_while_its_host_beats(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    other = Node(lab, machine="pi-2", instance="other").up()
    wait_until(lambda: other.host._claiming.elsewhere, "the refusal")
    assert not other.host.benches
    assert lab.world.open_now == 1


def test_other_machine_hosts_what_was_left_in_order(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    other = Node(lab, machine="pi-2", instance="other").up()
    first.down()
    wait_until(lambda: other.process.nudge() or other.host.benches, "the other machine")  # type: ignore[func-returns-value]
    lab.wait_ok()


def test_bench_of_another_machine_is_not_hosted(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store, machine="pi-9") as lab:
        node = Node(lab, machine="pi-1").up()
        Node(lab, machine="pi-9", instance="other").up()
        lab.wait_ok()
        assert not node.host.benches


def test_host_that_finds_its_bench_claimed_by_another_lets_go(lab: HostBench) -> None:
    """Not by any way that labkit goes; but what the store says counts."""
    node = Node(lab).up()
    lab.wait_ok()
    old = node.host.benches["bench-1"].claim
    lab.reservations.claim_bench("bench-1", node.process.id, "pi-1", devices=["toy"], features=[], info={}, silence=0)
    node.process.nudge()
    wait_until(lambda: node.host.benches.get("bench-1") and node.host.benches["bench-1"].claim > old, "a new claim")
    lab.wait_ok()
    assert lab.world.open_now == 1
