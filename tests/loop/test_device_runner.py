"""The one thread of one device: what reaches the device, under which fence, and that every call is answered once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import DeviceOfflineError, SafeStateError
from labkit.loop import device_runner, device_state, operation
from labkit.store.calls import READY, Call, Reply
from labkit.store.reservations import Condition
from tests.loop.runner_bench import DEVICE, RunnerBench
from tests.toy import Toy, wait_until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RunnerBench]:
    with RunnerBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted operation is stuck after a moment instead of 2 s."""
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", 0.1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not ok is tried again at once."""
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.01)
    monkeypatch.setattr(device_state, "RETRY_FAULTY", 0.01)


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


def test_fence_that_rises_interrupts_the_running_command(bench: RunnerBench) -> None:
    bench.start()
    call = bench.call("block", fence=1)
    bench.acts("blocks")
    bench.runner.raise_fence(2)
    assert bench.answer(call).error == "ReservationLostError"
    assert bench.ask("write", "next", fence=2).value == "next"


def test_calls_that_wait_when_the_fence_rises_never_run(bench: RunnerBench) -> None:
    bench.start()
    running = bench.call("block", fence=1)
    bench.acts("blocks")
    waiting = [bench.call("write", "old", fence=1) for _ in range(3)]
    bench.runner.raise_fence(2)
    assert {bench.answer(call).error for call in [running, *waiting]} == {"ReservationLostError"}
    assert "old" not in bench.world.acts


def test_same_or_earlier_fence_interrupts_nothing(bench: RunnerBench) -> None:
    bench.start()
    bench.runner.raise_fence(2)
    call = bench.call("block", fence=2)
    bench.acts("blocks")
    bench.runner.raise_fence(2)
    bench.runner.raise_fence(1)
    assert "interrupt" not in bench.world.acts
    bench.runner.raise_fence(3)
    bench.answer(call)


def test_command_past_its_limit_is_interrupted_and_lost(bench: RunnerBench) -> None:
    bench.start()
    call = bench.call("block", seconds=0.02)

    def interrupted() -> bool:
        bench.runner.enforce()
        return bool(bench.port.replies)

    wait_until(interrupted, "the limit")
    assert bench.answer(call).error == "CallLostError"
    assert "may have run" in bench.answer(call).message


def test_command_within_its_limit_is_left_alone(bench: RunnerBench) -> None:
    bench.start()
    call = bench.call("block")
    bench.acts("blocks")
    bench.runner.enforce()
    assert "interrupt" not in bench.world.acts
    bench.runner.raise_fence(2)
    bench.answer(call)


def test_interrupt_that_comes_late_does_not_hit_the_next_operation(bench: RunnerBench) -> None:
    """The command ends by itself just when it is interrupted; what runs next must not feel it."""
    bench.start()
    gate = bench.world.hold("interrupt")
    first = bench.world.hold("first")
    call = bench.call("hang", "first", fence=1)
    bench.acts("first hangs")
    bench.runner.raise_fence(2)
    bench.acts("interrupt hangs")
    after = bench.call("block", fence=2)
    first.set()
    bench.world.gates.pop("interrupt")
    gate.set()
    bench.acts("blocks")
    assert bench.world.acts.index("interrupt") < bench.world.acts.index("blocks")
    assert after.id not in bench.port.replies
    bench.runner.raise_fence(3)
    assert {bench.answer(call).value, bench.answer(after).error} == {"late", "ReservationLostError"}


def test_interrupt_of_what_is_over_does_nothing(bench: RunnerBench) -> None:
    bench.start()
    done = operation.Operation(what="write", fence=1, started=0.0, until=1.0)
    done.finish()
    told = threading.Event()
    operation.interrupt(done, lambda: bench.toy, "late", lambda _: told.set())
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("interrupt:")])
    assert "interrupt" not in bench.world.acts
    assert not told.is_set()


# -- a driver that does not come back


def test_command_that_ignores_its_interrupt_makes_the_device_faulty(bench: RunnerBench, impatient: None) -> None:
    bench.start()
    gate = bench.world.hold("hang")
    call = bench.call("hang", fence=1)
    waiting = bench.call("write", "waits", fence=1)
    bench.acts("hang hangs")
    bench.runner.raise_fence(2)
    bench.condition(Condition.FAULTY)
    assert bench.answer(call).error == "CallLostError"
    assert bench.answer(waiting).error == "DeviceFaultyError"
    assert bench.runner.stuck
    assert "hang hangs" in bench.port.reports[-1][1]
    assert bench.ask("write", "x", fence=2).error == "DeviceFaultyError"
    assert bench.world.open_now == 1  # neither closed nor reopened while the thread lives
    gate.set()
    bench.condition(Condition.OK)
    assert bench.world.acts[-3:] == ["close", "open", "safe"]
    assert not bench.runner.stuck
    assert len(bench.port.replies[call.id]) == 1
    assert "waits" not in bench.world.acts


def test_driver_whose_interrupt_hangs_is_stuck_too(bench: RunnerBench, impatient: None) -> None:
    bench.start()
    for what in ("hang", "interrupt"):
        bench.world.hold(what)
    call = bench.call("hang", fence=1)
    bench.acts("hang hangs")
    bench.runner.raise_fence(2)
    assert bench.answer(call).error == "CallLostError"
    bench.condition(Condition.FAULTY)


