"""The host: calls to the right device, and the releases and sessions that it deals with."""

from __future__ import annotations

import pytest

from labkit.errors import DeviceError, DriverError, ReservationLostError
from labkit.loop import device_state
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import wait_until

# -- hosting


def test_bench_is_published_and_its_device_opened_and_safe(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    view = lab.view()
    assert view is not None
    assert (view.host, view.machine, list(view.features)) == (node.process.id, "pi-1", ["uno"])
    assert view.info["devices"]["toy"]["kind"] == "toy"
    assert lab.world.name not in str(view.info)
    assert lab.world.acts == ["open", "safe"]


def test_call_runs_at_the_device_and_answers(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    assert lab.call(fence, "write", b"\x00\xff") == b"\x00\xff"
    assert lab.world.acts[-1] == b"\x00\xff"
    with pytest.raises(DriverError, match="no such thing"):
        lab.call(fence, "fail", "value")


def test_result_that_can_not_be_stored_is_an_error_that_says_it_was_done(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    with pytest.raises(DriverError, match="was done, but its result can't be stored"):
        lab.call(fence, "thing")


def test_device_that_is_not_hosted_is_answered(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    raw = lab.store.command("HGET", lab.store.keys["holds"], "bench-1/toy")
    lab.store.command("HSET", lab.store.keys["holds"], "bench-1/ghost", raw)
    lab.store.command("HSET", lab.store.keys["conditions"], "bench-1/ghost", "ok 1 ")
    with pytest.raises(DeviceError, match="not hosted here"):
        lab.caller.submit("bench-1/ghost", "write", fence=fence, seconds=20).result()


def test_malformed_call_does_not_make_the_host_deaf(lab: HostBench, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    claim = node.host.benches["bench-1"].claim
    lab.store.command("RPUSH", lab.store.keys.of("calls", f"bench-1@{claim}"), "no call")
    _, fence = lab.session()
    assert lab.call(fence, "write", "x") == "x"


def test_device_that_is_offline_comes_back(lab: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.05)
    lab.world.offline()
    Node(lab).up()
    assert lab.wait_condition("offline").reason
    lab.world.failing.clear()
    lab.wait_ok()


# -- releases


def test_release_frees_the_device_after_it_was_made_safe(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    session, fence = lab.session()
    lab.call(fence, "write", "mine")
    lab.release(session, lab.end(session))
    lab.wait_ok()
    acts = lab.world.acts
    assert acts[acts.index("mine") + 1 :] == ["safe"]
    with pytest.raises(ReservationLostError):
        lab.submit(fence, "write", "late")


def test_end_of_a_session_interrupts_its_running_call(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    session, fence = lab.session()
    pending = lab.submit(fence, "block")
    wait_until(lambda: "blocks" in lab.world.acts, "the call")
    ending = lab.end(session)
    with pytest.raises(ReservationLostError):
        pending.result()
    assert lab.call(ending, "write", "on_dispose") == "on_dispose"


def test_release_that_no_host_was_there_for_is_dealt_with_by_the_next(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    session, _ = lab.session()
    first.down()
    lab.release(session, lab.end(session))
    assert lab.device().hold == "releasing"
    Node(lab).up()
    lab.wait_ok()


def test_live_session_goes_on_with_the_next_host(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    first.down()
    assert lab.device().condition == "offline"
    with pytest.raises(DeviceError):
        lab.submit(fence, "write", "while nobody is there")
    Node(lab).up()
    lab.wait_condition("ok")
    assert lab.call(fence, "write", "again") == "again"
    assert "while nobody is there" not in lab.world.acts
