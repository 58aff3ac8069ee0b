"""Tasks that are handed to sleeping runners: whose they are at every moment, whoever stops, dies or is slow."""

from __future__ import annotations

import pytest

from labkit.store.scripts import script_source
from labkit.store.tasks import END_WORD_KEPT, TaskRecord
from tests.store.task_steps import LOSER, claim, code_of, dead_process, done, kill, read, submit
from tests.tasks.own_store import lab as lab
from tests.tasks.task_lab import TaskLab


def fall_asleep(lab: TaskLab, runner: str, process: str = "") -> None:
    assert lab.kept.next(process or lab.process.id, runner, claim="sleep").word == "empty"


def handed(lab: TaskLab, runner: str) -> TaskRecord | None:
    """What a sleeping runner wakes up to."""
    return lab.kept.sleep(runner, "pool", 0.05)


def owner(lab: TaskLab, task: TaskRecord) -> str:
    """Whose a task is, read or not."""
    return str((lab.store.command("HGET", lab.store.keys["running"], task.task_id) or b"").decode())


def again(lab: TaskLab, runner: str, kind: str = "any") -> TaskRecord | None:
    return lab.kept.next(lab.process.id, runner, again=True, claim=kind).claimed


def test_task_is_a_sleeping_runners_before_it_wakes_up(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    new = submit(lab, lab.session())
    assert new.status == "submitted"  # as of its submission
    assert lab.kept.queued() == 0
    waits = read(lab, new)
    assert (waits.status, waits.owner, waits.number("started")) == ("submitted", "", 0.0)  # it surely has not begun
    assert owner(lab, new) == lab.process.id
    woken = handed(lab, "r1")
    assert woken == read(lab, new)
    assert woken is not None
    assert (woken.status, woken.owner) == ("running", lab.process.id)
    assert woken.value("arguments") == [[1], {}]
    assert woken.fences == {"bench-1": 17, "bench-2": 19}
    assert lab.kept.end(done(woken, 5), "r1")
    assert read(lab, new).value("result") == 5


def test_each_sleeper_is_handed_one_task_and_the_rest_is_queued(lab: TaskLab) -> None:
    session = lab.session()
    for runner in ("r1", "r2"):
        fall_asleep(lab, runner)
    tasks = [submit(lab, session) for _ in range(3)]
    assert lab.kept.queued() == 1
    woken = [handed(lab, runner) for runner in ("r2", "r1")]
    assert woken == [read(lab, task) for task in tasks[:2]]
    last = claim(lab, "r3")
    assert last is not None
    assert last.task_id == tasks[2].task_id


def test_runner_that_claims_again_sleeps_no_more(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    assert again(lab, "r1") is None
    submit(lab, lab.session())
    assert (lab.kept.queued(), handed(lab, "r1")) == (1, None)


def test_nothing_is_handed_to_a_process_that_is_gone(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    process = dead_process(lab)
    fall_asleep(lab, "r2", process)
    kill(lab, process)
    task = submit(lab, lab.session())
    assert owner(lab, task) == lab.process.id
    assert handed(lab, "r1") is not None


def test_runner_that_was_kicked_as_it_was_handed_a_task_is_given_it(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    task = submit(lab, lab.session())
    given = again(lab, "r1", "sleep")
    assert given is not None
    assert (given.task_id, given.status) == (task.task_id, "running")
    assert handed(lab, "r1") is None


def test_task_whose_way_to_the_runner_broke_is_given_it_again(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    task = submit(lab, lab.session())
    assert handed(lab, "r1") is not None  # and the connection broke
    given = again(lab, "r1", "sleep")
    assert given is not None
    assert given.task_id == task.task_id


@pytest.mark.parametrize("urgent", [True, False])
def test_task_that_is_given_back_is_the_first_of_its_queue(lab: TaskLab, urgent: bool) -> None:
    session = lab.session()
    fall_asleep(lab, "r1")
    tasks = [submit(lab, session, urgent=urgent) for _ in range(2)]
    assert again(lab, "r1", "back") is None
    given_back = read(lab, tasks[0])
    assert (given_back.status, given_back.owner, given_back.number("started")) == ("submitted", "", 0.0)
    news = lab.processes.beat("other:1:aa", first=True, roles="", highest_fence=0, benches={})
    assert news is not None
    assert (news.queued_tasks, news.urgent_tasks) == (2, 2 * urgent)
    taken = claim(lab, "r2")
    assert taken is not None
    assert taken.task_id == tasks[0].task_id


def test_runner_that_counts_as_asleep_twice_gets_its_second_task_before_it_sleeps_again(lab: TaskLab) -> None:
    session = lab.session()
    for _ in range(2):  # the first answer came too late, and the second question was dealt with first
        fall_asleep(lab, "r1")
    first, second = submit(lab, session), submit(lab, session)
    woken = handed(lab, "r1")
    assert woken is not None
    assert woken.task_id == first.task_id
    following = lab.kept.next(lab.process.id, "r1", done(woken), claim="sleep").claimed
    assert following is not None
    assert following.task_id == second.task_id


@pytest.mark.parametrize("by", ["burial", "reading", "waiting"])
def test_task_that_a_killed_process_has_not_read_is_queued_again(lab: TaskLab, by: str) -> None:
    process, session = dead_process(lab), lab.session()
    fall_asleep(lab, "r1", process)
    task = submit(lab, session)
    kill(lab, process)
    if by == "burial":
        assert lab.kept.bury(process) == []
    elif by == "waiting":
        lab.kept.wait_unfinished(session, [task.task_id], 0.0)
    assert read(lab, task).status == "submitted"
    assert lab.kept.bury(process) == []
    taken = claim(lab, "r2")
    assert taken is not None
    assert taken.task_id == task.task_id
    assert handed(lab, "r1") is None


def test_burial_forgets_who_slept_in_that_process_only(lab: TaskLab) -> None:
    process = dead_process(lab)
    fall_asleep(lab, "r1", process)
    fall_asleep(lab, "r2")
    kill(lab, process)
    assert lab.kept.bury(process) == []
    assert lab.store.command("LRANGE", lab.store.keys["sleeping"], 0, -1) == [f"r2 {lab.process.id}".encode()]


@pytest.mark.parametrize("buried", [True, False])
def test_task_that_a_killed_process_has_read_is_lost(lab: TaskLab, buried: bool) -> None:
    process = dead_process(lab)
    fall_asleep(lab, "r1", process)
    task = submit(lab, lab.session())
    assert handed(lab, "r1") is not None
    kill(lab, process)
    if buried:
        assert lab.kept.bury(process) == [task.task_id]
    assert code_of(read(lab, task)) == "lost"


def test_unique_lock_of_a_task_that_nobody_has_read_is_held(lab: TaskLab) -> None:
    process, session = dead_process(lab), lab.session()
    fall_asleep(lab, "r1", process)
    task = submit(lab, session, lock="work")
    kill(lab, process)
    assert code_of(submit(lab, session, lock="work")) == "exception"
    assert read(lab, task).status == "submitted"
    assert claim(lab) is not None


def test_word_of_an_end_brings_the_task_to_every_waiter(lab: TaskLab) -> None:
    task = submit(lab, lab.session())
    assert lab.kept.wait_end(task, 0.05) is None
    taken = claim(lab)
    assert taken is not None
    assert lab.kept.store_data(task.task_id, lab.process.id, '{"a":1}') is not None
    lab.kept.end(done(taken, "ended"), "r1")
    for _ in range(2):
        ended = lab.kept.wait_end(task, 1.0)
        assert ended is not None
        assert (ended.status, ended.value("result"), ended.value("data")) == ("done", "ended", {"a": 1})
        assert ended.number("ended") == read(lab, task).number("ended")


def test_script_keeps_that_word_as_long_as_those_who_wait_rely_on() -> None:
    assert f"local DONE_KEPT = {END_WORD_KEPT:.0f} " in script_source("task_next")


def test_result_that_is_long_does_not_go_with_the_word(lab: TaskLab) -> None:
    task = submit(lab, lab.session())
    taken = claim(lab)
    assert taken is not None
    lab.kept.end(done(taken, "x" * 20_000), "r1")
    assert lab.kept.wait_end(task, 1.0) is None
    assert read(lab, task).value("result") == "x" * 20_000


def test_withdrawing_a_task_that_was_handed_over_is_refused(lab: TaskLab) -> None:
    fall_asleep(lab, "r1")
    task = submit(lab, lab.session())
    assert not lab.kept.withdraw(task.task_id, LOSER)
    assert handed(lab, "r1") is not None