def test_release_of_a_stuck_device_is_dealt_with_and_the_device_stays_faulty(
    bench: RunnerBench, impatient: None
) -> None:
    bench.start()
    bench.world.hold("hang")
    bench.call("hang", fence=1)
    bench.acts("hang hangs")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.FAULTY
    assert bench.runner.follow("releasing", 3)
    assert bench.runner.dealt_with == 3


def test_making_safe_that_hangs_is_faulty(tmp_path: Path, impatient: None) -> None:
    with RunnerBench(tmp_path, safe_seconds=0.02) as bench:
        bench.start()
        bench.world.hold("make_safe")
        bench.runner.follow("releasing", 2)
        bench.acts("make_safe hangs")

        def given_up() -> bool:
            bench.runner.enforce()
            return bench.runner.stuck

        wait_until(given_up, "the limit")
        bench.dealt(2)
        assert bench.port.reports[-1][0] is Condition.FAULTY
        bench.world.gates["make_safe"].set()
        bench.condition(Condition.OK)


# -- ready


def test_ready_makes_safe_and_gives_the_feeds_to_the_session(bench: RunnerBench) -> None:
    bench.start()
    bench.toy.received.emit(b"between sessions")
    assert bench.ready(3).value is True
    assert bench.world.acts == ["open", "safe", "safe"]
    bench.toy.received.emit(b"mine")
    bench.runner.raise_fence(4)
    bench.toy.received.emit(b"after")
    assert bench.heard == [(0, "received", b"between sessions"), (3, "received", b"mine"), (0, "received", b"after")]


def test_ready_opens_a_device_that_has_come_back(bench: RunnerBench) -> None:
    bench.world.offline()
    bench.start()
    bench.world.failing.clear()
    assert bench.ready(3).value is True


def test_ready_says_why_a_device_is_not(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    assert bench.ready(3).error == "DeviceFaultyError"
    bench.condition(Condition.FAULTY)


def test_ready_under_an_older_fence_touches_nothing(bench: RunnerBench) -> None:
    bench.start()
    bench.runner.raise_fence(5)
    before = list(bench.world.acts)
    assert bench.ready(4).error == "ReservationLostError"
    assert bench.world.acts == before


def test_feeds_go_to_nobody_once_a_call_shows_a_later_fence(bench: RunnerBench) -> None:
    bench.start()
    bench.ready(3)
    bench.ask("write", "x", fence=4)
    bench.toy.received.emit(b"after")
    assert bench.heard == [(0, "received", b"after")]


# -- release


def test_release_makes_safe_and_is_dealt_with(bench: RunnerBench) -> None:
    bench.start()
    bench.ready(1)
    assert not bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1] == (Condition.OK, "", 2)
    assert bench.world.count("safe") == 3
    assert bench.runner.follow("releasing", 2)  # told once more: nothing is done again
    bench.runner.follow("none", 0)
    assert bench.world.count("safe") == 3
    assert bench.runner.free


def test_release_interrupts_what_runs_and_ends_what_is_suspended(bench: RunnerBench) -> None:
    bench.start()
    suspended = bench.call("steps", "s", 10**9, fence=1)
    bench.acts(["s", 0])
    running = bench.call("block", fence=1)
    bench.acts("blocks")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert {bench.answer(call).error for call in (suspended, running)} == {"ReservationLostError"}
    assert bench.world.acts[-1] == "safe"


def test_release_reopens_a_device_that_is_not_safe(bench: RunnerBench) -> None:
    bench.start()

    def once(toy: Toy, original=Toy.make_safe) -> None:  # type: ignore[no-untyped-def]
        bench.world.failing.pop("make_safe", None)
        raise SafeStateError("only this time")

    bench.toy.make_safe = lambda: once(bench.toy)  # type: ignore[method-assign]
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.OK
    assert bench.world.acts[-3:] == ["close", "open", "safe"]


def test_release_of_a_device_that_can_not_be_made_safe_leaves_it_faulty(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = SafeStateError("red reads back 1")
    bench.runner.follow("releasing", 2)
    bench.dealt(2)
    assert bench.port.reports[-1][0] is Condition.FAULTY


def test_new_host_deals_with_the_release_that_it_finds(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, hold=("releasing", 9)) as bench:
        bench.start()
        bench.dealt(9)
        assert bench.world.acts == ["open", "safe"]
        assert bench.runner.follow("releasing", 9)


def test_new_host_goes_on_with_the_session_that_it_finds(tmp_path: Path) -> None:
    with RunnerBench(tmp_path, hold=("reserved", 9)) as bench:
        bench.start()
        bench.toy.received.emit(b"on we go")
        assert bench.heard == [(9, "received", b"on we go")]
        assert bench.ask("write", "old", fence=8).error == "ReservationLostError"
        assert bench.ask("write", "x", fence=9).value == "x"


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
    assert bench.ask("fail", "offline").error == "DeviceOfflineError"
    bench.condition(Condition.OFFLINE)
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
