"""Benches that their owner takes out of service, and the log of what becomes of a bench and its devices."""

from __future__ import annotations

import pytest

from labkit.store.connection import Store
from labkit.store.reservations import BenchChange, Blame, Claim, Condition, Duty, Service
from labkit.store.sessions import Refusal, Started
from tests.store.table import LOOP, OTHER, START, WEB, Table

OUT = (Duty.DRAINED, Duty.MAINTENANCE)


def changes(table: Table, bench: str = "bench-1") -> list[tuple[str, str, str, str, str]]:
    """(device, before, after, reason, blame) of each line of the log."""
    log = table.reservations.bench_log(bench, 1000)
    return [(change.device, change.before, change.after, change.reason, change.blame) for change in log]


@pytest.mark.parametrize("duty", OUT)
def test_no_session_gets_a_bench_out_of_service(table: Table, duty: Duty) -> None:
    table.host("bench-1", "bench-2")
    assert table.reservations.set_duty("bench-1", duty, "new motor") is Duty.IN_SERVICE
    assert table.try_start("bench-1")[1] == [
        Refusal(bench="bench-1", state=duty.value, first=f"{START:.6f}", second="new motor")
    ]
    session = table.active()
    assert list(table.read(session).fences) == ["bench-2"]
    taken = table.reservations.take(session, "", bench="bench-1")
    assert isinstance(taken, list)
    assert table.view("bench-1").service == Service(duty=duty, since=START, reason="new motor")
    assert table.view("bench-2").service is None


@pytest.mark.parametrize("duty", OUT)
def test_who_has_the_bench_keeps_it(table: Table, duty: Duty) -> None:
    table.host("bench-1")
    session = table.active()
    table.reservations.set_duty("bench-1", duty, "new motor")
    assert table.call(table.fence(session)) == "submitted"
    assert table.hold("bench-1/console")[0] == "reserved"


def test_bench_is_given_out_again_when_it_is_resumed(table: Table) -> None:
    table.host("bench-1")
    table.reservations.set_duty("bench-1", Duty.DRAINED)
    assert table.reservations.set_duty("bench-1", Duty.IN_SERVICE) is Duty.DRAINED
    assert isinstance(table.try_start("bench-1")[1], Started)


def test_same_word_again_changes_nothing_and_another_reason_does(table: Table) -> None:
    table.reservations.set_duty("bench-1", Duty.DRAINED, "why")
    table.wait(10)
    assert table.reservations.set_duty("bench-1", Duty.DRAINED, "why") is None
    assert table.reservations.set_duty("bench-1", Duty.DRAINED, "another why") is Duty.DRAINED
    assert table.reservations.set_duty("bench-2", Duty.IN_SERVICE, "never mind") is None
    assert [row[3] for row in changes(table)] == ["why", "another why"]


def test_owners_word_outlives_the_host_and_every_claim(table: Table) -> None:
    """Said before any loop ran, kept when one stops, and told to each that claims the bench."""
    table.reservations.set_duty("bench-1", Duty.MAINTENANCE, "new  motor\nfitted")
    table.beat(LOOP)
    claim = table.claim("bench-1", LOOP)
    assert isinstance(claim, Claim)
    assert claim.maintenance == "new motor fitted"
    table.reservations.leave_bench("bench-1", claim.fence)
    again = table.claim("bench-1", OTHER)
    assert isinstance(again, Claim)
    assert again.maintenance == "new motor fitted"
    table.reservations.set_duty("bench-1", Duty.DRAINED)
    drained = table.claim("bench-1", OTHER)
    assert isinstance(drained, Claim)
    assert drained.maintenance is None


def test_beat_tells_the_host_which_of_its_benches_are_in_maintenance(table: Table) -> None:
    table.host("bench-1", "bench-2", "bench-3")
    table.reservations.set_duty("bench-1", Duty.MAINTENANCE, "new motor")
    table.reservations.set_duty("bench-2", Duty.DRAINED, "exam")
    assert table.beat(LOOP, benches=table.claims).maintained == {"bench-1": "new motor"}
    mine = {"bench-2": table.claims["bench-2"]}
    assert table.beat(LOOP, benches=mine).maintained == {}


def test_change_of_service_wakes_the_hosts(table: Table) -> None:
    before = table.processes.changes_position()
    table.reservations.set_duty("bench-1", Duty.DRAINED)
    drained = table.processes.changes_position()
    table.reservations.set_duty("bench-1", Duty.DRAINED)
    assert before != drained == table.processes.changes_position()


@pytest.mark.parametrize("drain_first", [True, False])
def test_drain_and_start_at_once_have_one_order(table: Table, drain_first: bool) -> None:
    table.host("bench-1")
    if drain_first:
        table.reservations.set_duty("bench-1", Duty.DRAINED)
        assert not isinstance(table.try_start("bench-1")[1], Started)
        assert table.hold("bench-1/console") == ("none", 0)
    else:
        session = table.active("bench-1")
        table.reservations.set_duty("bench-1", Duty.DRAINED)
        assert table.hold("bench-1/console") == ("reserved", table.fence(session))


# -- what a session is told of its own bench


