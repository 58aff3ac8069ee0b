"""The scripts of tasks: what is submitted, claimed, ended, lost and forgotten, each in one step."""

from __future__ import annotations

from typing import Any

import pytest

from labkit import wire
from labkit.errors import SessionLostError, StoreUnavailableError
from labkit.store.connection import Argument, Store
from labkit.store.tasks import TaskStore, problem
from tests.store.task_steps import LOSER, claim, code_of, dead_process, done, kill, read, submit
from tests.tasks.own_store import lab as lab
from tests.tasks.task_lab import TaskLab


def test_task_is_queued_then_owned_then_done(lab: TaskLab) -> None:
    session = lab.session()
    new = submit(lab, session)
    assert (new.status, new.name, new.session_id, new.owner) == ("submitted", "work", session, "")
    taken = claim(lab)
    assert taken is not None
    assert (taken.task_id, taken.status, taken.owner) == (new.task_id, "running", lab.process.id)
    assert taken.fences == {"bench-1": 17, "bench-2": 19}
    assert taken.value("arguments") == [[1], {}]
    answer = lab.kept.next(lab.process.id, "r1", done(taken, b"\x00\xff"))
    assert (answer.recorded, answer.word, answer.claimed) == (True, "empty", None)
    ended = read(lab, new)
    assert (ended.status, ended.value("result"), ended.value("error")) == ("done", b"\x00\xff", None)
    assert ended.number("submitted") <= ended.number("started") <= ended.number("ended")
    assert lab.store.command("HGETALL", lab.store.keys["running"]) in ({}, [])


def test_tasks_are_claimed_in_the_order_of_submission_and_each_once(lab: TaskLab) -> None:
    session = lab.session()
    ids = [submit(lab, session).task_id for _ in range(5)]
    taken = [claim(lab, f"r{number}") for number in range(6)]
    assert [task.task_id for task in taken if task is not None] == ids
    assert taken[5] is None
    assert [task.task_id for task in lab.kept.of_session(session)] == ids


def test_task_of_an_unknown_session_is_refused(lab: TaskLab) -> None:
    with pytest.raises(SessionLostError, match="'work' is not known"):
        submit(lab, "nobody")
    assert lab.kept.queued() == 0


def test_submission_that_is_sent_twice_is_one_task(lab: TaskLab) -> None:
    session = lab.session()
    first = submit(lab, session, task_id="x" * 43)
    assert submit(lab, session, task_id="x" * 43) == first
    assert lab.kept.queued() == 1
    assert len(lab.kept.of_session(session)) == 1


class Forgetful(Store):
    """A store whose next answers get lost on the way, after the script ran."""

    lose = 0

    def run(self, script: str, *arguments: Argument) -> Any:
        answer = super().run(script, *arguments)
        if self.lose:
            self.lose -= 1
            raise StoreUnavailableError("the answer got lost")
        return answer


def test_submission_whose_answer_got_lost_is_one_task(lab: TaskLab) -> None:
    store = Forgetful(lab.url, lab.prefix)
    lab.kept = TaskStore(store)
    store.lose = 1
    session = lab.session()
    assert submit(lab, session).status == "submitted"
    assert lab.kept.queued() == 1
    store.close()


def test_claim_whose_answer_got_lost_is_given_again_and_not_left_owned(lab: TaskLab) -> None:
    session = lab.session()
    first, second, third = (submit(lab, session) for _ in range(3))
    other = claim(lab, "r2")
    assert other is not None
    assert other.task_id == first.task_id
    taken = claim(lab)  # r1 gets the answer, and the next one does not
    assert taken is not None
    end = done(taken, 1)
    lab.kept.next(lab.process.id, "r1", end)
    again = lab.kept.next(lab.process.id, "r1", end, again=True)
    assert again.recorded is True
    assert again.claimed is not None
    assert [taken.task_id, again.claimed.task_id] == [second.task_id, third.task_id]
    assert lab.kept.next(lab.process.id, "r2", done(other), again=True).word == "empty"


