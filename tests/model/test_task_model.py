"""Tasks as a state machine on the real store: each is queued, owned or over, begins at most once, and ends once.

Runners are as `labkit.tasks.execution` and `labkit.loop.task_runner` make them, one script at a time; answers get lost,
connections break as a task is handed over, processes pause, are taken for dead and go on under another name.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.model.facts import GONE, TICK
from tests.model.machine import PATIENCE, SLOTS, LabMachine, many
from tests.model.task_model_steps import Runner, TaskSteps

pytestmark = pytest.mark.timeout(PATIENCE)
RUNNERS = 2
some_claim = st.sampled_from(["any", "sleep", "sleep", "urgent"])
some_lock = st.sampled_from(["", "", "global", "ada"])


@pytest.fixture(autouse=True)
def _server(server: StoreServer) -> None:
    TaskMachine.url = server.url


class TaskMachine(LabMachine):
    """Sessions without devices, and tasks of all kinds; each process has two runners."""

    def __init__(self) -> None:
        super().__init__()
        self.t = TaskSteps(self.lab)
        self.made = 0
        self.runners = [self.new_runner(slot) for slot in SLOTS for _ in range(RUNNERS)]
        self.left_behind: list[Runner] = []
        """Runners that were abandoned with what they run, or are of a process that was killed while it was stopped."""
        self.begin_session("-")

    def new_runner(self, slot: int) -> Runner:
        self.made += 1
        return Runner(id=f"runner-{self.made}.", slot=slot)

    def a_runner(self, data: st.DataObject, *, busy: bool) -> Runner | None:
        fitting = [runner for runner in self.runners if bool(runner.task) is busy]
        return data.draw(st.sampled_from(fitting), "runner") if fitting else None

    def a_task(self, data: st.DataObject) -> str:
        """One that has not ended, rather than any."""
        open_ones = [name for name, task in self.lab.facts.tasks.items() if task.status in ("submitted", "running")]
        anyone = st.sampled_from(self.t.ids[-6:])
        return data.draw(st.sampled_from(open_ones) | anyone if open_ones else anyone, "task")

    # -- sessions

    @rule(state=st.sampled_from(["starting", "active", "active"]))
    def begin(self, state: str) -> None:
        self.begin_session("-", active=state != "starting")

    @rule(data=st.data(), log_out=st.booleans())
    def end(self, data: st.DataObject, log_out: bool) -> None:
        self.tick()
        name = self.any_session(data, "active", "starting")
        self.s.log_out(name) if log_out else self.s.end(name, EndReason.DISPOSED, self.slots[1])

    @rule(data=st.data(), step=st.sampled_from(["tasks", "dispose", "dispose", "release"]))
    def go_on_with_ending(self, data: st.DataObject, step: str) -> None:
        """An ending is claimed, perhaps once more, and comes to a step."""
        self.tick()
        name, process = self.any_session(data, "ending"), self.any_process(data)
        self.s.claim_ending(name, process)
        if self.s.claims:
            self.s.step(*self.s.claims[-1], step)

    @precondition(lambda self: self.s.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.tick()
        self.s.finish(*data.draw(st.sampled_from(self.s.claims[-3:]), "claim"))

    @precondition(lambda self: any(s.state == "expired" for s in self.lab.facts.sessions.values()))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        expired = [name for name, s in self.lab.facts.sessions.items() if s.state == "expired"]
        self.lab.forget_session(data.draw(st.sampled_from(expired), "session"))

    # -- submissions

    @rule(
        data=st.data(), purpose=st.sampled_from(["request", "request", "task", "start"]), lock=some_lock,
        urgent=st.booleans(), twice=st.booleans(), about=st.booleans(),
    )  # fmt: skip
    def submit(
        self, data: st.DataObject, purpose: str, lock: str, urgent: bool, twice: bool, about: bool
    ) -> None:  # fmt: skip
        self.tick()
        others = self.t.ids[-6:] if about else []
        session = self.any_session(data, "active", "starting")
        self.t.submit(session, purpose, lock=lock, urgent=urgent, twice=twice, about=others)

    @rule(data=st.data(), lock=some_lock)
    def submit_in_ending(self, data: st.DataObject, lock: str) -> None:
        self.tick()
        name = self.any_session(data, "ending")
        s = self.s.session(name)
        owner = data.draw(st.just(s.owner if s else "") | st.sampled_from(self.slots), "owner")
        self.t.submit(name, "ending", lock=lock, urgent=True, owner=owner)

    @precondition(lambda self: self.t.begun)
    @rule(data=st.data(), stray=st.booleans())
    def submit_from_task(self, data: st.DataObject, stray: bool) -> None:
        """A task submits another one; it may have been given up, or be lost, and not know of it."""
        self.tick()
        by = data.draw(st.sampled_from([*self.runners, *self.left_behind]), "runner")
        task = self.t.task(by.task)
        if task is not None:
            owner = data.draw(st.sampled_from(self.slots), "owner") if stray else by.owner
            purpose = "ending" if task.purpose == "ending" else "task"
            self.t.submit(task.session, purpose, parent=by.task, owner=owner, urgent=True)

    # -- runners

    @rule(data=st.data(), claim=some_claim, lost=st.sampled_from([False, False, False, True]))
    def ask(self, data: st.DataObject, claim: str, lost: bool) -> None:
        self.tick()
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            self.t.ask(runner, self.slots[runner.slot], claim, lost=lost)

    @rule()
    def all_fall_asleep(self) -> None:
        for runner in self.runners:
            if not runner.task and not runner.again:
                self.tick()
                self.t.ask(runner, self.slots[runner.slot], "sleep")

    @rule(data=st.data(), broken=st.sampled_from([False, False, True]))
    def wake(self, data: st.DataObject, broken: bool) -> None:
        self.tick()
        handed = [r for r in self.runners if not r.task and r.again and self.lab.facts.handed.get(r.id)]
        if handed:
            self.t.wake(data.draw(st.sampled_from(handed), "runner"), broken=broken)

    @rule(data=st.data())
    def task_ends(self, data: st.DataObject) -> None:
        runner = self.a_runner(data, busy=True)
        if runner is not None:
            self.t.ends(runner, f"result of {runner.task}")

    @rule(data=st.data())
    def tell_end(self, data: st.DataObject) -> None:
        self.tick()
        told = [runner for runner in self.runners if runner.told is not None]
        if told:
            self.t.tell_end(data.draw(st.sampled_from(told), "runner"))

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """A task does not end in its time: its thread is left behind, and another one takes its place."""
        self.tick()
        runner = self.a_runner(data, busy=True)
        if runner is not None:
            self.t.give_up(runner)
            self.left_behind.append(runner)
            self.runners[self.runners.index(runner)] = self.new_runner(runner.slot)

    @precondition(lambda self: self.left_behind)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """What was left behind ends after all; nobody counts it a second time."""
        self.tick()
        runner = data.draw(st.sampled_from(self.left_behind), "runner")
        if runner.task:
            self.t.ends(runner, "late")
        elif runner.told is not None:
            self.t.tell_end(runner)

    @rule(data=st.data())
    def stop_runner(self, data: st.DataObject) -> None:
        """A runner ends in order: what it may have been given and does not know of is anybody's again."""
        self.tick()
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            if runner.again:
                self.t.ask(runner, runner.asked_as, "back")
            if runner.told is not None:
                self.t.tell_end(runner)
            self.runners[self.runners.index(runner)] = self.new_runner(runner.slot)

    @rule(slot=st.sampled_from(SLOTS), stopped=st.booleans())
    def kill(self, slot: int, stopped: bool) -> None:
        """A process dies, or is only stopped for long: then its runners wake up when nobody counts on them."""
        self.renamed(slot)
        for place, runner in enumerate(self.runners):
            if runner.slot == slot:
                self.left_behind += [runner] if stopped and runner.task else []
                self.runners[place] = self.new_runner(slot)

    @rule(data=st.data(), killed=st.booleans(), found_by=st.sampled_from(["bury", "read", "nobody"]))
    def gone_before_it_reads(self, data: st.DataObject, killed: bool, found_by: str) -> None:
        """A process is killed, or taken for dead and wakes up, between its being handed a task and its reading that."""
        self.all_fall_asleep()
        self.tick()
        self.t.submit(self.any_session(data, "active"), "request")
        handed = [r for r in self.runners if r.again and self.lab.facts.handed.get(r.id)]
        if not handed:
            return
        runner = data.draw(st.sampled_from(handed), "runner")
        name, task = self.slots[runner.slot], self.lab.facts.handed[runner.id][0]
        if killed:
            self.kill(runner.slot, stopped=False)
        self.wait_and_miss(GONE + TICK, [runner.slot])
        if found_by == "bury":
            self.lab.bury(name)
        elif found_by == "read":
            self.t.read(task)
        if not killed:
            self.beat(runner.slot)
            self.t.ask(runner, self.slots[runner.slot], "sleep")

    # -- what anybody does with tasks

    @precondition(lambda self: self.t.ids)
    @rule(data=st.data(), what=st.sampled_from(["read", "stop", "withdraw", "make_urgent"]))
    def do(self, data: st.DataObject, what: str) -> None:
        self.tick()
        getattr(self.t, what)(self.a_task(data))

    @rule(data=st.data())
    def stop_all(self, data: st.DataObject) -> None:
        self.tick()
        self.t.stop_all(self.any_session(data, "ending", "active"))

    @rule(data=st.data())
    def look_what_is_pending(self, data: st.DataObject) -> None:
        self.tick()
        self.t.pending(self.any_session(data, "ending", "active"), self.t.ids[-6:])

    @precondition(lambda self: self.t.ids)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        self.tick()
        name = self.a_task(data)
        task = self.t.task(name)
        names = st.sampled_from(self.lab.names[-6:])
        self.t.tell(name, data.draw(st.just(task.owner) | names if task else names, "process"))

    # -- what always holds

    @invariant()
    def store_and_model_agree(self) -> None:
        seen = self.lab.seen()
        self.s.agree(seen)
        self.t.agree(seen)


TestTasks = TaskMachine.TestCase
TestTasks.settings = many(30, 40)
