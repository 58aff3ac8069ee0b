"""What the task scripts do, each as one step on the store and on the model; and the runners that take tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit import wire
from labkit.errors import SessionLostError
from labkit.store.tasks import NewTask, TaskEnd, TaskRecord, TaskStatus, problem
from tests.model.facts import Task
from tests.model.lab import Lab
from tests.model.seen import Seen

LOSER = problem("loser")
WITHDRAWN = problem("withdrawn")
GIVEN_UP = problem("timeout")
CODES = {"exception": "no-lock"}
"""The one code of the scripts' errors that says too little: a task that found its lock in other hands."""


@dataclass
class Runner:
    """A thread that runs tasks. task: what it runs, '' nothing; owner: under which name of its process it got that.

    again: it slept, or an answer got lost, so that it may have been given what it does not know of. told: how its last
    task ended, until the store has it. asked_as: the name of its process when it asked last.
    """

    id: str
    slot: int
    task: str = ""
    owner: str = ""
    again: bool = False
    told: TaskEnd | None = None
    asked_as: str = ""


class TaskSteps:
    """The steps, and what has really begun: `begun` has each task that a runner ran, once."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.ids: list[str] = []
        self.begun: set[str] = set()

    def task(self, name: str) -> Task | None:
        return self.lab.facts.tasks.get(name)

    # -- submission

    def submit(
        self, session: str, purpose: str, *, lock: str = "", urgent: bool = False, parent: str = "", owner: str = "",
        about: Sequence[str] = (), twice: bool = False,
    ) -> None:  # fmt: skip
        """about: ids of other tasks, as its arguments."""
        lab, name = self.lab, f"task-{len(self.ids)}."
        self.ids.append(name)
        new = NewTask(
            task_id=name, name="work", session_id=session, arguments=wire.dumps([list(about), {}]), purpose=purpose,
            fences={}, parent=parent, owner=owner, lock=lock, urgent=urgent,
        )  # fmt: skip
        refused = self._refused(session, purpose, parent, owner)
        try:
            record = lab.tasks.submit(new, loser=LOSER)
        except SessionLostError:
            assert refused, "a task was refused"
            return
        assert not refused, f"a task was taken that has to be refused: {refused}"
        self._written(name, new)
        task = lab.facts.tasks[name]
        assert (record.status, code(record)) == ("submitted" if not task.code else "failed", task.code)
        if twice:
            self._same(name, lab.tasks.submit(new, loser=LOSER), waits_as="running")

    def _refused(self, session: str, purpose: str, parent: str, owner: str) -> str:
        s, by = self.lab.facts.sessions.get(session), self.task(parent)
        if s is None:
            return "unknown session"
        if parent and not (by is not None and (by.status, by.owner) == ("running", owner)):
            return "its parent does not run there"
        if purpose == "ending":
            here = s.state == "ending" and s.step == "dispose"
            mine = by.under == s.fence if by is not None else s.owner == owner
            return "" if here and mine else "its ending is another's"
        return ""

    def _written(self, name: str, new: NewTask) -> None:
        lab, facts, by = self.lab, self.lab.facts, self.task(new.parent)
        s = facts.sessions[new.session_id]
        task = Task(session=new.session_id, purpose=new.purpose, lock=new.lock, urgent=new.urgent)
        if new.purpose == "ending":
            task.under = s.fence
        else:
            live = s.state == "starting" or (s.state == "active" and not s.over(lab.now))
            task.late = not live and (by.late if by is not None else new.purpose == "request")
        s.tasks.append(name)
        facts.tasks[name] = task
        if not facts.may_start(task, lab.now):
            facts.end(name, "failed", "session-over")
            return
        if new.lock:
            if facts.holder(new.lock, lab.now):
                facts.end(name, "failed", "loser")
                return
            before = facts.unique.get(new.lock, "")
            if before in facts.tasks and facts.tasks[before].status == "running":
                facts.end(before, "failed", "lost")
            facts.unique[new.lock] = name
        if not facts.hand_over(name, lab.now):
            (facts.urgent if new.urgent else facts.queue).append(name)

    # -- runners

    def ask(self, runner: Runner, process: str, claim: str, *, lost: bool = False) -> None:
        """A runner asks for a task, and tells how its last one ended. lost: the answer does not come back."""
        lab, told = self.lab, runner.told
        runner.asked_as = process
        answer = lab.tasks.next(process, runner.id, told, again=runner.again, claim=claim)
        assert answer.recorded is (None if told is None else self._ends(told, runner.id))
        word, name = self._claims(runner, process, claim, told.task_id if told else "")
        assert answer.word == word
        if lost:
            runner.again = True
            return
        runner.told = None
        runner.again = claim == "sleep" and word == "empty"
        if word == "claimed":
            assert answer.claimed is not None
            assert answer.claimed.task_id == name
            assert answer.claimed.owner == process, "a task begins in the name of a process that is gone"
            self._begins(runner, name)
        else:
            assert answer.claimed is None

    def _ends(self, told: TaskEnd, runner: str) -> bool:
        """The end of a task is told; does it count?"""
        task = self.task(told.task_id)
        if task is not None and (task.status, task.owner) == ("running", told.process):
            failed = told.status is TaskStatus.FAILED
            self.lab.facts.end(told.task_id, told.status.value, "timeout" if failed else "", told.result, runner)
            return True
        return task is not None and (task.runner, task.status) == (runner, told.status.value)

    def _claims(self, runner: Runner, process: str, claim: str, last: str) -> tuple[str, str]:
        """What a runner is told, and the task that it is given."""
        facts, lab = self.lab.facts, self.lab
        if runner.again:
            facts.sleeping = [sleeper for sleeper in facts.sleeping if sleeper != (runner.id, process)]
            mine = [
                name for name, task in facts.tasks.items()
                if (task.status, task.owner, task.runner) == ("running", process, runner.id) and name != last
            ]  # fmt: skip
            if claim == "back":
                for name in mine:
                    facts.give_back(name)
            elif mine and lab.alive(process):
                assert len(mine) == 1
                facts.read_by(runner.id, mine[0])
                return "claimed", mine[0]
        if claim == "back":
            return "empty", ""
        if not lab.alive(process):
            return "gone", ""
        while True:
            found = self._first(claim)
            while found and not self._starts(found):
                found = self._first(claim)
            if found:
                facts.own(found, process, runner.id)
                return "claimed", found
            if claim != "sleep":
                return "empty", ""
            waiting = facts.handed.get(runner.id, [])
            if not waiting:
                facts.sleeping.append((runner.id, process))
                return "empty", ""
            if facts.tasks[waiting[0]].owner == process:
                return "claimed", waiting.pop(0)
            facts.give_back(waiting[0])

    def _first(self, claim: str) -> str:
        facts = self.lab.facts
        if facts.urgent:
            return facts.urgent.pop(0)
        return facts.queue.pop(0) if facts.queue and claim != "urgent" else ""

    def _starts(self, name: str) -> bool:
        facts, task = self.lab.facts, self.lab.facts.tasks[name]
        if not facts.may_start(task, self.lab.now):
            facts.end(name, "failed", "session-over")
            return False
        if task.lock and facts.unique.get(task.lock) != name:
            facts.end(name, "failed", "no-lock")
            return False
        return True

    def wake(self, runner: Runner, *, broken: bool = False) -> None:
        """A sleeping runner's blocking read brings what it was handed. broken: its connection breaks as it comes."""
        record = self.lab.tasks.sleep(runner.id, f"pool-{runner.slot}", 0.01)
        waiting = self.lab.facts.handed.get(runner.id, [])
        if not waiting:
            assert record is None
            return
        name = waiting.pop(0)
        assert record is not None
        assert (record.task_id, record.status) == (name, "running")
        if not broken:
            runner.again = False
            self._begins(runner, name, record.owner)

    def _begins(self, runner: Runner, name: str, owner: str = "") -> None:
        assert name not in self.begun, "a task began twice"
        self.begun.add(name)
        runner.task, runner.owner = name, owner or runner.asked_as

    def ends(self, runner: Runner, result: str) -> None:
        """What a runner runs comes to its end, of which the store does not know yet."""
        runner.told = TaskEnd(
            task_id=runner.task, process=runner.owner, status=TaskStatus.DONE, result=wire.dumps(result)
        )
        runner.task = ""

    def tell_end(self, runner: Runner) -> None:
        """Only tell how the last task ended."""
        told = runner.told
        assert told is not None
        assert self.lab.tasks.end(told, runner.id) is self._ends(told, runner.id)
        runner.told = None

    def give_up(self, runner: Runner) -> None:
        """A task is over its timeout and does not end: it has failed, whatever it does."""
        end = TaskEnd(task_id=runner.task, process=runner.owner, status=TaskStatus.FAILED, error=GIVEN_UP)
        assert self.lab.tasks.end(end, "") is self._ends(end, "")

    # -- what anybody does with tasks

    def read(self, name: str) -> None:
        record = self.lab.tasks.read(name)
        if self.task(name) is None:
            assert record is None
            return
        self.lab.facts.settle(name, self.lab.now)
        assert record is not None
        self._same(name, record)

    def _same(self, name: str, record: TaskRecord, waits_as: str = "submitted") -> None:
        """A record is as the model says; what its runner has not read yet is shown as submitted."""
        task = self.lab.facts.tasks[name]
        status = waits_as if task.status == "running" and self.lab.facts.unread(name) else task.status
        assert (record.status, code(record)) == (status, task.code)
        assert (record.fields.get("result") or "") == task.result

    def stop(self, name: str) -> None:
        task = self.task(name)
        goes_on = task is not None and task.status in ("submitted", "running")
        assert self.lab.tasks.stop(name) is goes_on
        if task is not None and goes_on:
            task.stop = True

    def stop_all(self, session: str) -> None:
        facts, s, asked = self.lab.facts, self.lab.facts.sessions.get(session), []
        found = self.lab.tasks.stop_all(session)
        for name in s.tasks if s else []:
            task = facts.tasks.get(name)
            if task is None or task.status not in ("submitted", "running") or task.purpose == "ending" or task.late:
                continue
            task.stop = True
            if task.status == "submitted" and not facts.may_start(task, self.lab.now):
                facts.end(name, "failed", "session-over")
            else:
                asked.append(name)
        assert found == asked

    def pending(self, session: str, names: list[str]) -> None:
        facts, now = self.lab.facts, self.lab.now
        found = self.lab.tasks.wait_unfinished(session, names, 0.0)
        runners = any("tasks" in roles.split() and facts.alive(name, now) for name, roles in facts.roles.items())
        expected = []
        for name in names:
            task = facts.tasks.get(name)
            if task is not None and task.session == session:
                facts.settle(name, now)
                if task.status == "running" or (task.status == "submitted" and runners and facts.may_start(task, now)):
                    expected.append(name)
        assert found == expected

    def withdraw(self, name: str) -> None:
        task = self.task(name)
        waits = task is not None and task.status == "submitted"
        assert self.lab.tasks.withdraw(name, WITHDRAWN) is waits
        if waits:
            self.lab.facts.end(name, "failed", "withdrawn")

    def make_urgent(self, name: str) -> None:
        facts = self.lab.facts
        queued = name in facts.queue
        assert self.lab.tasks.make_urgent(name) is queued
        if queued:
            facts.queue.remove(name)
            facts.urgent.append(name)
            facts.tasks[name].urgent = True

    def tell(self, name: str, process: str) -> None:
        """A task shows how far it is, stores its data, asks whether to stop: only where it runs."""
        task = self.task(name)
        runs = task is not None and (task.status, task.owner) == ("running", process)
        assert self.lab.tasks.tell(name, process, "progress", "0.5") is runs
        assert (self.lab.tasks.store_data(name, process, "{}") is not None) is runs
        assert self.lab.tasks.is_stopping(name, process) is (not runs or (task is not None and task.stop))

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of tasks is what the model says: each is queued or owned or over, nothing between."""
        facts = self.lab.facts
        kept = seen.family("task")
        assert set(kept) == set(facts.tasks)
        for name, task in facts.tasks.items():
            record = seen.hash(kept[name])
            error = record.get("error")
            said = str(wire.loads(error)["code"]) if error else ""
            assert record["status"] == task.status
            assert (CODES.get(said, said), record.get("result", "")) == (task.code, task.result)
            assert (record.get("stop") == "1", record.get("owner", "")) == (task.stop, task.owner)
            s = facts.sessions.get(task.session)
            over = task.status in ("done", "failed") and (s is None or s.state == "expired")
            assert (seen.ttl(kept[name]) != -1) is over, f"{name} is kept for {seen.ttl(kept[name])} s"
        assert seen.list("queue") == facts.queue
        assert seen.list("urgent") == facts.urgent
        assert seen.list("sleeping") == [" ".join(sleeper) for sleeper in facts.sleeping]
        assert seen.hash("unique") == facts.unique
        running = {name: task.owner for name, task in facts.tasks.items() if task.status == "running"}
        assert seen.hash("running") == running
        handed = {runner: seen.list(key) for runner, key in seen.family("handed").items()}
        assert {runner: [item.split("\0")[1] for item in items] for runner, items in handed.items()} == {
            runner: names for runner, names in facts.handed.items() if names
        }
        for key in (*seen.family("task_done").values(), *seen.family("runner_wake").values()):
            assert seen.ttl(key) != -1
        for name, s in facts.sessions.items():
            assert seen.list(f"session_tasks:{name}") == s.tasks
        self._one_place(running)

    def _one_place(self, running: dict[str, str]) -> None:
        facts = self.lab.facts
        places = [*facts.queue, *facts.urgent, *running]
        assert len(places) == len(set(places))
        assert set(places) == {name for name, task in facts.tasks.items() if task.status in ("submitted", "running")}


def code(record: TaskRecord) -> str:
    found = record.value("error")
    said = str(found["code"]) if found else ""
    return CODES.get(said, said)
