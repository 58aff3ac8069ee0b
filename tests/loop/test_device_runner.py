"""The one thread of one device: what reaches the device, under which fence, and that every call is answered once."""

from __future__ import annotations

import pytest

from labkit.errors import DeviceOfflineError, SafeStateError
from labkit.loop import device_runner
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Condition
from tests.loop.runner_bench import DEVICE, RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import Toy, wait_until

# -- opening


def test_device_is_ok_only_after_it_was_opened_and_made_safe(bench: RunnerBench) -> None:
    gate = bench.world.hold("make_safe")
    bench.runner.thread.start()
    bench.acts("make_safe hangs")
    assert (bench.runner.condition, bench.runner.reason) == (Condition.OFFLINE, "being opened")
    gate.set()
    bench.condition(Condition.OK)
    assert [act for act in bench.world.acts if act in ("open", "safe")] == ["open", "safe"]


def test_device_that_is_not_there_is_offline_and_tried_again(bench: RunnerBench, eager: None) -> None:
    bench.world.offline()
    bench.start()
    assert bench.port.reports[0][:2] == (Condition.OFFLINE, "it is unplugged")
    bench.world.failing.clear()
    bench.condition(Condition.OK)
    assert bench.world.open_now == 1


def test_device_that_is_not_safe_is_reopened_once_then_faulty(bench: RunnerBench) -> None:
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    bench.start()
    assert bench.port.reports[0][:2] == (Condition.FAULTY, "SafeStateError: red reads back 1")
    assert bench.world.acts == ["open", "close", "open", "close"]


def test_faulty_device_is_ok_again_when_it_passes(bench: RunnerBench, eager: None) -> None:
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    bench.start()
    bench.world.failing.clear()
    bench.condition(Condition.OK)


def test_driver_that_fails_to_close_does_not_stop_the_runner(bench: RunnerBench, eager: None) -> None:
    bench.world.failing["make_safe"] = SafeStateError("no")
    bench.world.failing["close"] = OSError("it has gone")
    bench.start()
    bench.world.failing.clear()
    bench.condition(Condition.OK)


# -- calls


def test_call_is_run_and_answered(bench: RunnerBench) -> None:
    bench.start()
    assert bench.ask("write", "x") == Reply(value="x")
    assert bench.world.acts[-1] == "x"


def test_unknown_command_and_wrong_arguments_are_refused_by_name(bench: RunnerBench) -> None:
    bench.start()
    unknown, wrong = bench.ask("fly"), bench.ask("steps", "x", "three")
    assert (unknown.error, wrong.error) == ("CommandError", "CommandError")
    assert "has no command 'fly'" in unknown.message
    assert "count" in wrong.message


def test_only_commands_for_the_panel_can_be_called_from_it(bench: RunnerBench) -> None:
    bench.start()
    assert bench.ask("write", "x", panel=True).value == "x"
    assert bench.ask("fail", "value", panel=True).error == "CommandError"


@pytest.mark.parametrize("name", ["open", "_unplug", "make_safe", "world", "__init__"])
def test_what_is_no_command_can_not_be_called(bench: RunnerBench, name: str) -> None:
    bench.start()
    assert bench.ask(name).error == "CommandError"


def test_error_of_a_driver_comes_back_by_name(bench: RunnerBench) -> None:
    bench.start()
    reply = bench.ask("fail", "value")
    assert (reply.error, reply.kind) == ("DriverError", "ValueError")
    assert "no such thing" in reply.message
    assert bench.ask("fail", "unsafe").error == "SafeStateError"
    assert bench.ask("write", "still here").value == "still here"


def test_driver_that_calls_exit_fails_its_call_and_nothing_else(bench: RunnerBench) -> None:
    bench.start()
    assert bench.ask("fail", "exit").kind == "SystemExit"
    assert bench.ask("write", "still here").value == "still here"


def test_call_whose_time_is_over_does_not_run(bench: RunnerBench) -> None:
    bench.start()
    assert bench.ask("write", "late", seconds=-0.1).error == "CallExpiredError"
    assert "late" not in bench.world.acts


def test_host_without_a_beat_runs_nothing(bench: RunnerBench) -> None:
    bench.start()
    bench.port.silence = 4.1
    assert bench.ask("write", "blind").error == "CallExpiredError"
    bench.port.silence = 0.0
    assert bench.ask("write", "seeing").value == "seeing"
    assert "blind" not in bench.world.acts


def test_call_to_a_device_that_is_offline_is_refused_with_the_reason(bench: RunnerBench) -> None:
    bench.world.offline()
    bench.start()
    reply = bench.ask("write", "x")
    assert (reply.error, "it is unplugged" in reply.message) == ("DeviceOfflineError", True)


# -- fences


def test_call_under_an_older_fence_is_refused(bench: RunnerBench) -> None:
    bench.start()
    bench.runner.raise_fence(5)
    assert bench.ask("write", "old", fence=4).error == "ReservationLostError"
    assert bench.ask("write", "new", fence=5).value == "new"
    assert "old" not in bench.world.acts


