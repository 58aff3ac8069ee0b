"""What interrupts a running command: a fence that rises, or its limit; and nothing that it was not meant for."""

from __future__ import annotations

import threading

import pytest

from labkit.loop import operation
from tests.loop.runner_bench import RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import NoThread, wait_until


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


def test_interruption_for_which_no_thread_can_be_had_is_made_up_for(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    call = bench.call("block", fence=1)
    bench.acts("blocks")
    with monkeypatch.context() as crowded:
        crowded.setattr(operation, "LabThread", NoThread)
        bench.runner.raise_fence(2)
        bench.runner.enforce()
    assert "interrupt" not in bench.world.acts
    assert "no thread can be had what=block error=can't start new thread" in caplog.text
    bench.runner.enforce()
    assert bench.answer(call).error == "ReservationLostError"


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
