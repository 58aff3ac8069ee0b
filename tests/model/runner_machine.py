"""Processes that run tasks, as `labkit.tasks.execution` and `labkit.loop.task_runner` do, one script at a time.

Answers get lost, questions come late, connections break as a task is handed over, processes pause, are taken for dead
and go on under another name.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.facts import GONE, TICK
from tests.model.machine import SLOTS, LabMachine
from tests.model.runner_steps import Runner
from tests.model.task_model_steps import TaskSteps

RUNNERS = 2
some_claim = st.sampled_from(["any", "sleep", "sleep", "urgent"])


class RunnerMachine(LabMachine):
    """Sessions without devices, and tasks of all kinds; each process has two runners."""

    def __init__(self) -> None:
        super().__init__()
        self.t = TaskSteps(self.lab)
        self.made = 0
        self.bodies = dict.fromkeys(SLOTS, 0)
        self.runners = [self.new_runner(slot) for slot in SLOTS for _ in range(RUNNERS)]
        self.left_behind: list[Runner] = []
        """Runners that were abandoned with what they run, or are of a process that was killed while it was stopped."""
        self.begin_session("-")

    def new_runner(self, slot: int) -> Runner:
        self.made += 1
        return Runner(id=f"runner-{self.made}.", slot=slot, body=slot + len(SLOTS) * self.bodies[slot])

    def a_runner(self, data: st.DataObject, *, busy: bool) -> Runner | None:
        fitting = [runner for runner in self.runners if bool(runner.task) is busy]
        return data.draw(st.sampled_from(fitting), "runner") if fitting else None

    def a_task(self, data: st.DataObject) -> str:
        """One that has not ended, rather than any."""
        open_ones = [name for name, task in self.lab.facts.tasks.items() if task.status in ("submitted", "running")]
        anyone = st.sampled_from(self.t.ids[-6:])
        return data.draw(st.sampled_from(open_ones) | anyone if open_ones else anyone, "task")

    @rule(data=st.data(), claim=some_claim, answer=st.sampled_from(["", "", "", "", "lost", "hung"]))
    def ask(self, data: st.DataObject, claim: str, answer: str) -> None:
        self.tick()
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            self.t.ask(runner, self.slots[runner.slot], claim, answer=answer)
            if runner.task:
                self.t.tell(runner.task, runner.owner)
                self.t.stop(runner.task)
                self.t.tell(runner.task, runner.owner)

    @rule(data=st.data(), claim=st.sampled_from(["any", "sleep"]))
    def hear_nothing_and_ask_again(self, data: st.DataObject, claim: str) -> None:
        """The store carries out a question only after the next one of the same runner."""
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            process = self.slots[runner.slot]
            self.tick()
            self.t.ask(runner, process, claim, answer="hung")
            self.tick()
            self.t.ask(runner, process, "any")
            self.tick()
            self.lab.hung.pop()()

    @rule(slot=st.sampled_from(SLOTS), runners=st.integers(1, 2))
    def kick(self, slot: int, runners: int) -> None:
        self.t.kick(slot, runners)

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

    @rule(data=st.data(), claim=some_claim, heard=st.booleans())
    def end_and_ask(self, data: st.DataObject, claim: str, heard: bool) -> None:
        """A task ends, and its runner asks for the next one; heard: else it hears nothing, and tells it once more."""
        runner = self.a_runner(data, busy=True)
        if runner is not None:
            self.t.ends(runner, f"result of {runner.task}")
            for answer in [""] if heard else ["lost", ""]:
                self.tick()
                self.t.ask(runner, self.slots[runner.slot], claim, answer=answer)

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
        self.bodies[slot] += 1
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