def test_call_under_a_later_fence_is_news_of_it(bench: RunnerBench) -> None:
    bench.start()
    assert bench.ask("write", "new", fence=7).value == "new"
    assert bench.ask("write", "old", fence=6).error == "ReservationLostError"
    assert bench.runner.fence == 7


# -- unplugged


def test_unplugged_device_is_offline_closed_and_opened_again(bench: RunnerBench, eager: None) -> None:
    bench.start()
    bench.ready(3)
    old = bench.toy
    old.link.lost("pulled out")
    wait_until(lambda: len(bench.world.toys) == 2, "the second opening")
    bench.condition(Condition.OK)
    assert (Condition.OFFLINE, "pulled out", 0) in bench.port.reports
    bench.toy.received.emit(b"the session goes on")
    assert bench.heard == [(3, "received", b"the session goes on")]


def test_command_that_finds_the_device_gone_makes_it_offline(bench: RunnerBench) -> None:
    bench.start()
    bench.world.offline()  # so that it stays gone when it is tried again
    assert bench.ask("fail", "offline").error == "DeviceOfflineError"
    bench.condition(Condition.OFFLINE)
    assert (Condition.OFFLINE, "it was pulled out", 0) in bench.port.reports
    assert bench.world.open_now == 0


def test_late_word_of_an_earlier_opening_reaches_nobody(bench: RunnerBench, eager: None) -> None:
    bench.start()
    old = bench.toy
    old.link.lost("pulled out")
    wait_until(lambda: len(bench.world.toys) == 2, "the second opening")
    bench.condition(Condition.OK)
    old.link.lost("pulled out, says a late thread")
    assert bench.ask("write", "x").value == "x"
    assert (bench.runner.condition, bench.world.open_now) == (Condition.OK, 1)
    old.received.emit(b"late")
    assert [row for row in bench.heard if row[0]] == []


def test_device_that_goes_while_it_is_opened_is_noticed(bench: RunnerBench, eager: None) -> None:
    real = Toy.open

    def opens_and_goes(toy: Toy) -> None:
        real(toy)
        if len(bench.world.toys) == 1:
            toy.link.lost("gone already")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toy, "open", opens_and_goes)
        bench.runner.thread.start()
        wait_until(lambda: len(bench.world.toys) == 2, "the second opening")
    bench.condition(Condition.OK)


# -- panels that meet a busy device


def test_panel_is_told_busy_at_once(bench: RunnerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_runner, "BUSY_SECONDS", 0.0)
    bench.start()
    long = bench.call("block")
    bench.acts("blocks")
    assert bench.ask("write", "x", panel=True).error == "DeviceBusyError"
    patient = bench.call("write", "patient")
    bench.runner.raise_fence(2)
    bench.answer(long)
    bench.answer(patient)


# -- the end


def test_stop_makes_safe_and_closes(bench: RunnerBench) -> None:
    bench.start()
    bench.stop()
    assert bench.world.acts == ["open", "safe", "safe", "close"]
    assert bench.world.open_now == 0


def test_stop_interrupts_what_runs_and_answers_everybody(bench: RunnerBench) -> None:
    bench.start()
    suspended = bench.call("steps", "s", 10**9)
    bench.acts(["s", 0])
    running = bench.call("block")
    bench.acts("blocks")
    waiting = bench.call("write", "waits")
    ready = bench.call(READY, fence=1)
    bench.stop()
    errors = [bench.answer(call).error for call in (suspended, running, waiting, ready)]
    assert errors == ["CallLostError", "CallLostError", "DeviceOfflineError", "DeviceOfflineError"]
    assert "waits" not in bench.world.acts
    assert bench.world.open_now == 0
    assert bench.world.acts[-2:] == ["safe", "close"]


def test_release_that_waits_at_the_end_is_left_to_the_next_host(bench: RunnerBench) -> None:
    bench.start()
    running = bench.call("block", fence=1)
    bench.acts("blocks")
    gate = bench.world.hold("interrupt")
    bench.runner.thread.stop()
    bench.runner.follow("releasing", 2)
    gate.set()
    bench.answer(running)
    bench.stop()
    assert bench.world.open_now == 0
    assert bench.world.acts[-1] == "close"


def test_call_after_the_end_is_answered(bench: RunnerBench) -> None:
    bench.start()
    bench.stop()
    assert bench.ask("write", "x").error == "DeviceOfflineError"
    assert bench.ready(1).error == "DeviceOfflineError"
    assert bench.world.open_now == 0


def test_device_that_is_not_there_ends_too(bench: RunnerBench) -> None:
    bench.world.failing["open"] = DeviceOfflineError("no")
    bench.start()
    bench.stop()
    assert repr(bench.runner) == f"<DeviceRunner {DEVICE} offline fence=0>"


def test_call_has_its_bench(bench: RunnerBench) -> None:
    assert Call(device=DEVICE, command="write", fence=1, until=0.0).bench == "bench-1"
