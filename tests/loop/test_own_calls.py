"""Calls from the process that has the device: they go straight to it, with every guard, or through the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from labkit.devices.caller import DeviceCaller, Pending, PendingCall
from labkit.devices.proxy import DeviceProxy
from labkit.errors import (
    CallExpiredError,
    CommandError,
    DeviceError,
    DeviceOfflineError,
    DriverError,
    NotStorableError,
    ReservationLostError,
)
from labkit.loop import device_runner, same_core
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.hold import Hold
from labkit.loop.jobs import Jobs
from labkit.loop.own_calls import OwnCall
from labkit.loop.same_core import bind
from labkit.store.calls import READY, Call, Calls
from labkit.store.reservations import Reservations
from labkit.testing.store import StoreServer
from tests.loop.host_bench import HostBench, Node, Skipping
from tests.loop.host_bench import lab as lab
from tests.small_lab import SmallLab
from tests.toy import GUARD, wait_until

TOY = "bench-1/toy"


class Home:
    """A host, and a caller in the same process, in an active session that the host has heard of."""

    def __init__(self, lab: HostBench, **options: Any):
        self.lab = lab
        self.node = Node(lab, **options).up()
        self.caller = DeviceCaller(
            Calls(self.node.store), Reservations(self.node.store), self.node.process, self.node.settings
        )
        self.caller.host_here = self.node.host.own_calls
        lab.wait_ok()
        self.session, self.fence = lab.session()
        self.hear(lambda: self.hold.until > 0, "the session")

    @property
    def runner(self) -> DeviceRunner:
        return self.node.host.benches["bench-1"].runners[TOY]

    @property
    def hold(self) -> Hold:
        return self.runner._hold

    def hear(self, true: Any, what: str) -> None:
        """Beat, and wait until the host knows of something."""
        self.node.process.nudge()
        wait_until(true, what)

    def submit(self, command: str, *args: Any, seconds: float = GUARD, **options: Any) -> Pending:
        return self.caller.submit(TOY, command, fence=self.fence, seconds=seconds, args=args, **options)

    def call(self, command: str, *args: Any, **options: Any) -> Any:
        """A call that goes straight to the device."""
        pending = self.submit(command, *args, **options)
        assert isinstance(pending, OwnCall)
        return pending.result()


@pytest.fixture
def home(lab: HostBench, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Where calls go straight to the device also if a busy machine keeps a beat for some seconds."""
    monkeypatch.setattr(device_runner, "FRESH_SECONDS", GUARD)
    return Home(lab)


# -- the same as through the store


def test_call_goes_straight_to_the_device_and_runs_once(home: Home) -> None:
    assert home.call("write", b"\x00\xff") == b"\x00\xff"
    assert home.lab.world.count(b"\x00\xff") == 1


def test_lab_code_and_driver_share_no_object(home: Home) -> None:
    given = {"n": (1, 2)}
    found = home.call("write", given)
    (arrived,) = (act for act in home.lab.world.acts if isinstance(act, dict))
    assert arrived == found == {"n": [1, 2]}
    assert len({id(given), id(arrived), id(found)}) == 3


def test_values_that_can_not_be_stored_are_refused_here_too(home: Home) -> None:
    with pytest.raises(NotStorableError):
        home.submit("write", object())
    with pytest.raises(DriverError, match="was done, but its result can't be stored"):
        home.call("thing")


def test_errors_are_the_same(home: Home) -> None:
    with pytest.raises(DriverError, match="no such thing") as error:
        home.call("fail", "value")
    assert error.value.kind == "ValueError"
    with pytest.raises(CommandError, match="no command 'fly'"):
        home.call("fly")
    with pytest.raises(CommandError, match="for its panel"):
        home.call("fail", "value", panel=True)
    with pytest.raises(DeviceOfflineError, match="pulled out"):
        home.call("fail", "offline")


def test_result_can_be_asked_for_twice(home: Home) -> None:
    pending = home.submit("write", "x")
    assert [pending.result(), pending.result()] == ["x", "x"]
    assert home.lab.world.count("x") == 1


# -- the guards


def test_end_of_the_session_interrupts_the_running_call(home: Home) -> None:
    pending = home.submit("block")
    assert isinstance(pending, OwnCall)
    wait_until(lambda: "blocks" in home.lab.world.acts, "the call")
    home.lab.end(home.session)
    with pytest.raises(ReservationLostError, match="ended while"):
        pending.result()


def test_call_after_the_end_is_refused_and_says_why(home: Home) -> None:
    home.lab.end(home.session)
    wait_until(lambda: home.runner.fence > home.fence, "the news")
    with pytest.raises(ReservationLostError, match="session is over"):
        home.submit("write", "late")
    assert "late" not in home.lab.world.acts


def test_call_that_waits_when_the_session_ends_never_runs(home: Home) -> None:
    blocked, waiting = home.submit("block"), home.submit("write", "late")
    wait_until(lambda: "blocks" in home.lab.world.acts, "the call")
    home.lab.release(home.session, home.lab.end(home.session))
    for pending in (blocked, waiting):
        with pytest.raises(ReservationLostError):
            pending.result()
    home.lab.wait_ok()
    assert "late" not in home.lab.world.acts


def test_old_proxy_is_refused_while_the_next_session_has_the_device(home: Home) -> None:
    old, session = home.fence, home.session
    home.lab.release(session, home.lab.end(session))
    home.lab.wait_ok()
    _, home.fence = home.lab.session()
    home.hear(lambda: home.hold.until > 0, "the next session")
    assert home.call("write", "next") == "next"
    home.fence = old
    with pytest.raises(ReservationLostError, match="another session has it"):
        home.submit("write", "late")
    assert "late" not in home.lab.world.acts


