"""An old proxy never reaches the hardware: proven at the far end of the tty."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.context import BoundSession, Purpose
from labkit.devices.caller import DeviceCaller
from labkit.devices.proxy import DeviceProxy
from labkit.errors import ReservationLostError
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.calls import Call, Calls
from labkit.store.processes import Processes
from labkit.store.reservations import Reservations
from labkit.store.sessions import EndReason
from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import eventually


def proxy_of(lab: FlowLab, session_id: str, process: LabProcess) -> DeviceProxy:
    """A proxy as any process makes it, for the session as it is now."""
    record = lab.sessions.touch(session_id, poll=False)
    bound = BoundSession(session_id=session_id, purpose=Purpose.REQUEST, fences=record.fences)
    caller = DeviceCaller(Calls(lab.store), Reservations(lab.store), process, Settings(call_timeout=60.0))
    return DeviceProxy(caller, "bench-1/console", record.fences["bench-1"], bound)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_old_proxy_is_refused_before_a_byte_reaches_the_tty(make_lab: Callable[..., FlowLab], layout: str) -> None:
    lab = make_lab().start(layout)
    process = LabProcess(Processes(lab.store), "test-machine")
    process.start()
    try:
        first = lab.rlms.must_start("first")
        old = proxy_of(lab, first.session_id, process)
        assert old.write(b"# first\r") == 8
        lab.boards[0].wait_received(b"# first\r")  # making safe flushes what a busy board has not read
        assert lab.rlms.dispose(first.session_id)["message"] in ("Deleted", "Deleting")
        with pytest.raises(ReservationLostError):
            old.write(b"# late\r")
        lab.wait_free()
        second = lab.rlms.must_start("second")
        new = proxy_of(lab, second.session_id, process)
        with pytest.raises(ReservationLostError, match="another session has it since"):
            old.write(b"# late\r")
        assert new.write(b"# second\r") == 9
        received = lab.boards[0].wait_received(b"# second\r")
        assert b"# first\r" in received
        assert b"late" not in received
    finally:
        process.stop()


def test_a_call_under_an_old_fence_that_passed_the_store_is_refused_at_the_device(
    make_lab: Callable[..., FlowLab],
) -> None:
    """The store's check can be passed just before the fence rises; the host's check can not."""
    lab = make_lab().start("services")
    process = LabProcess(Processes(lab.store), "test-machine")
    process.start()
    try:
        student = lab.rlms.must_start(client={"dispose_file": "go on"})
        proxy = proxy_of(lab, student.session_id, process)
        fence = proxy._fence
        calls = Calls(lab.store)
        lab.sessions.end(student.session_id, EndReason.DISPOSED)
        lab.wait_state(student.session_id, "ending")
        # as if the script had run an instant earlier: straight into the list of the host's claim
        claim = lab.store.command("HGET", lab.store.keys["bench_host"], "bench-1").decode().split()[1]
        eventually(lambda: lab.acts("on_dispose"), what="on_dispose")
        until = process.store_now() + 60
        call = Call(device="bench-1/console", command="write", fence=fence, until=until, args=[b"late\r"])
        lab.store.command("RPUSH", lab.store.keys.of("calls", f"bench-1@{claim}"), call.dump())
        reply = calls.wait(call, 60)
        assert reply is not None
        assert reply.error == "ReservationLostError"
        lab.tell("go on")
        lab.wait_state(student.session_id, "expired")
        assert b"late" not in lab.boards[0].received()
    finally:
        process.stop()
