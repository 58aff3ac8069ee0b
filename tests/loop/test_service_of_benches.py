"""Hosts and the owner's word: maintenance closes devices, resuming opens them; every change is announced and logged."""

from __future__ import annotations

import pytest

from labkit.commands.bench import is_closed, say_closed
from labkit.errors import BenchUnavailableError, DeviceError, SafeStateError
from labkit.loop import device_state
from labkit.store.reservations import BenchView, Duty
from tests.loop.host_bench import HostBench, Node
from tests.loop.host_bench import lab as lab
from tests.toy import Toy, wait_until

WHY = "in maintenance: new motor"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state, "RETRY_FAULTY", 0.05)


def maintain(lab: HostBench) -> None:
    lab.reservations.set_duty("bench-1", Duty.MAINTENANCE, "new motor")


def rested(lab: HostBench) -> bool:
    return lab.device().reason == WHY


def test_free_bench_in_maintenance_is_made_safe_and_closed_and_opened_when_resumed(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    maintain(lab)
    wait_until(lambda: rested(lab), "the bench to rest")
    assert lab.world.acts == ["open", "safe", "safe", "close"]
    assert (lab.device().condition, lab.device().blame) == ("offline", "lab")
    lab.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    lab.wait_ok()
    assert lab.world.acts[4:] == ["open", "safe"]


def test_bench_in_use_goes_on_and_rests_when_it_is_free(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    session, fence = lab.session()
    maintain(lab)
    beats = node.process._offset
    wait_until(lambda: node.process.nudge() or node.process._offset != beats, "a beat")  # type: ignore[func-returns-value]
    assert lab.call(fence, "write", "mine") == "mine"
    lab.release(session, lab.end(session))
    wait_until(lambda: rested(lab), "the bench to rest")
    acts = lab.world.acts
    assert acts[acts.index("mine") + 1 :] == ["safe", "safe", "close"]
    assert lab.device().hold == "none"


def test_host_that_starts_does_not_open_a_bench_in_maintenance(lab: HostBench) -> None:
    maintain(lab)
    Node(lab).up()
    wait_until(lambda: lab.view() and rested(lab), "the bench to rest")
    assert lab.world.acts == []
    lab.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    lab.wait_ok()


def test_host_that_finds_a_release_in_maintenance_deals_with_it_first(lab: HostBench) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    session, _ = lab.session()
    first.down()
    maintain(lab)
    lab.release(session, lab.end(session))
    before = len(lab.world.acts)
    Node(lab).up()
    wait_until(lambda: rested(lab), "the bench to rest")
    assert lab.device().hold == "none"
    assert lab.world.acts[before:] == ["open", "safe", "safe", "close"]


def test_drained_bench_stays_open_and_is_not_given_out(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    lab.reservations.set_duty("bench-1", Duty.DRAINED, "exam")
    with pytest.raises(AssertionError, match="drained"):
        lab.session()
    assert lab.world.acts == ["open", "safe"]
    lab.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    lab.session()


def test_setting_says_how_often_a_free_device_is_looked_at(lab: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "health", lambda toy: toy.world.do("health"))
    Node(lab, health_interval=0.01).up()
    lab.wait_ok()
    wait_until(lambda: lab.world.count("health") > 2, "looks")
    _, fence = lab.session()
    assert lab.call(fence, "write", "mine") == "mine"


# -- maintenance of what is not safe


def closed_with(lab: HostBench, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Wait until the bench is closed for maintenance. Returns its device's reason, and what the command says of it."""
    seen: list[BenchView] = []

    def closed() -> bool:
        view = lab.view()
        assert view is not None
        seen.append(view)
        return is_closed(view) and bool(view.host)

    wait_until(closed, "the bench to be closed")
    say_closed(seen[-1], "bench-1")
    return seen[-1].devices[0].reason, capsys.readouterr().out


def make_faulty(lab: HostBench) -> None:
    session, _ = lab.session()
    lab.world.failing["make_safe"] = SafeStateError("heater reads back 1")
    lab.release(session, lab.end(session))
    lab.wait_condition("faulty")
    wait_until(lambda: lab.device().hold == "none", "the release")


def test_device_that_was_faulty_before_is_closed_with_a_warning(
    lab: HostBench, capsys: pytest.CaptureFixture[str]
) -> None:
    Node(lab).up()
    lab.wait_ok()
    make_faulty(lab)
    maintain(lab)
    reason, said = closed_with(lab, capsys)
    assert reason == f"{WHY}; it could not be made safe before: SafeStateError: heater reads back 1"
    assert said.startswith(f"Take care: bench-1/toy is offline: {reason}\nThe devices of bench-1 are closed.\n")


def test_device_that_the_labs_own_fault_kept_from_being_safe_is_closed_with_a_warning(
    lab: HostBench, capsys: pytest.CaptureFixture[str]
) -> None:
    Node(lab).up()
    lab.wait_ok()
    lab.world.failing["make_safe"] = PermissionError(13, "Permission denied")
    maintain(lab)
    reason, said = closed_with(lab, capsys)
    assert lab.device().blame == "lab"
    assert "could not be made safe before: PermissionError" in reason
    assert "Take care: " in said


def test_warning_outlives_a_restart_and_ends_when_the_device_was_safe_again(
    lab: HostBench, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Node(lab).up()
    lab.wait_ok()
    make_faulty(lab)
    first.down()
    maintain(lab)
    second = Node(lab).up()
    assert "could not be made safe before: SafeStateError: heater" in closed_with(lab, capsys)[0]
    second.down()
    Node(lab).up()
    reason, said = closed_with(lab, capsys)
    assert reason.count("could not be made safe before: SafeStateError: heater") == 1
    assert "Take care: " in said
    lab.world.failing.clear()
    lab.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    lab.wait_ok()
    maintain(lab)
    reason, said = closed_with(lab, capsys)
    assert reason == WHY
    assert said.startswith("The devices of bench-1 are safe and closed.\n")


# -- what is announced


def test_each_change_is_announced_once_in_order_with_its_cause(lab: HostBench, eager: None) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    session, _ = lab.session()
    lab.world.failing["make_safe"] = SafeStateError("red reads back 1")
    lab.release(session, lab.end(session))
    lab.wait_condition("faulty")
    lab.world.failing.clear()
    lab.wait_ok()
    node.host.stop()
    assert [(event.before, event.condition, event.reason, event.blame) for event in node.events] == [
        ("offline", "ok", "", ""),
        ("ok", "faulty", "SafeStateError: red reads back 1", "device"),
        ("faulty", "ok", "", ""),
        ("ok", "offline", "its host was stopped", ""),
    ]
    assert {event.device for event in node.events} == {"bench-1/toy"}
    assert all(event.at > 1_700_000_000 for event in node.events)
    log = [(change.before, change.after, change.reason, change.blame) for change in lab.log()]
    assert log[0] == ("offline", "offline", "being opened", "")
    assert log[1:] == [(event.before, event.condition, event.reason, event.blame) for event in node.events]


def test_listener_may_ask_the_host_and_may_fail(lab: HostBench, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(lab)
    heard = []

    def listen(event: object) -> None:
        heard.append((event, node.host.wants_replacement, repr(node.host)))  # needs its locks
        raise RuntimeError("a listener with a bug")

    node.host._reports._on_change = listen
    node.up()
    lab.wait_ok()
    wait_until(lambda: "a listener failed to hear of a device" in caplog.text, "the announcement")
    assert heard
    lab.session()


def test_device_that_is_not_safe_at_the_end_is_said_to_be_so(lab: HostBench) -> None:
    node = Node(lab).up()
    lab.wait_ok()
    lab.world.failing["make_safe"] = SafeStateError("red reads back 1")
    node.host.stop()
    reason = "its host was stopped, and could not make it safe: SafeStateError: red reads back 1"
    assert (lab.device().condition, lab.device().reason, lab.device().blame) == ("offline", reason, "device")
    assert node.events[-1].reason == reason
    assert lab.world.open_now == 0


# -- blame on the way to the caller


def test_error_of_a_call_says_whose_fault_it_is(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    _, fence = lab.session()
    lab.world.offline()  # so that the device stays gone when it is tried again
    blames = {}
    for command, *args in (("fail", "value"), ("fail", "unsafe"), ("fly",), ("fail", "offline"), ("write", "gone")):
        with pytest.raises(DeviceError) as caught:
            lab.call(fence, command, *args)
        blames[(command, *args)] = caught.value.blame
    assert list(blames.values()) == ["driver", "device", "user", "device", "device"]


def test_bench_that_could_not_be_made_ready_names_the_fault(lab: HostBench) -> None:
    Node(lab).up()
    lab.wait_ok()
    lab.world.failing["make_safe"] = ZeroDivisionError("division by zero")
    with pytest.raises((BenchUnavailableError, AssertionError)):
        lab.session()
    assert lab.wait_condition("faulty").blame == "driver"