def test_session_whose_time_is_over_is_refused_though_nobody_has_ended_it(home: Home) -> None:
    store = home.lab.store
    store.command("HSET", store.keys.of("session", home.session), "max_date", "1000.0")
    home.hear(lambda: home.hold.until == 0, "that the time is over")
    with pytest.raises(ReservationLostError, match="session is over"):
        home.submit("write", "late")
    assert "late" not in home.lab.world.acts


def test_store_is_asked_from_the_last_moment_of_a_session_on() -> None:
    """A poll may have moved it on since the last beat, so the host neither runs the call nor refuses it."""
    call = Call(device=TOY, command="write", fence=7, until=0.0)
    hold = Hold("reserved", 7, 100.0)
    assert hold.covers(call, 99.9)
    assert not hold.covers(call, 100.0)
    assert not Hold("reserved", 8, 200.0).covers(call, 99.9)
    assert not Hold("releasing", 7, 200.0).covers(call, 99.9)


def test_host_whose_beat_is_late_asks_the_store(lab: HostBench) -> None:
    clock = Skipping()
    home = Home(lab, clock=clock)
    lab.beat_no_more(home.node)
    clock.skipped = 2.5
    assert isinstance(home.submit("write", "x"), PendingCall)


def test_host_that_lost_its_bench_asks_the_store(home: Home) -> None:
    for bench in home.node.host.benches.values():
        bench.revoke("its bench was claimed by another host")
    assert isinstance(home.submit("write", "x"), PendingCall)


def test_device_that_is_not_here_is_called_through_the_store(home: Home) -> None:
    """As in a forked child, which has let its parent's benches go."""
    home.node.host.own_calls._runner_for = lambda call: None
    assert isinstance(pending := home.submit("write", "x"), PendingCall)
    assert pending.result() == "x"


def test_making_ready_goes_through_the_store(home: Home) -> None:
    assert isinstance(pending := home.submit(READY), PendingCall)
    assert pending.result() is True


# -- on one core


def test_lab_code_and_driver_may_run_on_every_core(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they start inherits where they may run: none of them must notice that their threads share a core."""
    at_the_driver: list[set[int]] = []
    bound: list[set[int] | None] = []
    monkeypatch.setattr(home.lab.world, "do", lambda what: at_the_driver.append(os.sched_getaffinity(0)))
    monkeypatch.setattr(same_core, "bind", lambda *thread: bound.append(was := bind(*thread)) or was)
    everywhere = os.sched_getaffinity(0)

    def call() -> bool:
        assert home.call("write", "x") == "x"
        assert os.sched_getaffinity(0) == everywhere
        return bound.count(everywhere) >= 2 or len(everywhere) == 1  # its own thread, and the device's that slept

    wait_until(call, "a device that slept")
    assert at_the_driver
    assert all(cores == everywhere for cores in at_the_driver)


# -- its deadline


def test_call_that_a_busy_device_never_began_surely_did_not_run(home: Home) -> None:
    gate = home.lab.world.hold("hang")
    busy = home.submit("hang")
    wait_until(lambda: "hang hangs" in home.lab.world.acts, "the busy device")
    with pytest.raises(CallExpiredError, match="before it began"):
        home.call("write", "never", seconds=0.05)
    gate.set()
    assert busy.result() == "late"
    assert home.call("write", "after") == "after"
    assert "never" not in home.lab.world.acts
    assert home.node.host.own_calls._waiting == {}


def test_calls_of_a_host_that_stops_are_answered(home: Home) -> None:
    running, waiting = home.submit("block"), home.submit("write", "late")
    wait_until(lambda: "blocks" in home.lab.world.acts, "the call")
    home.node.host.stop()
    for pending in (running, waiting):
        with pytest.raises(DeviceError):
            pending.result()
    assert "late" not in home.lab.world.acts


def test_withdrawing_takes_out_one_call_and_only_while_it_waits() -> None:
    jobs = Jobs()
    first, second = (Call(device=TOY, command="write", fence=1, until=0.0) for _ in range(2))
    jobs.add(lambda: None)
    jobs.add(lambda: None, first)
    jobs.add(lambda: None, second)
    assert jobs.withdraw(first)
    assert not jobs.withdraw(first)
    assert jobs.take_calls() == [second]
    assert jobs


# -- tasks


def test_task_that_does_not_run_here_has_to_ask_the_store(home: Home) -> None:
    task = {"task": "task-1", "process": home.node.process.id}
    with pytest.raises(ReservationLostError, match="was given up"):
        home.submit("write", "late", **task)
    home.node.process.tasks.add("task-1")
    assert home.call("write", "x", **task) == "x"
    assert "late" not in home.lab.world.acts


def test_task_calls_straight_until_it_is_over(tmp_path: Path, server: StoreServer) -> None:
    kept: list[DeviceProxy] = []
    with SmallLab(tmp_path, server.url, devices=["toy"]) as small:

        @small.weblab.task()
        def call() -> str:
            kept.append(small.weblab.devices["toy"])
            return str(kept[0].write("in time"))

        small.view("/do", lambda: call.run_sync(timeout=GUARD).result)
        small.up()
        student = small.student(small.start(length=600))
        assert student.get("/do").text == "in time"
        wait_until(lambda: not small.lab.process.tasks, "the end of the task")
        with pytest.raises(ReservationLostError):
            kept[0].write("late")
        assert "late" not in small.world.acts


def test_process_that_ends_calls_nothing_straight_any_more(tmp_path: Path, server: StoreServer) -> None:
    with SmallLab(tmp_path, server.url, devices=["toy"]) as small:
        caller = small.up().lab.caller
        assert caller.host_here is not None
        assert small.weblab._workers is not None
        small.weblab._workers.stop()
        assert caller.host_here is None
