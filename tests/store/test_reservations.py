"""Benches in the store: claims, conditions, which one is picked, holds, and who may have what when."""

from __future__ import annotations

import pytest

from labkit.store.reservations import Blame, Claim, Condition
from labkit.store.sessions import EndReason, Started
from tests.store.table import LOOP, OTHER, START, WEB, Table

# -- the claim of a host


def test_claim_publishes_the_bench_and_doubts_every_device(table: Table) -> None:
    table.beat(LOOP)
    claim = table.claim("bench-1", LOOP, devices=("console", "leds"), features=("uno",))
    assert isinstance(claim, Claim)
    assert dict(claim.holds) == {"bench-1/console": ("none", 0), "bench-1/leds": ("none", 0)}
    view = table.view("bench-1")
    assert (view.machine, list(view.features), view.info) == ("pi-1", ["uno"], {"title": "bench-1"})
    assert [(d.condition, d.reason) for d in view.devices] == [("offline", "being opened")] * 2
    assert table.reservations.bench_info("bench-1") == {"title": "bench-1"}
    assert table.reservations.bench_info("bench-9") is None


def test_each_claim_has_a_later_fence_and_ends_the_one_before(table: Table) -> None:
    table.host("bench-1")
    old = table.claims["bench-1"]
    table.host("bench-1", process=OTHER)
    assert table.claims["bench-1"] > old
    assert not table.reservations.report("bench-1", old, "bench-1/console", Condition.FAULTY, "late word", 0)
    assert table.device("bench-1/console").condition == "ok"
    assert table.beat(LOOP, benches={"bench-1": old}).benches == {"bench-1": False}
    assert table.beat(OTHER, benches=table.claims).benches == {"bench-1": True}