def test_session_that_asks_for_its_own_bench_is_told_so(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    taken = table.reservations.take(session, "", bench="bench-1")
    assert isinstance(taken, list)
    assert taken[0].state == "own-reserved"
    table.reservations.release(session, "bench-1", table.fence(session))
    taken = table.reservations.take(session, "", bench="bench-1")
    assert isinstance(taken, list)
    assert taken[0].state == "own-releasing"
    refused = table.try_start("bench-1")[1]
    assert isinstance(refused, list)
    assert refused[0].state == "releasing"


# -- the log


def test_log_has_every_change_with_its_cause_and_blame_newest_last(table: Table) -> None:
    table.host("bench-1")
    device = "bench-1/console"
    table.report(device)
    table.report(device, Condition.FAULTY, "red reads back 1", blame=Blame.DEVICE)
    table.report(device, Condition.FAULTY, "red reads back 1", blame=Blame.DEVICE)
    table.reservations.set_duty("bench-1", Duty.DRAINED, "exam")
    table.report(device)
    table.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    table.reservations.leave_bench("bench-1", table.claims["bench-1"])
    assert changes(table) == [
        (device, "offline", "offline", "being opened", ""),
        (device, "offline", "ok", "", ""),
        (device, "ok", "faulty", "red reads back 1", "device"),
        ("", "in service", "drained", "exam", ""),
        (device, "faulty", "ok", "", ""),
        ("", "drained", "in service", "", ""),
        (device, "ok", "offline", "its host was stopped", ""),
    ]
    assert [change.reason for change in table.reservations.bench_log("bench-1", 2)] == ["", "its host was stopped"]
    first = table.reservations.bench_log("bench-1", 1000)[0]
    assert first == BenchChange(
        at=START, device=device, before="offline", after="offline", reason="being opened", blame=""
    )


def test_log_is_capped_and_has_no_end_by_time(table: Table, store: Store) -> None:
    table.host("bench-1")
    for number in range(510):
        table.report("bench-1/console", Condition.OFFLINE, f"unplugged {number}")
        table.report("bench-1/console")
    log = table.reservations.bench_log("bench-1", 5000)
    assert len(log) == 1000
    assert log[-2].reason == "unplugged 509"
    assert store.command("TTL", store.keys.of("bench_log", "bench-1")) == -1


def test_new_words_of_the_same_trouble_are_logged_once_a_minute_and_shown_at_once(table: Table) -> None:
    table.host("bench-1")
    device = "bench-1/console"
    for number in range(200):
        table.report(device, Condition.OFFLINE, f"no answer to ping {number}", blame=Blame.DEVICE)
        table.wait(1)
    told = [row[3] for row in changes(table) if row[4] == "device"]
    assert told == [f"no answer to ping {number}" for number in (0, 60, 120, 180)]
    assert table.device(device).reason == "no answer to ping 199"
    assert table.device(device).condition_since == START
    table.report(device, Condition.OFFLINE, "it raised", blame=Blame.DRIVER)
    table.report(device, Condition.FAULTY, "red reads back 1", blame=Blame.DEVICE)
    assert [row[3] for row in changes(table)][-2:] == ["it raised", "red reads back 1"]


def test_host_that_said_more_of_its_end_is_not_overruled(table: Table) -> None:
    table.host("bench-1")
    reason = "its host was stopped, and could not make it safe: red reads back 1"
    table.report("bench-1/console", Condition.OFFLINE, reason, blame=Blame.DEVICE)
    table.reservations.leave_bench("bench-1", table.claims["bench-1"])
    assert (table.device("bench-1/console").reason, table.device("bench-1/console").blame) == (reason, "device")


def test_blame_is_seen_with_the_condition_and_goes_with_it(table: Table) -> None:
    table.host("bench-1")
    table.report("bench-1/console", Condition.FAULTY, "it raised", blame=Blame.DRIVER)
    assert table.device("bench-1/console").blame == "driver"
    table.report("bench-1/console")
    assert (table.device("bench-1/console").blame, table.device("bench-1/console").reason) == ("", "")


# -- fair among benches


def test_least_recently_used_of_those_that_fit_is_taken_also_after_a_restart(table: Table) -> None:
    table.host("bench-1", "bench-2", "bench-3", features=("camera",))
    table.host("bench-4")

    def use(features: tuple[str, ...] = ()) -> str:
        session = table.active(features=features)
        (bench,) = table.read(session).fences
        table.end(session)
        table.claim_ending(session)
        table.reservations.release(session, "", int(table.read(session).fields["fence"]))
        table.report(f"{bench}/console", dealt_with=table.hold(f"{bench}/console")[1])
        return bench

    assert [use(("camera",)) for _ in range(2)] == ["bench-1", "bench-2"]
    assert use() == "bench-3"  # never used before, as bench-4, and before it by name
    table.host("bench-1", "bench-2", "bench-3", process=OTHER, features=("camera",))  # a new loop
    table.beat(OTHER)
    assert [use(("camera",)) for _ in range(4)] == ["bench-1", "bench-2", "bench-3", "bench-1"]
    assert [use() for _ in range(2)] == ["bench-4", "bench-2"]
    assert table.try_start(owner=WEB, features=("camera", "lift"))[1] == []
