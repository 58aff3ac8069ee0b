"""The one thread of a device outlives whatever its driver raises: nobody else could make the device safe."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError, SafeStateError
from labkit.loop import device_state
from labkit.store.reservations import Blame, Condition
from tests.loop.runner_bench import RunnerBench
from tests.toy import GUARD, Toy

WORST = [asyncio.CancelledError("cancelled"), SystemExit("a library calls exit")]


class Mute(Exception):
    """An error whose author has made a mistake in it."""

    def __str__(self) -> str:
        raise AttributeError("no text")


class MuteOffline(DeviceOfflineError):
    """The same, with a meaning for labkit."""

    def __str__(self) -> str:
        raise AttributeError("no text")


class Unbearable(Exception):
    """An error that can't even be asked what it is, so that nothing can be done with it, nor logged."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("not even that")


class Looked(Toy):
    """A toy whose look at its health fails like its other methods."""

    def health(self) -> None:
        self._pass("health")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RunnerBench]:
    with RunnerBench(tmp_path, driver=Looked) as bench:
        yield bench


def release(bench: RunnerBench, fence: int) -> None:
    bench.runner.follow("releasing", fence)
    bench.dealt(fence)


@pytest.mark.parametrize("error", WORST, ids=repr)
def test_device_that_is_not_made_safe_by_it_is_faulty_and_tried_again(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(device_state, "RETRY_FAULTY", 0.01)
    bench.start()
    bench.world.failing["make_safe"] = error
    release(bench, 2)
    condition, reason, dealt_with = bench.port.reports[1]
    assert (condition, dealt_with) == (Condition.FAULTY, 2)
    assert reason.startswith(f"{type(error).__name__}: {error}")
    bench.world.failing.clear()
    bench.condition(Condition.OK)
    assert bench.world.acts[-2:] == ["open", "safe"]


@pytest.mark.parametrize("error", WORST, ids=repr)
def test_look_that_raises_it_makes_the_device_faulty(bench: RunnerBench, error: BaseException) -> None:
    bench.world.failing["health"] = error
    bench.start()
    assert bench.runner.facts[0] is Condition.FAULTY
    assert bench.runner.facts[3] is Blame.DRIVER
    assert bench.world.open_now == 0


@pytest.mark.parametrize("error", WORST, ids=repr)
def test_driver_that_raises_it_when_closed_is_reopened(bench: RunnerBench, error: BaseException) -> None:
    bench.start()
    bench.world.failing |= {"close": error, "make_safe": SafeStateError("red reads back 1")}
    release(bench, 2)
    assert bench.runner.facts[:2] == (Condition.FAULTY, "SafeStateError: red reads back 1")
    assert bench.runner.thread.is_alive()
    bench.world.failing.clear()
    assert bench.ready(3).value is True


@pytest.mark.parametrize("error", WORST, ids=repr)
def test_device_is_made_safe_at_the_stop_after_a_call_that_raised_it(bench: RunnerBench, error: BaseException) -> None:
    bench.start()
    bench.world.failing["hang"] = error
    assert bench.ask("hang").error == "DriverError"
    before = len(bench.world.acts)
    assert bench.stop() == []
    assert bench.world.acts[before:] == ["safe", "close"]


def test_making_safe_at_the_stop_that_raises_it_is_said(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["make_safe"] = asyncio.CancelledError("cancelled")
    assert bench.stop() == []
    reason = bench.port.reports[-1][1]
    assert reason.startswith("its host was stopped, and could not make it safe: CancelledError: cancelled")
    assert bench.world.open_now == 0


def test_long_reason_is_cut(bench: RunnerBench) -> None:
    bench.world.failing["make_safe"] = SafeStateError("x" * 300_000)
    bench.start()
    assert len(bench.runner.reason) == device_state.LONGEST_REASON


# -- errors that can't be read


BROKEN = [Mute, Unbearable]


@pytest.mark.parametrize("broken", BROKEN)
def test_device_is_not_ok_while_what_it_fails_with_can_not_be_read(bench: RunnerBench, broken: type[Exception]) -> None:
    bench.world.failing["make_safe"] = broken()
    bench.start()
    assert bench.runner.facts[0] is Condition.FAULTY
    assert bench.runner.facts[3] is Blame.DRIVER
    assert bench.world.open_now == 0
    bench.world.failing.clear()
    assert bench.ready(2).value is True


@pytest.mark.parametrize("broken", BROKEN)
def test_release_is_dealt_with_whatever_making_safe_raises(bench: RunnerBench, broken: type[Exception]) -> None:
    bench.start()
    bench.world.failing["make_safe"] = broken()
    release(bench, 2)
    assert bench.port.reports[-1][0] is Condition.FAULTY
    assert bench.world.open_now == 0


@pytest.mark.parametrize("broken", BROKEN)
def test_start_hears_that_its_device_is_not_ready_whatever_it_raises(
    bench: RunnerBench, broken: type[Exception]
) -> None:
    bench.start()
    bench.world.failing["make_safe"] = broken()
    assert bench.ready(2).error in ("DeviceFaultyError", "CallLostError")
    assert bench.runner.facts[0] is Condition.FAULTY


@pytest.mark.parametrize("broken", BROKEN)
def test_device_is_closed_at_the_stop_whatever_making_safe_raises(bench: RunnerBench, broken: type[Exception]) -> None:
    bench.start()
    bench.world.failing["make_safe"] = broken()
    assert bench.stop() == []
    assert bench.world.open_now == 0
    assert bench.port.reports[-1][0] is not Condition.OK


@pytest.mark.parametrize("broken", BROKEN)
def test_call_is_answered_and_over_whatever_it_raises(bench: RunnerBench, broken: type[Exception]) -> None:
    bench.start()
    gate, bench.world.failing["hang"] = bench.world.hold("hang"), broken()
    call = bench.call("hang")
    bench.acts("hang hangs")
    operation = bench.runner._occupation.now
    gate.set()
    assert bench.answer(call).error in ("DriverError", "CallLostError")
    assert operation is not None
    assert operation.done.wait(GUARD)
    bench.world.failing.clear()
    assert bench.ready(2).value is True
    assert bench.ask("write", "next", fence=2).value == "next"


def test_device_that_went_away_is_offline_also_where_it_can_not_say_so(bench: RunnerBench) -> None:
    bench.start()
    bench.world.failing["hang"] = MuteOffline("")
    bench.world.offline()
    assert bench.ask("hang").error == "MuteOffline"
    bench.condition(Condition.OFFLINE)
    assert bench.world.open_now == 0
