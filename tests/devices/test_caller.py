"""One device call from its submission to its end: done, its driver's error, lost, expired, refused; never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit import errors
from labkit.devices.caller import unpack
from labkit.errors import (
    CallExpiredError,
    CallLostError,
    CommandError,
    DeviceError,
    DeviceOfflineError,
    DriverError,
    ReservationLostError,
    WebLabError,
)
from labkit.store.calls import Call, Reply
from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import wait_until


@pytest.fixture
def fence(lab: HostBench) -> int:
    """The fence of an active session on bench-1, whose host is up."""
    Node(lab).up()
    lab.wait_ok()
    return lab.session()[1]


def silence(lab: HostBench) -> Node:
    """Kill the host without a word: it beats no more, and its devices don't answer."""
    (node,) = lab.nodes
    node.process._threads[0].stop()
    node.process._threads[0].join(10)
    lab.store.command("ZADD", lab.store.keys["processes"], 1000, node.process.id)
    return node


# -- the reply


@pytest.mark.parametrize(
    "name", ["ReservationLostError", "CallLostError", "CallExpiredError", "DeviceOfflineError", "CommandError"]
)
def test_error_comes_back_as_itself_with_the_device(name: str) -> None:
    call = Call(device="bench-1/toy", command="write", fence=1, until=0.0)
    with pytest.raises(getattr(errors, name), match="why") as error:
        unpack(Reply(error=name, message="why"), call)
    assert error.value.device == "bench-1/toy"


@pytest.mark.parametrize(
    "name", ["DriverError", "ValueError", "SystemExit", "NotStorableError", "annotations", "WebLabError"]
)
def test_every_other_error_is_the_drivers(name: str) -> None:
    call = Call(device="bench-1/toy", command="write", fence=1, until=0.0)
    with pytest.raises(DriverError, match="why") as error:
        unpack(Reply(error=name, message="why", kind="OSError"), call)
    assert error.value.kind == "OSError"


def test_value_comes_back() -> None:
    call = Call(device="bench-1/toy", command="write", fence=1, until=0.0)
    assert unpack(Reply(value=[1, b"x"]), call) == [1, b"x"]


# -- from end to end


def test_call_is_done_once(lab: HostBench, fence: int) -> None:
    assert lab.call(fence, "write", "once") == "once"
    assert lab.world.count("once") == 1


def test_errors_of_the_driver_and_of_arguments(lab: HostBench, fence: int) -> None:
    with pytest.raises(DriverError) as error:
        lab.call(fence, "fail", "value")
    assert error.value.kind == "ValueError"
    with pytest.raises(CommandError, match="how"):
        lab.call(fence, "fail", 17)
    with pytest.raises(CommandError, match="no command 'fly'"):
        lab.call(fence, "fly")


def test_old_fence_is_refused_and_names_no_user(lab: HostBench, fence: int) -> None:
    (session,) = lab.reservations.holders()
    lab.release(session, lab.end(session))
    lab.wait_ok()
    lab.session()
    with pytest.raises(ReservationLostError, match="another session has it since") as error:
        lab.submit(fence, "write", "late")
    assert "session-2" not in str(error.value)
    assert "late" not in lab.world.acts


def test_own_ending_says_that_the_session_is_over(lab: HostBench, fence: int) -> None:
    lab.end("session-1")
    with pytest.raises(ReservationLostError, match="session is over"):
        lab.submit(fence, "write", "late")


def test_call_that_a_busy_device_never_began_is_expired(lab: HostBench, fence: int) -> None:
    lab.submit(fence, "block", seconds=20)
    wait_until(lambda: "blocks" in lab.world.acts, "the first call")
    waiting = lab.submit(fence, "write", "never", seconds=0.2)
    with pytest.raises((CallExpiredError, CallLostError)):
        waiting.result()
    lab.end("session-1")
    wait_until(lambda: "interrupt" in lab.world.acts, "the interrupt")
    assert "never" not in lab.world.acts


def test_call_that_the_host_never_took_surely_did_not_run(lab: HostBench, fence: int) -> None:
    (node,) = lab.nodes
    calls = next(thread for thread in node.host._threads if thread.name == "calls")
    calls.stop()
    calls.join(10)
    with pytest.raises(CallExpiredError, match="before it began"):
        lab.call(fence, "write", "never", seconds=0.1)
    assert "never" not in lab.world.acts


def test_host_that_dies_with_the_call_in_its_hands_has_lost_it(lab: HostBench, fence: int) -> None:
    pending = lab.submit(fence, "block", seconds=60)
    wait_until(lambda: "blocks" in lab.world.acts, "the call")
    silence(lab)
    with pytest.raises(CallLostError, match="its host went away"):
        pending.result()


def test_call_after_the_host_died_fails_at_once_and_says_what_to_start(lab: HostBench, fence: int) -> None:
    silence(lab)
    with pytest.raises(DeviceOfflineError, match="labkit loop"):
        lab.submit(fence, "write", "later")


def test_device_out_of_service_says_why(lab: HostBench, fence: int) -> None:
    lab.world.failing["open"] = DeviceOfflineError("it was pulled out")  # and stays so when it is tried again
    with pytest.raises(DeviceOfflineError, match="pulled out"):
        lab.call(fence, "fail", "offline")
    with pytest.raises(DeviceOfflineError, match="pulled out"):
        lab.call(fence, "write", "x")
    assert "x" not in lab.world.acts


def test_store_that_goes_away_meanwhile_has_lost_the_call(tmp_path: Path) -> None:
    with StoreServer() as server, HostBench(tmp_path, Store(server.url, "lab")) as lab:
        Node(lab).up()
        lab.wait_ok()
        _, fence = lab.session()
        pending = lab.submit(fence, "block", seconds=60)
        wait_until(lambda: "blocks" in lab.world.acts, "the call")
        server.stop()
        with pytest.raises(CallLostError, match="may have run"):
            pending.result()
        with pytest.raises(WebLabError):
            lab.submit(fence, "write", "x")
        server.start()


# -- how long a call may take


@pytest.mark.parametrize(
    ("command", "args", "kwargs", "seconds"),
    [
        ("write", ["x"], {}, 5.0),
        ("unknown", [], {}, 5.0),
        ("read", [b"x"], {}, 6.5),
        ("read", [b"x"], {"timeout": 30}, 35.0),
        ("read", [b"x"], {"timeout": None}, 2.5),
        ("read", [b"x", 30.0], {}, 35.0),
    ],
)
def test_caller_waits_as_long_as_the_command_may_take(
    lab: HostBench, fence: int, command: str, args: list[Any], kwargs: dict[str, Any], seconds: float
) -> None:
    assert lab.caller.seconds_for("bench-1/toy", command, args, kwargs) == seconds


def test_published_facts_are_known_and_unknown_benches_are_empty(lab: HostBench, fence: int) -> None:
    assert list(lab.caller.devices_of("bench-1")) == ["toy"]
    assert lab.caller.devices_of("bench-9") == {}
    assert issubclass(DeviceError, WebLabError)
