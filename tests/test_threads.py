"""Background threads: they are asked to end, waited for within a limit, and complained about."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from labkit.threads import LabThread, state_of, stop_all
from tests.kernel_wait import KernelWait
from tests.toy import wait_until


def test_stop_ends_a_thread_and_wakes_it() -> None:
    woken = threading.Event()

    def work(stopping: threading.Event) -> None:
        woken.wait(30)
        assert stopping.is_set()

    thread = LabThread("sleeper", work, wake=woken.set)
    thread.start()
    assert stop_all([thread], 30) == []
    assert not thread.is_alive()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux shows its threads there")
def test_thread_has_its_name_for_the_kernel_too() -> None:
    names: list[str] = []
    thread = LabThread(
        "device:bench-1/console", lambda _: names.append(Path("/proc/thread-self/comm").read_text().strip())
    )
    thread.start()
    assert stop_all([thread], 30) == []
    assert names == ["device:bench-1/"]


def test_all_are_asked_before_any_is_waited_for() -> None:
    both = threading.Barrier(2)

    def work(stopping: threading.Event) -> None:
        stopping.wait(30)
        both.wait(30)

    threads = [LabThread(name, work) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    assert stop_all(threads, 30) == []


def test_thread_that_does_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    thread = LabThread("deaf", lambda _: gate.wait(30) and None)
    thread.start()
    with caplog.at_level(logging.ERROR):
        assert stop_all([thread], 0.01) == [thread]
    assert "thread did not end name=deaf" in caplog.text
    gate.set()
    assert stop_all([thread], 30) == []


def test_thread_that_never_started_is_no_problem() -> None:
    assert stop_all([LabThread("idle", lambda _: None)], 0) == []


def test_thread_can_stop_all_itself() -> None:
    left: list[list[LabThread]] = []
    thread = LabThread("own", lambda _: left.append(stop_all([thread], 1)))
    thread.start()
    thread.join(30)
    assert left == [[]]


def test_what_a_thread_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def work(_: threading.Event) -> None:
        raise RuntimeError("broken")

    thread = LabThread("breaker", work)
    with caplog.at_level(logging.ERROR):
        thread.start()
        thread.join(30)
    assert "thread died name=breaker" in caplog.text
    assert "broken" in caplog.text


# -- where not even the end of the process reaches a thread


def test_thread_that_hangs_in_the_kernel_is_unkillable_until_it_comes_back(tmp_path: Path) -> None:
    with KernelWait(tmp_path) as wait:
        thread = LabThread("at a broken bus", lambda _: wait.hang())
        assert not thread.unkillable
        thread.start()
        wait_until(lambda: thread.unkillable, "the wait in the kernel")
    assert stop_all([thread], 30) == []
    assert not thread.unkillable


def test_thread_that_waits_for_anything_else_can_be_killed() -> None:
    begun = threading.Event()
    thread = LabThread("patient", lambda stopping: (begun.set(), stopping.wait(30)))  # type: ignore[func-returns-value]
    thread.start()
    assert begun.wait(30)
    wait_until(lambda: state_of(thread.native_id or 0) == "S", "the wait")
    assert not thread.unkillable
    assert stop_all([thread], 30) == []


@pytest.mark.parametrize("name", ["D", "a) D (b", ") R 1 (", "", "\udcff"], ids=ascii)
def test_state_of_a_thread_is_read_whatever_its_name_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "stat").write_bytes(f"17 ({name}) D 1 17 17 0 -1 4194624 0".encode(errors="surrogateescape"))
    assert state_of(17, tmp_path) == "D"


def test_thread_that_has_gone_has_no_state(tmp_path: Path) -> None:
    assert state_of(17, tmp_path) == ""
