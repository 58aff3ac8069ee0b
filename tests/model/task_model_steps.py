"""What the task scripts do, each as one step on the store and on the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit import wire
from labkit.errors import SessionLostError
from labkit.store.tasks import NewTask, TaskRecord, problem
from tests.model.facts import Task, stamp
from tests.model.lab import Lab
from tests.model.runner_steps import RunnerSteps
from tests.model.seen import Seen
from tests.model.session_steps import KEPT

LOSER = problem("loser")
WITHDRAWN = problem("withdrawn")
LATER = ("stop", "progress", "data")
"""What of a task may change while it runs."""
CODES = {"exception": "no-lock"}
"""The one code of the scripts' errors that says too little: a task that found its lock in other hands."""


class TaskSteps(RunnerSteps):
    """The steps of who submits tasks, asks for them, stops them; those of the runners are its base."""

    def __init__(self, lab: Lab):
        super().__init__(lab)
        self.ids: list[str] = []
        self.sent: list[NewTask] = []
        """What was submitted and taken; it may come to the store once more."""

    # -- submission

    def submit(
        self, session: str, purpose: str, *, lock: str = "", urgent: bool = False, parent: str = "", owner: str = "",
        about: Sequence[str] = (), twice: bool = False,
    ) -> None:  # fmt: skip
        """about: ids of other tasks, as its arguments."""
        name = f"task-{len(self.ids)}."
        self.ids.append(name)
        new = NewTask(
            task_id=name, name="work", session_id=session, arguments=wire.dumps([list(about), {}]), purpose=purpose,
            fences={}, parent=parent, owner=owner, lock=lock, urgent=urgent,
        )  # fmt: skip
        self._comes(new)
        if twice and self.task(name) is not None:
            self.submit_again(new)

    def _comes(self, new: NewTask) -> None:
        """A submission that the store does not know comes to it."""
        refused = self._refused(new.session_id, new.purpose, new.parent, new.owner)
        try:
            record = self.lab.tasks.submit(new, loser=LOSER)
        except SessionLostError:
            assert refused, "a task was refused"
            return
        assert not refused, f"a task was taken that has to be refused: {refused}"
        self._written(new.task_id, new)
        self.sent.append(new)
        self._same(new.task_id, record, hidden="any", but=("arguments",))

    def submit_again(self, new: NewTask) -> None:
        """A submission comes to the store once more: there is one task of it, as it is by now."""
        if self.task(new.task_id) is None:  # it is forgotten, with its session or with a moment that the store lost
            self._comes(new)
            return
        self._same(new.task_id, self.lab.tasks.submit(new, loser=LOSER), hidden="none", but=("arguments",))

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
        task = Task(
            session=new.session_id, purpose=new.purpose, lock=new.lock, urgent=new.urgent, arguments=new.arguments,
            submitted=lab.now,
        )  # fmt: skip
        if new.purpose == "ending":
            task.under = s.fence
        else:
            live = s.state == "starting" or (s.state == "active" and not s.over(lab.now))
            task.late = not live and (by.late if by is not None else new.purpose == "request")
        s.tasks.append(name)
        facts.tasks[name] = task
        if not facts.may_start(task, lab.now):
            facts.end(name, lab.now, "failed", "session-over")
            return
        if new.lock:
            if facts.holder(new.lock, lab.now):
                facts.end(name, lab.now, "failed", "loser")
                return
            before = facts.unique.get(new.lock, "")
            if before in facts.tasks and facts.tasks[before].status == "running":
                facts.end(before, lab.now, "failed", "lost")
            facts.unique[new.lock] = name
        facts.show(name, lab.now)
        if not facts.hand_over(name, lab.now):
            (facts.urgent if new.urgent else facts.queue).append(name)

    # -- what anybody does with tasks

    def read(self, name: str) -> None:
        record = self.lab.tasks.read(name)
        if self.task(name) is None:
            assert record is None
            return
        self.lab.facts.settle(name, self.lab.now)
        assert record is not None
        self._same(name, record)

    def read_all(self, session: str) -> None:
        """All tasks of a session, for its page or its ending."""
        facts, s = self.lab.facts, self.lab.facts.sessions.get(session)
        found = self.lab.tasks.of_session(session)
        kept = [name for name in (s.tasks if s else []) if name in facts.tasks]
        for name in kept:
            facts.settle(name, self.lab.now)
        assert [record.task_id for record in found] == kept
        for name, record in zip(kept, found, strict=True):
            self._same(name, record)

    def _same(self, name: str, record: TaskRecord, hidden: str = "unread", but: Sequence[str] = ()) -> None:
        """A record is as the model says. hidden: that it runs is not shown of a task that its runner has not read, of
        'any', or of 'none'. but: fields that the record has not."""
        task = self.lab.facts.tasks[name]
        expected = {field: value for field, value in task.record(name).items() if field not in but}
        hides = hidden == "any" or (hidden == "unread" and self.lab.facts.unread(name))
        if task.status == "running" and hides:
            expected |= {"status": "submitted", "owner": "", "runner": "", "started": ""}
        assert same_record(record.fields, expected, task.code)

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
                facts.end(name, self.lab.now, "failed", "session-over")
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
            self.lab.facts.end(name, self.lab.now, "failed", "withdrawn")

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
        now, tasks = stamp(self.lab.now), self.lab.tasks
        assert tasks.tell(name, process, "progress", now) is runs
        assert tasks.tell(name, process, "log", "a line") is runs
        stored = tasks.store_data(name, process, f'{{"at":{now}}}')
        assert (stored is not None) is runs
        if task is not None and stored is not None:
            self.lab.facts.show(name, self.lab.now, progress=now)
            self.lab.facts.show(name, self.lab.now, log="a line")
            task.progress, task.data = now, f'{{"at":{now}}}'
            assert same_record(stored.fields, task.record(name), "")
        assert self.lab.tasks.is_stopping(name, process) is (not runs or (task is not None and task.stop))

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of tasks is what the model says: each is queued or owned or over, nothing between."""
        facts = self.lab.facts
        kept = seen.family("task")
        assert set(kept) == set(facts.tasks)
        for name, task in facts.tasks.items():
            fields = seen.hash(kept[name])
            assert same_record(fields, task.record(name), task.code)
            assert set(fields) == {*task.record(name), *(["error"] if task.ended else [])}
            s = facts.sessions.get(task.session)
            over = task.status in ("done", "failed") and (s is None or s.state == "expired")
            left = seen.ttl(kept[name]) or 0
            assert 1 < left <= KEPT if over else left == -1, f"{name} is kept for {left} s"
        assert seen.list("queue") == facts.queue
        assert seen.list("urgent") == facts.urgent
        assert seen.list("sleeping") == [" ".join(sleeper) for sleeper in facts.sleeping]
        assert seen.hash("unique") == facts.unique
        running = {name: task.owner for name, task in facts.tasks.items() if task.status == "running"}
        assert seen.hash("running") == running
        self._handed(seen)
        self._words_of_ends(seen)
        assert {pool: len(seen.list(key)) for pool, key in seen.family("runner_wake").items()} == {
            pool: kicks for pool, kicks in facts.kicks.items() if kicks
        }
        for key in (*seen.family("task_done").values(), *seen.family("runner_wake").values()):
            assert seen.ttl(key) != -1
        self._one_place(running)

    def _handed(self, seen: Seen) -> None:
        """Who is handed a task gets its record as it was then."""
        facts = self.lab.facts
        handed = {r: [fields_of(item) for item in seen.list(key)] for r, key in seen.family("handed").items()}
        assert {runner: [told["id"] for told in items] for runner, items in handed.items()} == {
            runner: names for runner, names in facts.handed.items() if names
        }
        for told in (told for items in handed.values() for told in items):
            now = facts.tasks[told["id"]].record(told["id"])
            assert same_record({**told, **dict.fromkeys(LATER, "")}, {**now, **dict.fromkeys(LATER, "")}, "")

    def _words_of_ends(self, seen: Seen) -> None:
        """Whoever waits for a task is told how it ended, with all that has changed since it was submitted."""
        words = {name: seen.stream(key) for name, key in seen.family("task_done").items()}
        assert all(word.added == word.length == 1 for word in words.values()), "a task has ended twice"
        going_on = {name for name, task in self.lab.facts.tasks.items() if not task.ended}
        assert set(words) <= set(self.ids) - going_on, "somebody is told of an end that was none"
        for name in self.lab.facts.just_ended:
            told, task = fields_of(words[name].newest[0]["end"]), self.lab.facts.tasks[name]
            changed = {"status", "result", "runner", "ended", "owner", "started", "data", "progress", "stop"}
            assert set(told) == changed | {"error"}
            same_record(
                told, {field: value for field, value in task.record(name).items() if field in changed}, task.code
            )
        self.lab.facts.just_ended.clear()

    def _one_place(self, running: dict[str, str]) -> None:
        facts = self.lab.facts
        places = [*facts.queue, *facts.urgent, *running]
        assert len(places) == len(set(places))
        assert set(places) == {name for name, task in facts.tasks.items() if task.status in ("submitted", "running")}


def fields_of(packed: str) -> dict[str, str]:
    """A record as scripts hand it on: of a field that is there twice the last value counts."""
    parts = packed.split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def code(fields: Mapping[str, str]) -> str:
    """The code of a task's error, '' none."""
    said = str(wire.loads(fields["error"])["code"]) if fields.get("error") else ""
    return CODES.get(said, said)


def same_record(fields: Mapping[str, str], expected: Mapping[str, str], failed: str) -> bool:
    """Is a task's record what it should be? failed: the code of its error; what is kept nowhere else may be empty."""
    said = {name: value for name, value in fields.items() if name != "error" and value}
    wanted = {name: value for name, value in expected.items() if value}
    assert said == wanted, "a task's record says something else"
    assert code(fields) == failed
    return True
