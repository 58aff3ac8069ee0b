"""Background threads: they are asked to end, waited for within a limit, and complained about."""

from __future__ import annotations

import logging
import threading

import pytest

from labkit.threads import LabThread, stop_all


def test_stop_ends_a_thread_and_wakes_it() -> None:
    woken = threading.Event()

    def work(stopping: threading.Event) -> None:
        woken.wait(30)
        assert stopping.is_set()

    thread = LabThread("sleeper", work, wake=woken.set)
    thread.start()
    assert stop_all([thread], 30) == []
    assert not thread.is_alive()


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
