"""What the runners of tasks do, each as one step on the store and on the model: ask, sleep, be handed, tell the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from labkit import wire
from labkit.store.tasks import LOST, TaskEnd, TaskStatus, problem
from tests.model.facts import Task
from tests.model.lab import Lab

GIVEN_UP = problem("timeout")


@dataclass
class Runner:
    """A thread that runs tasks. task: what it runs, '' nothing; owner: under which name of its process it got that.

    again: it slept, or an answer got lost, so that it may have been given what it does not know of. late: such a
    question may come to the store only after the next one. told: how its last task ended, until the store has it.
    asked_as: the name of its process when it asked last. answered: how many of its questions were.
    """

    id: str
    slot: int
    body: int = 0
    """The process as the kernel knows it: it may take a new name, and has its memory all the while."""
    task: str = ""
    owner: str = ""
    again: bool = False
    late: bool = False
    told: TaskEnd | None = None
    asked_as: str = ""
    answered: int = 0


class RunnerSteps:
    """The steps, and what has really begun: each task once, but where the store has lost that it was claimed."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.begun: dict[str, tuple[int, Runner]] = {}
        """Each task that ever began -> how often the store had gone back by then, and who ran it."""
        self.astray: set[str] = set()
        """Tasks that a question has claimed which came to the store too late for its runner to hear of them."""

    def task(self, name: str) -> Task | None:
        return self.lab.facts.tasks.get(name)

    def ask(self, runner: Runner, process: str, claim: str, *, answer: str = "") -> None:
        """A runner asks for a task, and tells how its last one ended. answer: 'lost': the store's does not come back;
        'hung': the store carries the question out only later."""
        told, again = runner.told, runner.again
        runner.asked_as = process
        if answer:
            runner.again = runner.late = True
            question = partial(self._comes_late, runner, process, claim, told, again, runner.answered)
            self.lab.hung.append(question) if answer == "hung" else question()
            return
        word, name = self._asks(runner, process, claim, told, again)
        runner.told = None
        runner.answered += 1
        late, runner.late = runner.late, False
        runner.again = late or (claim == "sleep" and word == "empty")
        if word == "claimed":
            self._begins(runner, name)

    def _comes_late(
        self, runner: Runner, process: str, claim: str, told: TaskEnd | None, again: bool, answered: int
    ) -> None:  # fmt: skip
        """A question is carried out whose answer nobody hears: at once, after the next one, or far too late."""
        _, name = self._asks(runner, process, claim, told, again)
        if runner.answered > answered + 1:
            self.astray.add(name)

    def _asks(self, runner: Runner, process: str, claim: str, told: TaskEnd | None, again: bool) -> tuple[str, str]:
        answer = self.lab.tasks.next(process, runner.id, told, again=again, claim=claim)
        assert answer.recorded is (None if told is None else self._ends(told, runner.id))
        given = answer.claimed.task_id if answer.claimed else ""
        word, name = self._claims(runner.id, process, claim, told.task_id if told else "", given, again=again)
        assert answer.word == word
        if word == "claimed":
            assert answer.claimed is not None
            assert answer.claimed.task_id == name
            assert answer.claimed.owner == process, "a task begins in the name of a process that is gone"
        else:
            assert answer.claimed is None
        return word, name

    def _ends(self, told: TaskEnd, runner: str) -> bool:
        """The end of a task is told; does it count?"""
        task = self.task(told.task_id)
        if task is not None and (task.status, task.owner) == ("running", told.process):
            code = str(wire.loads(told.error)["code"]) if told.error else ""
            self.lab.facts.end(told.task_id, self.lab.now, told.status.value, code, told.result, runner)
            return True
        return task is not None and (task.runner, task.status) == (runner, told.status.value)

    def _claims(self, runner: str, process: str, claim: str, last: str, given: str, *, again: bool) -> tuple[str, str]:
        """What a runner is told, and the task that it is given; where several are its own, `given`, any of them."""
        facts, lab = self.lab.facts, self.lab
        if again:
            facts.sleeping = [sleeper for sleeper in facts.sleeping if sleeper != (runner, process)]
            mine = [name for name in self._given_to(runner, process) if name != last]
            if claim == "back":
                for name in mine:
                    facts.give_back(name, lab.now)
            elif mine and lab.alive(process):
                name = given if given in mine else mine[0]
                facts.read_by(runner, name)
                return "claimed", name
        if claim == "back":
            return "empty", ""
        if not lab.alive(process):
            self.astray.update(
                self._given_to(runner, process)
            )  # it asks under another name now, and that one is buried
            return "gone", ""
        while True:
            found = self._first(claim)
            while found and not self._starts(found):
                found = self._first(claim)
            if found:
                facts.own(found, process, runner, lab.now)
                return "claimed", found
            if claim != "sleep":
                return "empty", ""
            waiting = facts.handed.get(runner, [])
            if not waiting:
                facts.sleeping.append((runner, process))
                return "empty", ""
            if facts.tasks[waiting[0]].owner == process:
                return "claimed", waiting.pop(0)
            facts.give_back(waiting[0], lab.now)

    def _given_to(self, runner: str, process: str) -> list[str]:
        tasks = self.lab.facts.tasks.items()
        return [name for name, t in tasks if (t.status, t.owner, t.runner) == ("running", process, runner)]

    def _first(self, claim: str) -> str:
        facts = self.lab.facts
        if facts.urgent:
            return facts.urgent.pop(0)
        return facts.queue.pop(0) if facts.queue and claim != "urgent" else ""

    def _starts(self, name: str) -> bool:
        facts, task = self.lab.facts, self.lab.facts.tasks[name]
        if not facts.may_start(task, self.lab.now):
            facts.end(name, self.lab.now, "failed", "session-over")
            return False
        if task.lock and facts.unique.get(task.lock) != name:
            facts.end(name, self.lab.now, "failed", "no-lock")
            return False
        return True

    def wake(self, runner: Runner, *, broken: bool = False) -> None:
        """A sleeping runner's blocking read brings what it was handed. broken: its connection breaks as it comes."""
        pool, facts = f"pool-{runner.slot}", self.lab.facts
        record = self.lab.tasks.sleep(runner.id, pool, 0.01)
        waiting = facts.handed.get(runner.id, [])
        if not waiting:
            assert record is None
            facts.kicks[pool] = max(0, facts.kicks.get(pool, 0) - 1)
            return
        name = waiting.pop(0)
        assert record is not None
        assert (record.task_id, record.status) == (name, "running")
        if not broken:
            runner.again = runner.late
            runner.late = False
            self._begins(runner, name, record.owner)

    def kick(self, slot: int, runners: int) -> None:
        """The sleepers of one process are woken, without a task for them."""
        pool = f"pool-{slot}"
        self.lab.tasks.kick(pool, runners)
        self.lab.facts.kicks[pool] = self.lab.facts.kicks.get(pool, 0) + runners

    def _begins(self, runner: Runner, name: str, owner: str = "") -> None:
        owner = owner or runner.asked_as
        if name in self.begun:
            back, before = self.begun[name]
            assert back < self.lab.times_back, "a task began twice"
            if before.body == runner.body:  # the process remembers what the store has forgotten
                lost = TaskEnd(task_id=name, process=owner, status=TaskStatus.FAILED, error=LOST)
                runner.told = None if before.task == name else lost
                return
        self.begun[name] = self.lab.times_back, runner
        runner.task, runner.owner = name, owner

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
