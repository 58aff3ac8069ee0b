"""Whose fault it is, from what was raised: one table."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from labkit import errors
from labkit.loop.blame import blame_for
from labkit.store.reservations import Blame, Condition
from tests.devices.test_missing_library import installed as installed
from tests.devices.test_missing_library import raised_from
from tests.loop.runner_bench import RunnerBench


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (errors.CommandError("no such command"), Blame.USER),
        (errors.SafeStateError("red reads back 1"), Blame.DEVICE),
        (errors.DeviceOfflineError("unplugged"), Blame.DEVICE),
        (TimeoutError("no answer"), Blame.DEVICE),
        (errors.TimeoutError("no answer"), Blame.DEVICE),
        (EOFError("closed"), Blame.DEVICE),
        (os_error(errno.EIO), Blame.DEVICE),
        (os_error(errno.ENODEV), Blame.DEVICE),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Blame.DEVICE),
        (PermissionError(errno.EACCES, "no"), Blame.LAB),
        (os_error(errno.EBUSY), Blame.LAB),
        (raised_from(errors.DeviceOfflineError("not let in"), PermissionError(errno.EPERM, "no")), Blame.LAB),
        (raised_from(errors.DeviceOfflineError("busy"), os_error(errno.EBUSY)), Blame.LAB),
        (errors.DeviceOfflineError("process 7 has it open", blame="lab"), Blame.LAB),
        (ModuleNotFoundError("No module named 'gpiod'", name="gpiod"), Blame.LAB),
        (raised_from(RuntimeError("no library"), ImportError("libgpiod.so.3")), Blame.LAB),
        (ValueError("a bug"), Blame.DRIVER),
        (KeyError("a bug"), Blame.DRIVER),
        (os_error(errno.EBADF), Blame.DRIVER),
        (errors.DeviceOfflineError("says nonsense", blame="nonsense"), Blame.DEVICE),
        (SystemExit(1), Blame.DRIVER),
        (errors.MissingSecretError("LAB_DOOR is not set"), Blame.LAB),
    ],
)
def test_blame_by_what_was_raised(error: BaseException, blame: Blame) -> None:
    assert blame_for(error) is blame


@pytest.mark.parametrize(
    "error", [errors.CommandError("no such line"), errors.DeviceOfflineError("gone", blame="user")], ids=repr
)
def test_user_is_not_to_blame_for_what_nobody_called(tmp_path: Path, error: BaseException) -> None:
    assert blame_for(error) is Blame.USER
    with RunnerBench(tmp_path) as bench:
        bench.start()
        bench.world.failing["make_safe"] = error
        bench.runner.follow("releasing", 2)
        bench.dealt(2)
        assert bench.runner.facts[3] is Blame.DRIVER
        bench.world.failing.clear()
        assert bench.ready(3).value is True
        bench.world.failing["make_safe"] = error
        bench.stop()
        assert bench.runner.facts[3] is Blame.DRIVER


def test_what_was_only_being_handled_counts_too_unless_it_is_hidden() -> None:
    def fails(hide: bool) -> BaseException:
        try:
            try:
                raise PermissionError(errno.EACCES, "no")
            except PermissionError:
                if hide:
                    raise RuntimeError("a bug") from None
                raise RuntimeError("a bug")  # noqa: B904
        except RuntimeError as error:
            return error

    assert (blame_for(fails(False)), blame_for(fails(True))) == (Blame.LAB, Blame.DRIVER)


def test_device_whose_library_is_missing_says_what_brings_it(installed: None, tmp_path: Path) -> None:
    with RunnerBench(tmp_path) as bench:
        bench.world.failing["open"] = ModuleNotFoundError("No module named 'gpiod'", name="gpiod")
        bench.start()
        condition, reason, _, blame = bench.runner.facts
        assert (condition, blame) == (Condition.FAULTY, Blame.LAB)
        assert reason.endswith('. Run: pip install "labkit[gpio]"')


def test_call_that_runs_longer_than_its_caller_allows_is_the_callers_fault(tmp_path: Path) -> None:
    with RunnerBench(tmp_path) as bench:
        bench.start()
        call = bench.call("block")
        bench.acts("blocks")
        now = bench.runner._occupation.now
        assert now is not None
        now.until = 0.0
        bench.runner.enforce()
        assert (bench.answer(call).error, bench.answer(call).blame) == ("CallLostError", "user")
