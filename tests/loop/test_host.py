"""The host: one for each bench, calls to the right device, releases, and a host or a store that goes away."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.clock import Clock
from labkit.devices.catalog import catalog_of
from labkit.devices.plugins import Plugins
from labkit.errors import CallLostError, DeviceError, DriverError, ReservationLostError, SafeStateError
from labkit.loop import device_state, operation
from labkit.store.connection import Store
from labkit.store.reservations import Blame
from labkit.store.sessions import NewSession
from labkit.testing.store import StoreServer
from labkit.threads import LabThread
from tests.kernel_wait import KernelWait
from tests.loop.host_bench import HostBench, Node
from tests.toy import GUARD, wait_until


@pytest.fixture
def lab(tmp_path: Path, store: Store) -> Iterator[HostBench]:
    with HostBench(tmp_path, store) as lab:
        yield lab


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", 0.1)


class Skipping(Clock):
    """A clock that can be moved on: the process slept."""

    skipped = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.skipped


# -- hosting


def test_bench_is_published_and_its_device_opened_and_safe(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    view = lab.view()
    assert view is not None
    assert (view.host, view.machine, list(view.features)) == (node.process.id, "pi-1", ["uno"])
    assert view.info["devices"]["toy"]["kind"] == "toy"
    assert lab.world.name not in str(view.info)
    assert lab.world.acts == ["open", "safe"]


def test_call_runs_at_the_device_and_answers(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    assert lab.call(fence, "write", b"\x00\xff") == b"\x00\xff"
    assert lab.world.acts[-1] == b"\x00\xff"
    with pytest.raises(DriverError, match="no such thing"):
        lab.call(fence, "fail", "value")


def test_result_that_can_not_be_stored_is_an_error_that_says_it_was_done(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    with pytest.raises(DriverError, match="was done, but its result can't be stored"):
        lab.call(fence, "thing")


def test_device_that_is_not_hosted_is_answered(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    raw = lab.store.command("HGET", lab.store.keys["holds"], "bench-1/toy")
    lab.store.command("HSET", lab.store.keys["holds"], "bench-1/ghost", raw)
    lab.store.command("HSET", lab.store.keys["conditions"], "bench-1/ghost", "ok 1 ")
    with pytest.raises(DeviceError, match="not hosted here"):
        lab.caller.submit("bench-1/ghost", "write", fence=fence, seconds=20).result()


def test_malformed_call_does_not_make_the_host_deaf(lab: HostBench, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    claim = node.host.benches["bench-1"].claim
    lab.store.command("RPUSH", lab.store.keys.of("calls", f"bench-1@{claim}"), "no call")
    _, fence = lab.session()
    assert lab.call(fence, "write", "x") == "x"


def test_device_that_is_offline_comes_back(lab: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.05)
    lab.world.offline()
    Node(lab).up()
    assert lab.wait_condition("offline").reason
    lab.world.failing.clear()
    lab.wait_ok()


# -- one host for each bench


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
    wait_until(lambda: other.host._elsewhere, "the refusal")
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


# -- releases


def test_release_frees_the_device_after_it_was_made_safe(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    session, fence = lab.session()
    lab.call(fence, "write", "mine")
    lab.release(session, lab.end(session))
    lab.wait_ok()
    acts = lab.world.acts
    assert acts[acts.index("mine") + 1 :] == ["safe"]
    with pytest.raises(ReservationLostError):
        lab.submit(fence, "write", "late")


def test_end_of_a_session_interrupts_its_running_call(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    session, fence = lab.session()
    pending = lab.submit(fence, "block")
    wait_until(lambda: "blocks" in lab.world.acts, "the call")
    ending = lab.end(session)
    with pytest.raises(ReservationLostError):
        pending.result()
    assert lab.call(ending, "write", "on_dispose") == "on_dispose"


def test_release_that_no_host_was_there_for_is_dealt_with_by_the_next(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    session, _ = lab.session()
    first.down()
    lab.release(session, lab.end(session))
    assert lab.device().hold == "releasing"
    Node(lab).up()
    lab.wait_ok()


def test_live_session_goes_on_with_the_next_host(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    first.down()
    assert lab.device().condition == "offline"
    with pytest.raises(DeviceError):
        lab.submit(fence, "write", "while nobody is there")
    Node(lab).up()
    lab.wait_condition("ok")
    assert lab.call(fence, "write", "again") == "again"
    assert "while nobody is there" not in lab.world.acts


# -- the end, and what hangs


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


# -- one that stands in the way of others


def look_again(node: Node) -> None:
    """Wait until the host has looked after its benches twice more."""
    for _ in range(3):
        node.host._wake.set()
        wait_until(lambda: not node.host._wake.is_set(), "the next look to begin")


def test_bench_that_can_not_be_locked_stands_in_no_other_ones_way(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        lock = tmp_path / "instance" / "hosts" / "bench-1.lock"
        lock.mkdir(parents=True)
        node = Node(lab).up()
        lab.wait_ok("bench-2")
        look_again(node)
        assert caplog.text.count("bench can't be hosted bench=bench-1") == 1
        assert f"The file {lock} can't be used: Is a directory." in caplog.text
        assert "Traceback" not in caplog.text
        lock.rmdir()
        node.host._wake.set()
        lab.wait_ok("bench-1")
        wait_until(lambda: not node.host._unhosted, "nothing to complain of")


def test_bench_that_can_not_be_published_stands_in_no_other_ones_way(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        right = lab.declarations
        lab.declarations = [replace(right[0], title=object()), right[1]]  # type: ignore[arg-type]
        node = Node(lab).up()
        lab.wait_ok("bench-2")
        look_again(node)
        assert caplog.text.count("bench can't be hosted bench=bench-1") == 1
        assert "Object of type object is not JSON serializable" in caplog.text
        node.host.use(catalog_of(right, Plugins()))
        lab.wait_ok("bench-1")  # so nothing had kept its lock


def test_device_of_which_the_store_takes_no_word_stands_in_no_other_ones_way(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        both, lab.declarations = lab.declarations, lab.declarations[:1]
        node = Node(lab).up()
        lab.wait_ok("bench-1")
        (runner,) = node.host.runners
        with runner.telling:  # its first word is said, and the store's answer to that was heard
            runner._state.blame = "none of the words"  # type: ignore[assignment]
        node.host._reports.want(runner)
        node.host.use(catalog_of(both, Plugins()))
        lab.wait_ok("bench-2")
        look_again(node)
        assert caplog.text.count("condition can't be told device=bench-1/toy") == 1
        runner._state.blame = Blame.NOBODY
        wait_until(lambda: node.host._wake.set() or not node.host._reports.unsaid(), "the word")  # type: ignore[func-returns-value]


# -- the store or the process goes away


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


def test_host_without_the_store_makes_safe_and_closes(tmp_path: Path) -> None:
    with StoreServer(append_only=True) as server:
        store = Store(server.url, "lab")
        store.command("CONFIG", "SET", "appendfsync", "always")
        with HostBench(tmp_path, store) as lab:
            Node(lab, safe_after=1.5).up()
            lab.wait_ok()
            server.stop()
            wait_until(lambda: lab.world.acts[-1] == "close", "the closing")
            assert lab.world.acts == ["open", "safe", "safe", "close"]
            server.start()
            wait_until(lambda: lab.world.count("open") == 2, "the second opening")
            lab.wait_ok()
            assert lab.world.open_now == 1


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


def test_process_that_slept_runs_no_old_call(tmp_path: Path, store: Store) -> None:
    clock = Skipping()
    with HostBench(tmp_path, store) as lab:
        node = Node(lab, clock=clock).up()
        lab.wait_ok()
        _, fence = lab.session()
        node.process._threads[0].stop()
        node.process._threads[0].join(10)  # no beats from here on
        clock.skipped = 5.0
        with pytest.raises(DeviceError, match=r"lost touch|not done"):
            lab.call(fence, "write", "blind", seconds=30.0)
        assert "blind" not in lab.world.acts


def test_two_benches_have_a_thread_each(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store, benches=("bench-1", "bench-2")) as lab:
        Node(lab).up()
        for bench in ("bench-1", "bench-2"):
            lab.wait_ok(bench)
        _, slow = lab.session("bench-1")
        _, quick = lab.session("bench-2")
        pending = lab.submit(slow, "block")
        wait_until(lambda: "blocks" in lab.world.acts, "the call")
        started = time.monotonic()
        assert lab.call(quick, "write", "x", bench="bench-2") == "x"
        assert time.monotonic() - started < 10
        assert pending.calls.wait(pending.call, 0.0) is None


# -- text that can't be told as it is


def test_reason_with_half_a_surrogate_pair_stops_neither_a_release_nor_another_bench(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="labkit")  # a test's report can't tell such text either
    with HostBench(tmp_path, store, ("bench-1", "bench-2")) as lab:
        both = lab.declarations
        lab.declarations = both[:1]
        node = Node(lab).up()
        lab.wait_ok()
        session, _ = lab.session()
        lab.world.failing["make_safe"] = SafeStateError("the board says \udcff")
        lab.release(session, lab.end(session))
        assert lab.wait_condition("faulty").reason == r"SafeStateError: the board says \udcff"
        wait_until(lambda: lab.device().hold == "none", "the release")
        node.host.use(catalog_of(both, Plugins()))
        lab.wait_ok("bench-2")
