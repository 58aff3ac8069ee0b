"""Benches of one host: what is wrong with one of them stands in no other one's way."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.devices.catalog import catalog_of
from labkit.devices.plugins import Plugins
from labkit.errors import SafeStateError
from labkit.store.connection import Store
from labkit.store.reservations import Blame
from tests.loop.host_bench import HostBench, Node
from tests.toy import wait_until


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


def test_two_benches_have_a_thread_each(tmp_path: Path, store: Store) -> None:
    with HostBench(tmp_path, store, benches=("bench-1", "bench-2")) as lab:
        Node(lab).up()
        for bench in ("bench-1", "bench-2"):
            lab.wait_ok(bench)
        _, slow = lab.session("bench-1")
        _, quick = lab.session("bench-2")
        pending = lab.submit(slow, "block")
        wait_until(lambda: "blocks" in lab.world.acts, "the call")
        assert lab.call(quick, "write", "x", bench="bench-2") == "x"
        assert pending.calls.wait(pending.call, 0.0) is None  # it still blocks
