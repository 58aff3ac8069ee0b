"""The ending of a session in the store: who begins it, who carries it out, and each race in both orders."""

from __future__ import annotations

import pytest

from labkit.store.sessions import EndReason, SessionRecord, SessionState
from tests.store.table import LOOP, OTHER, WEB, Table

# -- begin of the ending


def test_ending_has_one_winner_and_a_new_fence(table: Table) -> None:
    table.host("bench-1")
    session = table.active()
    before = table.fence(session)
    assert table.sessions.end(session, EndReason.DISPOSED) == ("begun", "disposed")
    assert table.sessions.end(session, EndReason.ADMIN) == ("ending", "disposed")
    state, fence = table.hold("bench-1/console")
    assert (state, fence > before) == ("reserved", True)
    assert table.call(before) == "lost"


def test_session_is_not_ended_before_it_is_due(table: Table) -> None:
    session = table.active("-", length=100)
    assert table.sessions.end(session, None)[0] == "not-due"
    assert table.state(session) is SessionState.ACTIVE
    table.wait(100)
    assert table.sessions.end(session, None) == ("begun", "time")


def test_dispose_of_a_session_that_is_over_keeps_the_true_reason(table: Table) -> None:
    session = table.active("-", length=100)
    table.wait(100)
    assert table.sessions.end(session, EndReason.DISPOSED) == ("begun", "time")
    assert table.read(session).disposing


def test_dispose_during_an_ending_is_noted(table: Table) -> None:
    session = table.active("-", length=100)
    table.wait(100)
    table.end(session, None)
    assert not table.read(session).disposing
    assert table.end(session) == "ending"
    assert table.read(session).disposing


def test_end_during_a_start_is_noted_and_comes_after_it(table: Table) -> None:
    table.host("bench-1")
    session = table.starting()
    assert table.sessions.end(session, EndReason.DISPOSED)[0] == "starting"
    assert table.state(session) is SessionState.STARTING
    assert table.sessions.activate(session, WEB) == "asked"
    assert table.sessions.end(session, EndReason.START_FAILED, owner=WEB) == ("begun", "disposed")
    assert table.read(session).disposing


def test_activation_before_the_dispose_wins_and_the_dispose_ends_it(table: Table) -> None:
    session = table.starting("-")
    assert table.sessions.activate(session, WEB) == "active"
    assert table.end(session) == "begun"


def test_start_of_a_dead_process_is_ended_as_failed(table: Table) -> None:
    table.host("bench-1")
    session = table.starting()
    assert table.sessions.end(session, None)[0] == "not-due"
    table.wait(5, LOOP)
    assert session in table.beat(LOOP).due
    assert table.sessions.end(session, None) == ("begun", "start-failed")
    assert table.sessions.activate(session, WEB) == "lost"


def test_only_its_owner_can_fail_a_start(table: Table) -> None:
    session = table.starting("-")
    assert table.sessions.end(session, EndReason.START_FAILED, owner=OTHER)[0] == "starting"
    assert table.sessions.end(session, EndReason.START_FAILED, owner=WEB) == ("begun", "start-failed")


def test_end_of_an_unknown_session_leaves_nothing_to_look_at(table: Table) -> None:
    table.store.command("ZADD", table.store.keys["deadlines"], 1, "nobody")
    assert table.sessions.end("nobody", EndReason.DISPOSED)[0] == "unknown"
    assert table.deadline("nobody") is None


# -- carrying the ending out


def test_ending_is_claimed_by_one_process_alive(table: Table) -> None:
    session = table.ending("-")
    table.beat(LOOP)
    table.beat(OTHER)
    table.claim_ending(session, LOOP)
    assert table.sessions.claim_ending(session, OTHER, 60.0) == "held"


@pytest.mark.parametrize("order", ["loop first", "other first"])
def test_of_two_claims_the_first_wins(table: Table, order: str) -> None:
    session = table.ending("-")
    for process in (LOOP, OTHER):
        table.beat(process)
    first, second = (LOOP, OTHER) if order == "loop first" else (OTHER, LOOP)
    fence = table.claim_ending(session, first)
    assert table.sessions.claim_ending(session, second, 60.0) == "held"
    assert table.sessions.step(session, first, fence, "dispose")
    assert not table.sessions.step(session, second, fence, "dispose")


