"""Faults of the scripts that the state machines of `tests/model` have found, each as a plain test."""

from __future__ import annotations

import pytest

from labkit.store.calls import Call, Submitted
from labkit.store.reservations import Claim
from tests.store.table import LOOP, OTHER, WEB, Table
from tests.store.task_steps import claim, code_of, dead_process, done, kill, read, submit
from tests.tasks.own_store import lab as lab
from tests.tasks.task_lab import TaskLab

# -- the store's clock is set back


@pytest.mark.parametrize("back", [9.0, 3600.0])
def test_ending_whose_process_died_is_due_at_once_though_the_clock_was_set_back(table: Table, back: float) -> None:
    table.host("bench-1")
    session = table.ending("bench-1")
    table.claim_ending(session, WEB)  # and dies
    table.beat(LOOP)
    table.wait(-back)
    assert session in table.beat(OTHER).due
    assert table.end(session) == "ending"
    assert table.claim_ending(session, OTHER)


def test_clock_that_is_set_back_bit_by_bit_is_seen_as_well(table: Table) -> None:
    table.host("bench-1")
    session = table.ending("bench-1")
    table.claim_ending(session, WEB)  # and dies
    table.beat(LOOP)
    for _ in range(2):
        table.wait(-3.0)
        due = table.beat(OTHER).due
    assert session in due
    table.wait(1.0)
    assert table.beat(OTHER).due == [session], "it is due until somebody has looked at it"
    assert table.deadline(session) == table.now - 1.0


def test_sessions_that_go_on_are_looked_at_once_after_the_clock_was_set_back(table: Table) -> None:
    session = table.active("-", length=300.0)
    end = table.read(session).number("max_date")
    table.beat(LOOP)
    table.wait(-60.0)
    assert session in table.beat(OTHER).due
    assert table.end(session, None) == "not-due"
    assert table.deadline(session) == end
    assert table.beat(OTHER).due == []


def test_process_whose_last_beat_is_in_the_future_is_to_be_buried(table: Table) -> None:
    table.beat(LOOP)
    table.wait(-9.0)
    assert table.beat(OTHER).gone == [LOOP]


def test_host_that_beats_keeps_its_bench_from_another_machine_though_the_clock_was_set_back(table: Table) -> None:
    table.host("bench-1")
    table.wait(-3600.0)  # its next beat is on its way
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    assert table.beat(LOOP, benches=table.claims) is not None
    table.wait(29.0)
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"


def test_bench_of_a_machine_that_is_gone_waits_its_time_once_more_when_the_clock_was_set_back(table: Table) -> None:
    table.host("bench-1")
    table.wait(-3600.0)
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    table.wait(29.9)
    assert table.claim("bench-1", OTHER, machine="pi-2") == "pi-1"
    table.wait(0.2)
    assert isinstance(table.claim("bench-1", OTHER, machine="pi-2"), Claim)


# -- sessions


def test_session_whose_slot_was_over_long_ago_shows_that_it_started_and_nothing_of_it_stays(table: Table) -> None:
    session = table.starting("-", length=60.0, slot_start=table.now - 100_000.0)
    assert [event["state"] for event in table.events(session)] == ["starting"]
    assert 86_000 < table.store.command("TTL", table.store.keys.of("events", session)) <= 86_400


# -- benches


def test_forgotten_bench_leaves_no_calls_behind(table: Table) -> None:
    table.host("bench-1")
    session = table.active("bench-1")
    fence = table.fence(session)
    call = Call(device="bench-1/console", command="write", fence=fence, until=table.now + 5)
    assert isinstance(table.calls.submit(call), Submitted)
    table.reservations.release(session, "bench-1", fence)
    table.report("bench-1/console", dealt_with=10**17)
    table.wait(5.0)  # the host died with the call in its list
    assert table.reservations.forget_bench("bench-1", "pi-1")
    calls = table.store.keys.of("calls", f"bench-1@{table.claims['bench-1']}")
    assert table.store.command("EXISTS", calls) == 0


# -- tasks


@pytest.mark.parametrize("urgent", [True, False])
def test_task_that_ends_with_its_session_leaves_no_id_in_the_queue(lab: TaskLab, urgent: bool) -> None:
    session = lab.session()
    task = submit(lab, session, urgent=urgent)
    lab.begin_ending(session)
    assert lab.kept.stop_all(session) == []
    assert code_of(read(lab, task)) == "session-over"
    assert lab.kept.queued() == 0


def test_word_of_a_tasks_end_says_that_it_was_asked_to_stop(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session)
    lab.begin_ending(session)
    lab.kept.stop_all(session)
    word, kept = lab.kept.wait_end(task, 1.0), read(lab, task)
    assert word is not None
    assert (word.stopping, kept.stopping) == (True, True)


def test_task_that_was_made_urgent_is_urgent_again_when_it_is_given_back(lab: TaskLab) -> None:
    task = submit(lab, lab.session())
    assert lab.kept.make_urgent(task.task_id)
    assert claim(lab) is not None  # but the answer got lost
    lab.kept.next(lab.process.id, "r1", again=True, claim="back")
    news = lab.processes.beat("other:1:aa", first=True, roles="", highest_fence=0, benches={})
    assert news is not None
    assert news.urgent_tasks == 1


def test_task_that_runs_is_not_taken_for_unread_because_another_one_names_it(lab: TaskLab) -> None:
    session, process = lab.session(), dead_process(lab)
    for _ in range(2):  # the first answer came too late, and the second question was dealt with first
        assert lab.kept.next(process, "r1", claim="sleep").word == "empty"
    first = submit(lab, session)
    begun = lab.kept.sleep("r1", "pool", 0.05)
    assert begun is not None
    submit(lab, session, arguments=f'[["{first.task_id}"],{{}}]')
    assert read(lab, first).status == "running"
    kill(lab, process)
    assert code_of(read(lab, first)) == "lost"  # it may have run in part, so it is not given back


@pytest.mark.parametrize("others", [0, 1])
def test_task_that_was_handed_to_a_runner_under_an_old_name_begins_under_the_new_one(lab: TaskLab, others: int) -> None:
    """The store was away for so long that the process was taken for dead, and the read of its runner broke."""
    session, process = lab.session(), dead_process(lab)
    assert lab.kept.next(process, "r1", claim="sleep").word == "empty"
    task = submit(lab, session)
    for _ in range(others):
        submit(lab, session)
    kill(lab, process)
    given = []
    while (found := lab.kept.next(lab.process.id, "r1", again=True, claim="sleep").claimed) is not None:
        given.append(found.task_id)
        assert found.owner == lab.process.id
        assert lab.kept.end(done(found), "r1")
    assert task.task_id in given
    assert len(given) == 1 + others
    assert read(lab, task).status == "done"
    assert lab.kept.bury(process) == []