def test_process_that_counts_as_gone_gets_nothing(lab: TaskLab) -> None:
    submit(lab, lab.session())
    assert lab.kept.next("nobody:1:ff", "r1").word == "gone"
    assert lab.kept.queued() == 1


def test_end_that_comes_after_the_burial_is_dropped(lab: TaskLab) -> None:
    process, session = dead_process(lab), lab.session()
    submit(lab, session)
    taken = lab.kept.next(process, "r1").claimed
    assert taken is not None
    assert lab.kept.bury(process) is None  # it is alive
    kill(lab, process)
    assert lab.kept.bury(process) == [taken.task_id]
    assert lab.kept.bury(process) == []
    answer = lab.kept.next(lab.process.id, "r1", done(taken, "late"))
    assert (answer.recorded, answer.word) == (False, "empty")
    assert code_of(read(lab, taken)) == "lost"
    assert read(lab, taken).value("error")["class"] == "TaskLostError"
    assert lab.store.command("ZSCORE", lab.store.keys["processes"], process) is None
    assert lab.store.command("HGET", lab.store.keys["roles"], process) is None


def test_nobody_sees_a_dead_task_running(lab: TaskLab) -> None:
    process, session = dead_process(lab), lab.session()
    taken_by_read, taken_by_list = submit(lab, session), submit(lab, session)
    for runner in "ab":
        assert lab.kept.next(process, runner).claimed is not None
    kill(lab, process)
    assert code_of(read(lab, taken_by_read)) == "lost"
    assert [code_of(task) for task in lab.kept.of_session(session)] == ["lost", "lost"]
    assert read(lab, taken_by_list).finished


def test_unique_lock_is_held_from_submission_to_the_end(lab: TaskLab) -> None:
    session = lab.session()
    first = submit(lab, session, lock="work")
    assert read(lab, submit(lab, session, lock="work")).value("error") == wire.loads(LOSER)
    taken = claim(lab)
    assert taken is not None
    assert submit(lab, session, lock="work").status == "failed"
    assert submit(lab, session, lock="other").status == "submitted"
    lab.kept.end(done(taken), "r1")
    assert submit(lab, session, lock="work").status == "submitted"
    assert read(lab, first).status == "done"


@pytest.mark.parametrize("buried_first", [True, False], ids=["buried-first", "submitted-first"])
def test_unique_lock_of_a_dead_owner_is_free_and_its_task_lost(lab: TaskLab, buried_first: bool) -> None:
    process, session = dead_process(lab), lab.session()
    old = submit(lab, session, lock="work")
    assert lab.kept.next(process, "r1").claimed is not None
    kill(lab, process)
    if buried_first:
        lab.kept.bury(process)
        new = submit(lab, session, lock="work")
    else:
        new = submit(lab, session, lock="work")
        assert lab.store.command("HGET", lab.store.keys["running"], old.task_id) is None  # before anybody buries
        lab.kept.bury(process)
    assert code_of(read(lab, old)) == "lost"
    assert new.status == "submitted"
    assert submit(lab, session, lock="work").status == "failed"
    taken = claim(lab)
    assert taken is not None
    assert taken.task_id == new.task_id


def test_ended_task_is_kept_as_long_as_its_session(lab: TaskLab) -> None:
    session = lab.session()
    submit(lab, session)
    taken = claim(lab)
    assert taken is not None
    lab.kept.end(done(taken), "r1")
    key = lab.store.keys.of("task", taken.task_id)
    assert lab.store.command("TTL", key) == -1
    lab.expire(session, keep=50)
    assert 0 < lab.store.command("TTL", key) <= 50
    late = submit(lab, session)
    assert lab.store.command("TTL", lab.store.keys.of("task", late.task_id)) == -1  # it still has to be done
    again = claim(lab)
    assert again is not None
    lab.kept.end(done(again), "r1")
    assert 0 < lab.store.command("TTL", lab.store.keys.of("task", late.task_id)) <= 50
    assert 0 < lab.store.command("TTL", lab.store.keys.of("session_tasks", session)) <= 50


