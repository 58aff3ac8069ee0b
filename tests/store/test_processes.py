"""Processes in the store: beats, who is gone, roles, what a beat brings, a store that has gone back."""

from __future__ import annotations

import pytest

from labkit.errors import WrongAppError
from labkit.store.processes import GONE_AFTER, HoldNews, Processes
from labkit.store.tasks import TaskStore
from tests.store.table import LOOP, OTHER, START, Table


def beat(table: Table, process: str, *, first: bool = False, roles: str = "") -> object:
    return table.processes.beat(process, first=first, roles=roles, highest_fence=0, benches={})


def test_process_that_was_silent_too_long_has_to_take_a_new_name(table: Table) -> None:
    assert beat(table, LOOP) is None  # never heard of
    assert beat(table, LOOP, first=True)
    table.wait(GONE_AFTER)
    assert beat(table, LOOP)
    table.wait(GONE_AFTER + 0.01)
    assert beat(table, LOOP) is None
    assert beat(table, OTHER, first=True)


def test_clock_that_was_set_back_kills_nobody_for_long(table: Table) -> None:
    beat(table, LOOP, first=True)
    table.wait(-3600)
    assert beat(table, LOOP) is None
    assert beat(table, "loop:2:new", first=True)
    assert beat(table, "loop:2:new")


def test_news_names_who_is_gone_until_they_are_buried(table: Table) -> None:
    table.beat(LOOP)
    table.wait(4.1)
    news = table.beat(OTHER)
    assert (list(news.gone), news.now) == ([LOOP], START + 4.1)
    assert TaskStore(table.store).bury(LOOP) == []
    assert list(table.beat(OTHER).gone) == []


def test_living_process_can_not_be_buried(table: Table) -> None:
    table.beat(LOOP)
    assert TaskStore(table.store).bury(LOOP) is None
    assert beat(table, LOOP)


def test_process_that_leaves_is_gone_at_once(table: Table) -> None:
    beat(table, LOOP, first=True, roles="endings")
    assert table.processes.with_role("endings") == LOOP
    table.processes.leave(LOOP)
    assert table.processes.with_role("endings") == ""
    assert beat(table, LOOP) is None
    assert list(table.beat(OTHER).gone) == [LOOP]


def test_leaving_of_an_unknown_process_leaves_nothing(table: Table) -> None:
    table.processes.leave("nobody")
    assert list(table.beat(OTHER).gone) == []


def test_role_is_held_only_by_who_beats(table: Table) -> None:
    beat(table, LOOP, first=True, roles="host tasks")
    beat(table, OTHER, first=True, roles="endings")
    assert table.processes.with_role("tasks") == LOOP
    assert table.processes.with_role("task") == ""
    assert table.processes.with_role("tasks", but=LOOP) == ""
    assert table.processes.with_role("endings") == OTHER
    table.wait(4.1, OTHER)
    assert table.processes.with_role("tasks") == ""


def test_beat_brings_the_holds_of_the_hosted_benches(table: Table) -> None:
    table.host("bench-1", "bench-2")
    session = table.active("bench-1")
    table.wait(1)
    news = table.beat(LOOP, benches=table.claims)
    fence, until = table.fence(session), table.deadline(session)
    assert until is not None
    expected = HoldNews(state="reserved", fence=fence, session=session, until=until)
    assert dict(news.holds) == {"bench-1/console": expected}
    assert dict(news.benches) == {"bench-1": True, "bench-2": True}
    assert table.beat(OTHER).holds == {}


@pytest.mark.parametrize("why", ["starting", "time", "silence", "logout", "ending", "releasing"])
def test_beat_says_of_no_session_that_it_is_live_but_of_an_active_one(table: Table, why: str) -> None:
    table.host("bench-1")
    session = table.starting("bench-1") if why == "starting" else table.active("bench-1", length=100, timeout=50)
    if why == "logout":
        table.sessions.exit(session)
    elif why == "ending":
        table.end(session)
    elif why == "releasing":
        table.reservations.release(session, "bench-1", table.fence(session))
    table.wait({"time": 101, "silence": 51}.get(why, 0), LOOP)
    (hold,) = table.beat(LOOP, benches=table.claims).holds.values()
    assert hold.until == 0


def test_store_that_went_back_is_raised_and_says_so_once(table: Table) -> None:
    table.host("bench-1")
    highest = table.claims["bench-1"]
    table.store.command("HSET", table.store.keys["lab"], "fence", highest - 100)
    assert table.beat(LOOP, fence=highest + 500).went_back
    assert not table.beat(LOOP, fence=highest + 500).went_back
    assert table.fence(table.starting()) > highest + 500


def test_beat_that_knows_less_lowers_nothing(table: Table) -> None:
    table.host("bench-1")
    before = table.store.command("HGET", table.store.keys["lab"], "fence")
    assert not table.beat(OTHER, fence=1).went_back
    assert table.store.command("HGET", table.store.keys["lab"], "fence") == before


def test_first_app_has_the_prefix_and_another_is_refused(table: Table) -> None:
    table.processes.claim_app("mylab")
    table.processes.claim_app("mylab")
    with pytest.raises(WrongAppError, match=r"belongs to the app 'mylab'.*WEBLAB_REDIS_BASE"):
        table.processes.claim_app("yourlab")


def test_changes_are_heard(table: Table) -> None:
    position = table.processes.changes_position()
    assert position == "0-0"
    assert table.processes.wait_for_changes(position, 0.01) == position
    table.active("-")
    table.end(table.active("-"))
    moved = table.processes.wait_for_changes(position, 1.0)
    assert moved != position
    assert table.processes.changes_position() == moved


def test_queued_tasks_are_counted(table: Table) -> None:
    table.store.command("RPUSH", table.store.keys["queue"], "a", "b")
    assert table.beat(LOOP).queued_tasks == 2


def test_due_sessions_come_with_the_beat_earliest_first(table: Table) -> None:
    late, early = table.active("-", length=20), table.active("-", length=10)
    table.wait(9)
    assert list(table.beat(LOOP).due) == []
    table.wait(20)
    assert list(table.beat(LOOP).due) == [early, late]


def test_processes_of_two_labs_on_one_store_do_not_meet(table: Table) -> None:
    other = Processes(type(table.store)(table.store.url, table.store.keys.prefix + "-2", now=START))
    other.beat(LOOP, first=True, roles="endings", highest_fence=0, benches={})
    assert table.processes.with_role("endings") == ""
