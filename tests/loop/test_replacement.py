"""When a loop replaces itself: for a device that hangs, not again and again for one that this does not help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.clock import Clock
from labkit.loop.replacement import AGAIN_AFTER, Replacement
from labkit.store.connection import Store
from tests.kernel_wait import KernelWait
from tests.loop.host_bench import HostBench, Node, Skipping
from tests.toy import wait_until


@pytest.fixture
def lab(tmp_path: Path, store: Store, impatient: None) -> Iterator[HostBench]:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        yield lab


def hang(lab: HostBench, node: Node, bench: str = "bench-1") -> None:
    """Have the device of a bench hang, and its session end."""
    lab.wait_ok(bench)
    session, fence = lab.session(bench)
    lab.worlds[bench].hold("hang")
    lab.submit(fence, "hang", bench=bench)
    wait_until(lambda: "hang hangs" in lab.worlds[bench].acts, "the call")
    lab.release(session, lab.end(session))
    runner = next(runner for runner in node.host.runners if runner.name == f"{bench}/toy")
    wait_until(lambda: runner.stuck and runner.free, "the end of the session")


def test_loop_replaces_itself_for_a_device_that_hangs(lab: HostBench) -> None:
    node, replacement = Node(lab).up(), Replacement(Clock())
    lab.wait_ok()
    assert not replacement.wanted(node.host)
    hang(lab, node)
    assert replacement.wanted(node.host)


def test_loop_that_replaced_itself_in_vain_waits_before_it_does_so_again(lab: HostBench) -> None:
    node, clock = Node(lab).up(), Skipping()
    hang(lab, node)
    before = Replacement(clock)
    assert before.wanted(node.host)
    told = before.told
    assert told.split()[1:] == ["bench-1/toy"]
    after = Replacement(clock, told)
    assert not after.wanted(node.host)
    clock.skipped = AGAIN_AFTER - 5
    assert not after.wanted(node.host)
    clock.skipped = AGAIN_AFTER + 5
    assert after.wanted(node.host)


def test_loop_that_replaced_itself_does_so_at_once_for_another_device(lab: HostBench) -> None:
    node, clock = Node(lab).up(), Skipping()
    hang(lab, node)
    after = Replacement(clock, f"{clock.boottime():.0f} bench-1/toy")
    assert not after.wanted(node.host)
    hang(lab, node, "bench-2")
    assert after.wanted(node.host)
    assert after.told.split()[1:] == ["bench-1/toy", "bench-2/toy"]


def test_loop_that_replaced_itself_and_helped_may_do_so_again(lab: HostBench) -> None:
    node, clock = Node(lab).up(), Skipping()
    after = Replacement(clock, f"{clock.boottime():.0f} bench-1/toy")
    lab.wait_ok()
    assert not after.wanted(node.host)
    hang(lab, node)
    assert after.wanted(node.host)


def test_loop_says_once_that_it_can_not_replace_itself(
    lab: HostBench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with KernelWait(tmp_path) as wait:
        node, replacement = Node(lab).up(), Replacement(Clock())
        lab.wait_ok()
        lab.world.toys[-1]._pass = lambda what: wait.hang() if what == "hang" else None  # type: ignore[method-assign]
        session, fence = lab.session()
        lab.submit(fence, "hang")
        runner = next(runner for runner in node.host.runners if runner.name == "bench-1/toy")
        wait_until(lambda: runner.thread.unkillable, "the wait in the kernel")
        lab.release(session, lab.end(session))
        wait_until(lambda: runner.stuck and runner.free, "the end of the session")
        assert not replacement.wanted(node.host)
        assert not replacement.wanted(node.host)
    assert caplog.text.count("restart the machine devices=bench-1/toy") == 1
