"""Tasks and the life of their session: what may start, what is stopped, what is waited for."""

from __future__ import annotations

import pytest

from labkit.errors import SessionLostError
from labkit.store.sessions import EndReason
from tests.store.task_steps import claim, code_of, dead_process, done, kill, read, submit
from tests.tasks.own_store import lab as lab
from tests.tasks.task_lab import TaskLab


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