def test_ending_of_a_dead_process_is_taken_over_at_its_step(table: Table) -> None:
    table.host("bench-1")
    session = table.ending()
    old = table.claim_ending(session, LOOP)
    assert table.sessions.step(session, LOOP, old, "dispose")
    table.wait(5, OTHER)
    claimed = table.sessions.claim_ending(session, OTHER, 60.0)
    assert isinstance(claimed, SessionRecord)
    new = int(claimed.fields["fence"])
    assert (claimed.step, new > old) == ("dispose", True)
    assert table.hold("bench-1/console") == ("reserved", new)
    assert not table.sessions.step(session, LOOP, old, "release")
    assert not table.sessions.finish(session, LOOP, old, 60)
    assert table.sessions.finish(session, OTHER, new, 60)


def test_second_claim_of_one_process_ends_its_first(table: Table) -> None:
    """A thread of it failed, and another goes on."""
    session = table.ending("-")
    table.beat(LOOP)
    old, new = table.claim_ending(session), table.claim_ending(session)
    assert new > old
    assert not table.sessions.step(session, LOOP, old, "dispose")
    assert not table.sessions.finish(session, LOOP, old, 60)
    assert table.sessions.step(session, LOOP, new, "dispose")
    assert table.sessions.finish(session, LOOP, new, 60)


def test_old_winner_that_finishes_before_the_takeover_has_finished(table: Table) -> None:
    session = table.ending("-")
    table.beat(LOOP)
    fence = table.claim_ending(session, LOOP)
    assert table.sessions.finish(session, LOOP, fence, 60)
    table.beat(OTHER)
    assert table.sessions.claim_ending(session, OTHER, 60.0) == "expired"
    assert not table.sessions.finish(session, LOOP, fence, 60)


def test_claim_that_lasts_too_long_can_be_taken_over(table: Table) -> None:
    session = table.ending("-")
    table.beat(LOOP)
    table.claim_ending(session, LOOP)
    table.wait(61, LOOP, OTHER)
    table.claim_ending(session, OTHER)


def test_claim_from_the_future_counts_for_nothing(table: Table) -> None:
    session = table.ending("-")
    table.beat(LOOP)
    table.claim_ending(session, LOOP)
    table.wait(-100, LOOP, OTHER)  # the store's clock was set back
    table.claim_ending(session, OTHER)


def test_ending_without_an_owner_is_due_at_once_and_stays_so(table: Table) -> None:
    session = table.ending("-")
    assert session in table.beat(LOOP).due
    table.claim_ending(session, LOOP)
    assert session not in table.beat(LOOP).due
    table.wait(4.1, OTHER)
    assert session in table.beat(OTHER).due


def test_what_does_not_end_can_not_be_claimed(table: Table) -> None:
    session = table.active("-")
    assert table.sessions.claim_ending(session, LOOP, 60.0) == "active"
    assert table.sessions.claim_ending("nobody", LOOP, 60.0) == "unknown"
    assert table.deadline(session) is not None


def test_finished_session_stays_readable_for_a_while_and_is_never_due(table: Table) -> None:
    session = table.ending("-")
    table.beat(LOOP)
    table.sessions.store_data(session, {"a": 1}, [])
    fence = table.claim_ending(session, LOOP)
    assert table.sessions.finish(session, LOOP, fence, 3600)
    record = table.read(session)
    assert (record.state, record.reason) == (SessionState.EXPIRED, "disposed")
    assert table.deadline(session) is None
    for family in ("session", "data", "events"):
        assert 0 < table.store.command("TTL", table.store.keys.of(family, session)) <= 3600
    assert table.end(session) == "expired"


def test_nothing_that_still_has_to_be_done_has_an_end(table: Table) -> None:
    table.host("bench-1")
    session = table.ending()
    table.sessions.store_data(session, {"a": 1}, [])
    for key in ("holds", "deadlines", "conditions", "lab"):
        assert table.store.command("TTL", table.store.keys[key]) == -1
    for family in ("session", "data"):
        assert table.store.command("TTL", table.store.keys.of(family, session)) == -1