def test_list_of_a_session_that_is_expired_has_an_end_also_when_its_first_task_comes_late(lab: TaskLab) -> None:
    session = lab.session()
    lab.expire(session, keep=50)
    submit(lab, session)
    assert 0 < lab.store.command("TTL", lab.store.keys.of("session_tasks", session)) <= 50


def test_task_that_is_forgotten_reads_as_none(lab: TaskLab) -> None:
    assert lab.kept.read("unknown") is None
    assert lab.kept.of_session("unknown") == []


def test_data_is_written_only_by_the_process_that_runs_the_task(lab: TaskLab) -> None:
    task = submit(lab, lab.session())
    assert lab.kept.store_data(task.task_id, lab.process.id, '{"a":1}') is None
    claim(lab)
    assert lab.kept.store_data(task.task_id, "other:1:ff", '{"a":2}') is None
    stored = lab.kept.store_data(task.task_id, lab.process.id, '{"a":3}')
    assert stored is not None
    assert stored.value("data") == {"a": 3}
    assert read(lab, task).value("data") == {"a": 3}


def test_session_feed_shows_what_happens_to_its_tasks(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session, name="program")
    taken = claim(lab)
    assert taken is not None
    assert lab.kept.tell(task.task_id, lab.process.id, "progress", '{"part":0.4}')
    assert lab.kept.tell(task.task_id, lab.process.id, "log", '"writing"')
    assert not lab.kept.tell(task.task_id, "other:1:ff", "log", '"late"')
    lab.kept.end(done(taken), "r1")
    seen = [fields for _, fields in lab.sessions.events(session, "0-0", 1.0) if b"task" in {k.encode() for k in fields}]
    assert {fields["task"].decode() for fields in seen} == {task.task_id}
    told = [
        next(part.decode() for name in ("status", "progress", "log") if (part := fields.get(name))) for fields in seen
    ]
    assert told == ["submitted", "running", '{"part":0.4}', '"writing"', "done"]


def test_task_is_withdrawn_only_while_nobody_has_picked_it_up(lab: TaskLab) -> None:
    session = lab.session()
    first, second = submit(lab, session), submit(lab, session)
    claim(lab)
    assert not lab.kept.withdraw(first.task_id, problem("no-runner"))
    assert lab.kept.withdraw(second.task_id, problem("no-runner"))
    assert code_of(read(lab, second)) == "no-runner"
    assert lab.kept.queued() == 0


def test_dead_ids_at_the_head_of_the_queue_hold_up_nobody(lab: TaskLab) -> None:
    over, session = lab.session(), lab.session()
    for _ in range(600):
        submit(lab, over)
    lab.begin_ending(over)
    task = submit(lab, session)
    first = lab.kept.next(lab.process.id, "r1")
    assert (first.word, first.claimed) == ("more", None)
    taken = claim(lab)
    assert taken is not None
    assert taken.task_id == task.task_id


def test_urgent_task_is_claimed_first_and_may_be_the_only_kind_that_is(lab: TaskLab) -> None:
    session = lab.session()
    plain, urgent = submit(lab, session), submit(lab, session, urgent=True)
    assert lab.kept.queued() == 2
    first = lab.kept.next(lab.process.id, "r1", claim="urgent").claimed
    assert first is not None
    assert first.task_id == urgent.task_id
    assert lab.kept.next(lab.process.id, "r2", claim="urgent").word == "empty"
    second = claim(lab, "r2")
    assert second is not None
    assert second.task_id == plain.task_id


def test_withdrawn_task_is_in_no_queue(lab: TaskLab) -> None:
    session = lab.session()
    for urgent in (True, False):
        task = submit(lab, session, urgent=urgent)
        assert lab.kept.withdraw(task.task_id, LOSER)
    assert lab.kept.queued() == 0


def test_beat_says_how_many_tasks_are_urgent(lab: TaskLab) -> None:
    session = lab.session()
    for urgent in (True, False, False):
        submit(lab, session, urgent=urgent)
    news = lab.processes.beat("other:1:aa", first=True, roles="", highest_fence=0, benches={})
    assert news is not None
    assert (news.queued_tasks, news.urgent_tasks) == (3, 1)
