"""The scripts of tasks: what is submitted, claimed, ended, lost and forgotten, each in one step."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from labkit import wire
from labkit.errors import SessionLostError, StoreUnavailableError
from labkit.store.connection import Argument, Store
from labkit.store.sessions import EndReason
from labkit.store.tasks import NewTask, TaskEnd, TaskRecord, TaskStatus, TaskStore, problem
from labkit.testing.store import StoreServer
from tests.tasks.task_lab import TaskLab

LOSER = problem("exception", "AlreadyRunningError", "lost the race")


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with StoreServer() as server:
        yield server


@pytest.fixture
def lab(server: StoreServer) -> Iterator[TaskLab]:
    with TaskLab(server.url) as lab:
        yield lab


def submit(lab: TaskLab, session: str, name: str = "work", **fields: Any) -> TaskRecord:
    facts: dict[str, Any] = {
        "task_id": secrets.token_urlsafe(32), "name": name, "session_id": session, "arguments": wire.dumps([[1], {}]),
        "purpose": "request", "fences": {"bench-1": 17, "bench-2": 19}, **fields,
    }  # fmt: skip
    return lab.kept.submit(NewTask(**facts), loser=LOSER)


def claim(lab: TaskLab, runner: str = "r1", end: TaskEnd | None = None) -> TaskRecord | None:
    return lab.kept.next(lab.process.id, runner, end).claimed


def done(task: TaskRecord, result: object = None) -> TaskEnd:
    return TaskEnd(task_id=task.task_id, process=task.owner, status=TaskStatus.DONE, result=wire.dumps(result))


def read(lab: TaskLab, task: TaskRecord) -> TaskRecord:
    found = lab.kept.read(task.task_id)
    assert found is not None
    return found


def code_of(task: TaskRecord) -> str:
    assert task.status == "failed"
    return str(task.value("error")["code"])


def dead_process(lab: TaskLab, name: str = "dead:1:ff") -> str:
    """A process that beats once; `kill` takes its beat away."""
    lab.processes.beat(name, first=True, roles="tasks", highest_fence=0, benches={})
    return name


def kill(lab: TaskLab, process: str) -> None:
    lab.store.command("ZADD", lab.store.keys["processes"], 1000, process)


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


def test_unique_lock_of_a_task_that_can_no_longer_start_is_free(lab: TaskLab) -> None:
    over, session = lab.session(), lab.session()
    old = submit(lab, over, lock="work")
    lab.begin_ending(over)
    new = submit(lab, session, lock="work")
    assert new.status == "submitted"
    taken = claim(lab)
    assert taken is not None
    assert taken.task_id == new.task_id
    assert code_of(read(lab, old)) == "session-over"


def test_task_of_a_session_that_is_over_never_starts(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session)
    lab.sessions.exit(session)  # nobody has begun the ending yet
    assert claim(lab) is None
    assert code_of(read(lab, task)) == "session-over"


@pytest.mark.parametrize("state", ["logged out", "ending", "expired"])
def test_user_who_is_out_may_still_submit_and_it_runs(lab: TaskLab, state: str) -> None:
    session = lab.session()
    if state == "logged out":
        lab.sessions.exit(session)
    elif state == "ending":
        lab.begin_ending(session)
    else:
        lab.expire(session)
    late = submit(lab, session)
    assert lab.kept.stop_all(session) == []
    taken = claim(lab)
    assert taken is not None
    assert taken.task_id == late.task_id
    child = submit(lab, session, purpose="task", parent=late.task_id, owner=lab.process.id)
    assert child.status == "submitted"


def test_task_that_outlives_its_session_starts_no_other(lab: TaskLab) -> None:
    session = lab.session()
    submit(lab, session)
    taken = claim(lab)
    assert taken is not None
    lab.begin_ending(session)
    child = submit(lab, session, purpose="task", parent=taken.task_id, owner=lab.process.id)
    assert code_of(child) == "session-over"


def test_task_that_was_lost_can_submit_nothing(lab: TaskLab) -> None:
    process, session = dead_process(lab), lab.session()
    submit(lab, session)
    taken = lab.kept.next(process, "r1").claimed
    assert taken is not None
    kill(lab, process)
    lab.kept.bury(process)
    with pytest.raises(SessionLostError, match="taken for dead"):
        submit(lab, session, purpose="task", parent=taken.task_id, owner=process)


def test_what_an_ending_submits_runs_while_on_dispose_has_its_time(lab: TaskLab) -> None:
    session = lab.session()
    fence = lab.begin_ending(session, "dispose")
    owner = lab.process.id
    first, second = (submit(lab, session, purpose="ending", owner=owner) for _ in range(2))
    taken = claim(lab)
    assert taken is not None
    assert taken.task_id == first.task_id
    assert submit(lab, session, purpose="ending", parent=taken.task_id, owner=owner).status == "submitted"
    assert lab.kept.unfinished(session, "ending")[:2] == [first.task_id, second.task_id]
    lab.sessions.step(session, owner, fence, "release")
    assert claim(lab, "r2") is None
    assert code_of(read(lab, second)) == "session-over"
    with pytest.raises(SessionLostError):
        submit(lab, session, purpose="ending", owner=owner)


def test_somebody_who_does_not_own_the_ending_submits_nothing_for_it(lab: TaskLab) -> None:
    session = lab.session()
    with pytest.raises(SessionLostError):
        submit(lab, session, purpose="ending", owner=lab.process.id)
    lab.begin_ending(session, "dispose")
    with pytest.raises(SessionLostError):
        submit(lab, session, purpose="ending", owner="other:1:ff")


def test_ending_that_was_taken_over_starts_nothing_more(lab: TaskLab) -> None:
    session, old = lab.session(), dead_process(lab)
    lab.sessions.end(session, EndReason.DISPOSED)
    claimed = lab.sessions.claim_ending(session, old, 60)
    assert not isinstance(claimed, str)
    lab.sessions.step(session, old, int(claimed.fields["fence"]), "dispose")
    task = submit(lab, session, purpose="ending", owner=old)
    kill(lab, old)
    lab.begin_ending(session, "dispose")
    assert claim(lab) is None
    assert code_of(read(lab, task)) == "session-over"


def test_stop_raises_a_flag_and_cancels_nothing(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session)
    assert lab.kept.stop(task.task_id)
    assert (read(lab, task).status, read(lab, task).stopping) == ("submitted", True)
    taken = claim(lab)
    assert taken is not None
    assert lab.kept.is_stopping(task.task_id, lab.process.id)
    lab.kept.end(done(taken), "r1")
    assert not lab.kept.stop(task.task_id)
    assert not lab.kept.stop("unknown")


def test_stopping_is_what_a_process_is_told_that_has_lost_the_task(lab: TaskLab) -> None:
    submit(lab, lab.session())
    taken = claim(lab)
    assert taken is not None
    assert not lab.kept.is_stopping(taken.task_id, lab.process.id)
    assert lab.kept.is_stopping(taken.task_id, "other:1:ff")


def test_all_tasks_of_an_ending_session_are_stopped_and_only_the_running_one_is_waited_for(lab: TaskLab) -> None:
    process, session, other = dead_process(lab), lab.session(), lab.session()
    lost = submit(lab, session)
    assert lab.kept.next(process, "r9").claimed is not None
    running, queued, foreign = submit(lab, session), submit(lab, session), submit(lab, other)
    taken = claim(lab)
    assert taken is not None
    lab.begin_ending(session)
    asked = lab.kept.stop_all(session)
    assert asked == [lost.task_id, running.task_id]
    assert code_of(read(lab, queued)) == "session-over"
    assert not read(lab, foreign).stopping
    kill(lab, process)
    assert lab.kept.wait_unfinished(session, asked, 0.0) == [running.task_id]
    assert code_of(read(lab, lost)) == "lost"
    lab.kept.end(done(taken), "r1")
    assert lab.kept.wait_unfinished(session, asked, 30.0) == []


def test_stopping_all_of_a_live_session_lets_queued_tasks_run(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session)
    assert lab.kept.stop_all(session) == [task.task_id]
    taken = claim(lab)
    assert taken is not None
    assert taken.stopping


def test_queued_task_is_waited_for_only_where_somebody_runs_tasks(lab: TaskLab) -> None:
    session = lab.session()
    task = submit(lab, session)
    assert lab.kept.wait_unfinished(session, [task.task_id], 30.0) == []
    dead_process(lab)
    assert lab.kept.wait_unfinished(session, [task.task_id], 0.0) == [task.task_id]


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


def test_tokens_that_wake_runners_never_outnumber_the_queued_tasks(lab: TaskLab) -> None:
    session = lab.session()
    for _ in range(4):
        submit(lab, session)
    for left in (3, 2, 1, 0):
        claim(lab)
        assert lab.store.command("LLEN", lab.store.keys["task_wake"]) == left


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