def test_claim_tells_the_holds_that_live_on(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    claim = table.claim("bench-1", OTHER)
    assert isinstance(claim, Claim)
    assert dict(claim.holds) == {"bench-1/console": ("reserved", table.fence(session))}


def test_other_machine_has_to_wait_for_a_long_silence(table: Table) -> None:
    table.host("bench-1")
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    table.wait(29)
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    table.wait(2)
    assert isinstance(table.claim("bench-1", OTHER, machine="pi-2"), Claim)


def test_beats_keep_a_bench(table: Table) -> None:
    table.host("bench-1")
    for _ in range(10):
        table.wait(10)
        table.beat(LOOP, benches=table.claims)
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"


def test_bench_that_was_left_in_order_is_anybodys(table: Table) -> None:
    table.host("bench-1")
    table.reservations.leave_bench("bench-1", table.claims["bench-1"])
    assert table.device("bench-1/console").reason == "its host was stopped"
    assert table.view("bench-1").host == ""
    assert isinstance(table.claim("bench-1", OTHER, machine="pi-2"), Claim)


def test_old_host_can_not_leave_for_the_new_one(table: Table) -> None:
    table.host("bench-1")
    old = table.claims["bench-1"]
    table.host("bench-1", process=OTHER)
    table.reservations.leave_bench("bench-1", old)
    assert table.view("bench-1").host == OTHER


def test_device_that_is_declared_no_more_is_forgotten(table: Table) -> None:
    table.host("bench-1", devices=("console", "leds"))
    table.active()
    table.host("bench-1", devices=("console",))
    assert [device.name for device in table.view("bench-1").devices] == ["bench-1/console"]
    assert table.hold("bench-1/leds") == ("none", 0)


def test_idle_bench_is_left_in_one_with_the_look_whether_anybody_has_it(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    assert not table.reservations.leave_idle_bench("bench-1", table.claims["bench-1"])
    assert table.view("bench-1").host
    table.reservations.release(session, "bench-1", table.fence(session))
    assert not table.reservations.leave_idle_bench("bench-1", table.claims["bench-1"])  # it is being made safe
    table.report("bench-1/console", dealt_with=table.hold("bench-1/console")[1])
    assert table.reservations.leave_idle_bench("bench-1", table.claims["bench-1"])
    assert not table.view("bench-1").host
    assert isinstance(table.try_start()[1], list)


def test_bench_that_is_being_closed_stays_with_its_machine_until_it_is_closed(table: Table) -> None:
    table.host("bench-1")
    assert table.reservations.leave_idle_bench("bench-1", table.claims["bench-1"])
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    table.reservations.leave_bench("bench-1", table.claims["bench-1"])
    assert isinstance(table.claim("bench-1", OTHER, machine="pi-2"), Claim)


def test_undeclared_bench_is_forgotten_only_by_its_machine_and_when_idle(table: Table) -> None:
    table.host("bench-1", "bench-2")
    table.active("bench-1")
    forget = table.reservations.forget_bench
    assert table.reservations.undeclared("pi-1", ["bench-1"]) == ["bench-2"]
    assert table.reservations.undeclared("pi-2", []) == []
    assert not forget("bench-2", "pi-1")  # its host beats
    table.wait(5)
    assert not forget("bench-2", "pi-2")
    assert forget("bench-2", "pi-1")
    assert not forget("bench-1", "pi-1")  # it is held
    assert [view.name for view in table.reservations.benches()] == ["bench-1"]


def test_bench_that_a_process_still_speaks_of_is_not_forgotten(table: Table) -> None:
    """It is being closed, or a device of it hangs: another machine would take it at once if its row were gone."""
    table.host("bench-1")
    claim = table.claims["bench-1"]
    assert table.reservations.leave_idle_bench("bench-1", claim)
    for _ in range(3):
        table.wait(3)
        assert not table.reservations.forget_bench("bench-1", "pi-1")
        table.processes.beat(LOOP, first=True, roles="", highest_fence=0, benches={}, kept={"bench-1": claim})
    table.wait(5)
    assert table.reservations.forget_bench("bench-1", "pi-1")


# -- which bench


def test_bench_that_was_used_least_recently_is_picked(table: Table) -> None:
    table.host("bench-1", "bench-2", "bench-3")
    seen = []
    for _ in range(6):
        table.wait(1, LOOP)
        session = table.active()
        (bench,) = table.read(session).fences
        seen.append(bench)
        give_back(table, session)
    assert seen == ["bench-1", "bench-2", "bench-3"] * 2


def test_wish_for_a_bench_is_kept(table: Table) -> None:
    table.host("bench-1", "bench-2")
    assert list(table.read(table.starting("bench-2")).fences) == ["bench-2"]
    _, refused = table.try_start("bench-2")
    assert isinstance(refused, list)
    assert [row.bench for row in refused] == ["bench-2"]


def test_features_are_all_wanted(table: Table) -> None:
    table.host("bench-1", features=("uno",))
    table.host("bench-2", features=("uno", "camera"))
    assert list(table.read(table.starting(features=("camera", "uno"))).fences) == ["bench-2"]
    assert table.try_start(features=("laser",))[1] == []


def test_refusal_says_why_for_each_bench(table: Table) -> None:
    table.host("bench-1", "bench-2", "bench-3")
    table.host("bench-4", process=OTHER)
    table.active("bench-1")
    table.reservations.release(table.active("bench-2"), "bench-2", table.hold("bench-2/console")[1])
    table.report("bench-3/console", Condition.FAULTY, "red reads back 1")
    table.wait(5, LOOP)
    _, rows = table.try_start()
    assert isinstance(rows, list)
    assert [(row.bench, row.state) for row in rows] == [
        ("bench-1", "reserved"),
        ("bench-2", "releasing"),
        ("bench-3", "faulty"),
        ("bench-4", "no-host"),
    ]
    assert (rows[2].first, rows[2].second) == ("bench-3/console", "red reads back 1")


def test_bench_is_given_out_only_when_every_device_is_ok(table: Table) -> None:
    table.host("bench-1", devices=("console", "leds"))
    table.report("bench-1/leds", Condition.OFFLINE, "unplugged")
    assert not isinstance(table.try_start()[1], Started)
    table.report("bench-1/leds")
    assert isinstance(table.try_start()[1], Started)


# -- acquire by hand


def test_session_takes_a_second_bench_and_keeps_the_first(table: Table) -> None:
    table.host("bench-1", "bench-2")
    session = table.active("bench-1")
    taken = table.reservations.take(session, "")
    assert isinstance(taken, tuple)
    assert taken[0] == "bench-2"
    assert list(table.read(session).fences) == ["bench-1", "bench-2"]
    assert table.read(session).fences["bench-2"] == taken[1] > table.fence(session)


def test_benches_that_failed_are_left_out(table: Table) -> None:
    table.host("bench-1", "bench-2")
    taken = table.reservations.take(table.active("-"), "", excluded=["bench-1"])
    assert isinstance(taken, tuple)
    assert taken[0] == "bench-2"


@pytest.mark.parametrize("over", ["time", "logout", "ending", "unknown"])
def test_session_that_is_over_takes_nothing(table: Table, over: str) -> None:
    table.host("bench-1")
    session = table.active("-", length=100)
    if over == "time":
        table.wait(101, LOOP)
    elif over == "logout":
        table.sessions.exit(session)
    elif over == "ending":
        table.end(session)
    else:
        session = "nobody"
    assert table.reservations.take(session, "") is None
    assert table.hold("bench-1/console") == ("none", 0)


def test_start_takes_a_bench_only_for_its_owner_and_in_time(table: Table) -> None:
    table.host("bench-1", "bench-2")
    session = table.starting("-")
    assert table.reservations.take(session, OTHER) is None
    assert isinstance(table.reservations.take(session, WEB), tuple)
    table.wait(121, LOOP, WEB)
    assert table.reservations.take(session, WEB) is None


@pytest.mark.parametrize("first", ["take", "end"])
def test_take_and_end_leave_no_device_behind_in_either_order(table: Table, first: str) -> None:
    table.host("bench-1")
    session = table.active("-")
    if first == "take":
        assert isinstance(table.reservations.take(session, ""), tuple)
        table.end(session)
    else:
        table.end(session)
        assert table.reservations.take(session, "") is None
    finish(table, session)
    assert table.hold("bench-1/console") == ("none", 0)


# -- giving back


def give_back(table: Table, session: str) -> None:
    """End a session, and be the host that makes its benches safe."""
    table.end(session, EndReason.DISPOSED)
    finish(table, session)


def finish(table: Table, session: str) -> None:
    fence = table.claim_ending(session)
    table.reservations.release(session, "", fence)
    for device in table.reservations.left(session):
        table.report(device, dealt_with=table.hold(device)[1])
    assert table.sessions.finish(session, LOOP, fence, 60)


def test_released_device_is_out_until_its_host_says_safe(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    assert table.reservations.release(session, "bench-1", table.fence(session)) == ["bench-1/console"]
    state, fence = table.hold("bench-1/console")
    assert state == "releasing"
    table.wait(1000, LOOP)
    assert not isinstance(table.try_start()[1], Started)
    table.report("bench-1/console", dealt_with=fence - 1)
    assert table.hold("bench-1/console")[0] == "releasing"
    table.report("bench-1/console", dealt_with=fence)
    assert table.hold("bench-1/console") == ("none", 0)
    assert isinstance(table.try_start()[1], Started)


def test_device_that_can_not_be_made_safe_has_no_hold_and_is_not_given_out(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    table.reservations.release(session, "bench-1", table.fence(session))
    table.report("bench-1/console", Condition.FAULTY, "hangs", dealt_with=table.hold("bench-1/console")[1])
    assert table.hold("bench-1/console") == ("none", 0)
    _, rows = table.try_start()
    assert isinstance(rows, list)
    assert rows[0].state == "faulty"


def test_report_does_not_touch_a_later_reservation(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    fence = table.fence(session)
    table.report("bench-1/console", dealt_with=fence + 1000)
    assert table.hold("bench-1/console") == ("reserved", fence)


def test_release_under_an_old_fence_is_refused(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    old = table.fence(session)
    table.end(session)
    assert table.reservations.release(session, "bench-1", old) is None
    assert table.hold("bench-1/console")[0] == "reserved"
    assert table.reservations.release(session, "", table.claim_ending(session)) == ["bench-1/console"]


def test_release_touches_nothing_of_another_session(table: Table) -> None:
    table.host("bench-1")
    first = table.active()
    old = table.fence(first)
    give_back(table, first)
    second = table.active()
    assert table.reservations.release(first, "bench-1", old) in (None, [])
    assert table.hold("bench-1/console") == ("reserved", table.fence(second))


def test_bench_given_back_early_is_no_longer_the_sessions(table: Table) -> None:
    table.host("bench-1", "bench-2")
    session = table.active("bench-1")
    table.reservations.take(session, "")
    table.reservations.release(session, "bench-1", table.fence(session))
    assert list(table.read(session).fences) == ["bench-2"]


def test_left_tells_whether_the_host_beats(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    assert table.reservations.left(session) == {"bench-1/console": True}
    table.wait(5)
    assert table.reservations.left(session) == {"bench-1/console": False}
    assert table.reservations.left("nobody") == {}


def test_holders_are_sessions_with_their_highest_fence(table: Table) -> None:
    table.host("bench-1", "bench-2")
    session = table.active("bench-1")
    taken = table.reservations.take(session, "")
    assert isinstance(taken, tuple)
    assert table.reservations.holders() == {session: taken[1]}


# -- what is seen


def test_condition_keeps_its_since_while_it_does_not_change(table: Table) -> None:
    table.host("bench-1")
    table.report("bench-1/console", Condition.OFFLINE, "unplugged from the hub")
    table.wait(10)
    table.report("bench-1/console", Condition.OFFLINE, "unplugged from the hub")
    device = table.device("bench-1/console")
    assert (device.condition, device.reason, device.condition_since) == ("offline", "unplugged from the hub", START)


def test_session_is_told_of_its_device(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    for _ in range(2):
        table.report("bench-1/console", Condition.OFFLINE, "unplugged", blame=Blame.DEVICE)
    assert table.events(session)[-1] == {
        "device": "bench-1/console",
        "condition": "offline",
        "reason": "unplugged",
        "blame": "device",
    }
    assert len(table.events(session)) == 3


def test_fences_only_grow_also_when_the_clock_is_set_back(table: Table) -> None:
    table.host(*(f"bench-{n}" for n in range(1, 6)))
    seen = [table.claims[f"bench-{n}"] for n in range(1, 6)]
    for n in range(1, 6):
        table.wait(-3600, LOOP, WEB)
        seen.append(table.fence(table.starting(f"bench-{n}"), f"bench-{n}"))
    assert seen == sorted(set(seen))
