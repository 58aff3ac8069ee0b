"""Calls of a page: side by side for its devices, one after another for each."""

from __future__ import annotations

import threading

import pytest

from labkit.web import lanes
from labkit.web.lanes import MOST_LANES, MOST_WAITING, Lanes
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import SocketLab
from tests.web.socket_lab import lab as lab


def call(device: str) -> dict[str, object]:
    return {"device": device, "command": "write", "args": []}


def test_a_call_that_waits_holds_up_nothing_else_of_its_page(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    lab.hung["bench-1/camera"] = threading.Event()
    answered = threading.Event()
    browser.client.emit("call", call("bench-1/camera"), callback=lambda _: answered.set())
    wait_until(lambda: lab.calls)
    assert browser.ask("call", call("bench-1/console"))["ok"]
    assert browser.ask("poll")["state"] == "active"
    assert not answered.is_set()
    lab.hung["bench-1/camera"].set()
    assert answered.wait(GUARD)


def test_calls_of_one_device_keep_their_order_behind_one_that_waits(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    lab.hung["bench-1/console"] = threading.Event()
    for number in range(20):
        browser.client.emit("call", {**call("bench-1/console"), "args": [number]})
    wait_until(lambda: lab.calls)
    lab.hung["bench-1/console"].set()
    wait_until(lambda: len(lab.calls) == 20)
    assert [args for *_, args, _ in lab.calls] == [[number] for number in range(20)]


def test_devices_without_end_share_a_lane() -> None:
    found, gate = Lanes(), threading.Event()
    for number in range(3 * MOST_LANES):
        found.run("sid", f"bench-1/{number}" if number < 2 * MOST_LANES else "bench-1/last", lambda: gate.wait(GUARD))
    assert repr(found) == f"<Lanes {MOST_LANES + 1}>"
    gate.set()


def test_who_asks_for_too_much_has_to_wait() -> None:
    found, begun, gate, asked = Lanes(), threading.Event(), threading.Event(), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        begun.set()
        assert gate.wait(GUARD)
        done.append(number)

    def ask() -> None:
        for number in range(MOST_WAITING + 2):
            found.run("sid", "bench-1/console", lambda number=number: work(number))  # type: ignore[misc]
        asked.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(GUARD)
    lane = found._lanes["sid"]["bench-1/console"]
    wait_until(lambda: len(lane.waiting) >= MOST_WAITING)
    assert not asked.wait(0.2)
    gate.set()
    thread.join(GUARD)
    wait_until(lambda: done == list(range(MOST_WAITING + 2)))


def test_call_for_which_no_thread_can_be_had_is_done_at_once_and_later_ones_are_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, done = Lanes(), threading.Event()
    by: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(lanes.LabThread, "start", refuse)
        found.run("sid", "bench-1/console", lambda: by.append(threading.current_thread()))
    assert by == [threading.current_thread()]
    assert repr(found) == "<Lanes 0>"
    assert "no thread can be had error=can't start new thread" in caplog.text
    found.run("sid", "bench-1/console", done.set)
    assert done.wait(GUARD)


def test_lanes_end_by_themselves_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.02)
    found, done = Lanes(), threading.Event()
    for _ in range(3):
        done.clear()
        found.run("sid", "bench-1/console", done.set)
        assert done.wait(GUARD)
        wait_until(lambda: repr(found) == "<Lanes 0>")
