"""A host with a device that hangs: its bench is kept from everybody, others go on, the process wants replacement."""

from __future__ import annotations

import fcntl
import logging
from functools import partial
from pathlib import Path

import pytest

from labkit.clock import Deadline
from labkit.devices.catalog import catalog_of
from labkit.devices.plugins import Plugins
from labkit.store.connection import Store, text
from labkit.threads import LabThread
from tests.kernel_wait import KernelWait
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import GUARD, wait_until


def test_bench_whose_device_hangs_is_kept_locked_until_it_comes_back(
    lab: HostBench, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    gate = lab.world.hold("hang")
    lab.submit(fence, "hang")
    wait_until(lambda: "hang hangs" in lab.world.acts, "the call")
    with caplog.at_level(logging.ERROR):
        node.host._drop(["bench-1"], "test", 0.2)
    assert "bench kept" in caplog.text
    path = lab.folder / "instance" / "hosts" / "bench-1.lock"
    with open(path) as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    node.host._wake.set()
    assert node.host.wants_replacement
    assert lab.world.count("open") == 1
    gate.set()
    wait_until(lambda: node.host._wake.set() or node.host.benches, "the bench")  # type: ignore[func-returns-value]
    lab.wait_condition("ok")
    assert lab.world.open_now == 1


@pytest.mark.parametrize(
    "why",
    ["its declaration was changed", "it is declared no more", "its host was taken for dead", "the store has been away"],
)
def test_bench_whose_device_hangs_stays_with_its_machine(lab: HostBench, impatient: None, why: str) -> None:
    """Else another machine would open, some seconds later, what hangs here and may go on at any time."""
    node = Node(lab, release_timeout=0.1).up()
    lab.wait_ok()
    lab.world.hold("make_safe")
    before = node.process.id
    if why == "it is declared no more":
        node.host.use(catalog_of([], Plugins()))
    elif why == "its host was taken for dead":
        lab.store.command("ZREM", lab.store.keys["processes"], before)
        node.process.nudge()
    else:
        if why == "its declaration was changed":
            assert lab.reservations.leave_idle_bench("bench-1", node.host.benches["bench-1"].claim)
        dropping = LabThread("drop", lambda _: node.host._drop(["bench-1"], why, 600.0))
        dropping.start()
    wait_until(lambda: node.host._closing.kept, "the bench to be kept")
    assert (node.process.id == before) == (why != "its host was taken for dead")
    for _ in range(2):
        node.process.nudge()
        wait_until(partial(_seen_after, lab, _seen(lab)), "a beat that speaks of it")
        assert node.host._closing.kept, "only its next claim was seen"
    assert lab.wait_condition("faulty").blame == "driver"
    node.host.use(catalog_of(lab.declarations, Plugins()))
    lab.world.let_go()
    wait_until(lambda: node.host._wake.set() or node.host.benches, "the bench")  # type: ignore[func-returns-value]
    lab.wait_ok()
    assert (lab.world.open_now, node.process._kept) == (1, {})


@pytest.mark.parametrize("instance", ["instance", "another"])
def test_bench_that_hangs_is_forgotten_by_no_other_process_of_its_machine(
    lab: HostBench, impatient: None, instance: str
) -> None:
    """Else a machine that declares it now would have it at once. instance: where the other one has its file locks."""
    node = Node(lab, release_timeout=0.1).up()
    lab.wait_ok()
    lab.world.hold("make_safe")
    node.host.use(catalog_of([], Plugins()))
    wait_until(lambda: node.host._closing.kept, "the bench to be kept")
    other = Node(lab, instance=instance, safe_after=0.5)
    other.host.use(catalog_of([], Plugins()))
    other.up()
    for _ in range(3):
        other.host._tidy = Deadline(0.0)
        wait_until(lambda: not other.host._tidy.over, "its look")
        assert [(view.name, view.machine) for view in lab.reservations.benches()] == [("bench-1", "pi-1")]
    lab.world.let_go()
    node.host._wake.set()
    wait_until(lambda: not lab.reservations.benches(), "the end of its row")


def test_each_beat_speaks_of_an_idle_bench_that_is_being_closed(lab: HostBench) -> None:
    """Closing may take longer than another machine waits for a word of it."""
    node = Node(lab, release_timeout=600.0).up()
    lab.wait_ok()
    gate = lab.world.hold("make_safe")
    stopping = LabThread("stopping", lambda _: node.host.stop(600.0))
    stopping.start()
    wait_until(lambda: lab.reservations.benches()[0].host == "", "the word that it is being closed")
    for _ in range(2):
        node.process.nudge()
        wait_until(partial(_seen_after, lab, _seen(lab)), "a beat that speaks of it")
    gate.set()
    stopping.join(GUARD)
    assert node.process._kept == {}


def _seen(lab: HostBench) -> float:
    """When the store last heard of the bench's host."""
    return float(text(lab.store.command("HGET", lab.store.keys["bench_host"], "bench-1")).split()[-1])


def _seen_after(lab: HostBench, moment: float) -> bool:
    return _seen(lab) > moment


def test_host_wants_replacement_only_when_nothing_is_in_use(lab: HostBench, impatient: None) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    assert not node.host.wants_replacement
    session, fence = lab.session()
    lab.world.hold("hang")
    lab.submit(fence, "hang")
    wait_until(lambda: "hang hangs" in lab.world.acts, "the call")
    lab.release(session, lab.end(session))
    lab.wait_condition("faulty")
    wait_until(lambda: lab.device().hold == "none", "the release")
    wait_until(lambda: node.host.wants_replacement, "the wish")


def test_closing_that_hangs_after_an_unplug_is_noticed_like_any_hanging(lab: HostBench, impatient: None) -> None:
    node = Node(lab, release_timeout=0.1).up()
    lab.wait_ok()
    gate = lab.world.hold("close")
    lab.world.toys[-1].link.lost("it is unplugged")
    found = lab.wait_condition("faulty")
    assert "closing hangs" in found.reason
    assert found.blame == "driver"
    wait_until(lambda: node.host.wants_replacement, "the wish")
    del lab.world.gates["close"]
    gate.set()
    lab.wait_ok()
    assert (lab.world.open_now, node.host.stuck) == (1, [])


def test_limits_hold_on_a_bench_that_is_kept_too(lab: HostBench, impatient: None) -> None:
    node = Node(lab, release_timeout=600.0).up()
    lab.wait_ok()
    (runner,) = node.host.runners
    lab.world.hold("make_safe")
    node.process.forget(node.host._hear)  # nothing wakes the host, as while the store is away
    node.host._drop(["bench-1"], "test", 0.1)
    wait_until(lambda: "make_safe hangs" in lab.world.acts, "the last making safe")
    node.host.looked.clear()
    assert node.host.looked.wait(GUARD)
    assert not runner.stuck
    now = runner._occupation.now
    assert now is not None
    now.until = 0.0
    wait_until(lambda: runner.stuck, "the end of its time")
    assert "making safe hangs" in lab.wait_condition("faulty").reason


def test_host_wants_no_replacement_while_a_thread_hangs_in_the_kernel(
    lab: HostBench, impatient: None, tmp_path: Path
) -> None:
    """An exec would wait for that thread, with all others gone and no host left."""
    with KernelWait(tmp_path) as wait:
        node = Node(lab).up()
        lab.wait_ok()
        session, fence = lab.session()
        lab.world.toys[-1]._pass = lambda what: wait.hang() if what == "hang" else None  # type: ignore[method-assign]
        lab.submit(fence, "hang")
        (runner,) = node.host.runners
        wait_until(lambda: runner.thread.unkillable, "the wait in the kernel")
        lab.release(session, lab.end(session))
        lab.wait_condition("faulty")
        wait_until(lambda: runner.free, "the news of the release")
        assert node.host.stuck == [runner]
        assert not node.host.wants_replacement
    lab.wait_ok()
    assert node.host.stuck == []


def test_bench_that_hangs_holds_up_no_other_one_at_the_stop(tmp_path: Path, store: Store, impatient: None) -> None:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        node = Node(lab).up()
        lab.wait_ok("bench-1")
        lab.wait_ok("bench-2")
        _, fence = lab.session("bench-1")
        lab.world.hold("hang")
        lab.submit(fence, "hang")
        wait_until(lambda: "hang hangs" in lab.world.acts, "the call")
        node.host.runners[0].raise_fence(fence + 1)
        wait_until(lambda: node.host.runners[0].stuck, "the hanging")
        stopping = LabThread("stop", lambda _: node.host.stop(600.0))
        stopping.start()
        assert lab.wait_condition("offline", "bench-2").reason == "its host was stopped"
        wait_until(lambda: not stopping.is_alive(), "the end of the stop, though bench-1 hangs")
        assert list(node.host._closing.kept) == ["bench-1"]
        assert lab.device("bench-1").condition == "faulty"


def test_bench_that_is_kept_is_given_to_nobody_also_where_its_word_comes_late(lab: HostBench, impatient: None) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    (runner,) = node.host.runners
    lab.world.hold("make_safe")
    runner.begin_stop("test")
    wait_until(lambda: "make_safe hangs" in lab.world.acts, "the last making safe")
    now = runner._occupation.now
    assert now is not None
    with runner.telling:  # as if the store were slow
        now.until = 0.0
        runner.enforce()
        wait_until(lambda: runner.stuck, "the hanging")
        dropping = LabThread("drop", lambda _: node.host._drop(["bench-1"], "test", 600.0))
        dropping.start()
        wait_until(lambda: node.host._closing.kept, "the bench to be kept")
    dropping.join(GUARD)
    assert lab.wait_condition("faulty").blame == "driver"


def test_last_making_safe_that_hangs_is_interrupted_when_its_time_is_over(
    tmp_path: Path, store: Store, impatient: None
) -> None:
    """The beat, which looks at such limits, concerns a host no more that stops."""
    with HostBench(tmp_path, store) as lab:
        node = Node(lab, release_timeout=0.05).up()
        lab.wait_ok()
        lab.world.hold("make_safe")
        stopping = LabThread("stop", lambda _: node.host.stop(600.0))
        stopping.start()
        wait_until(lambda: "interrupt" in lab.world.acts, "the interruption")
        wait_until(lambda: not stopping.is_alive(), "the end of the stop")
        assert node.host.stuck
