"""Tasks as a state machine on the real store: each is queued, owned or over, begins at most once, and ends once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.model.facts import GONE, TICK
from tests.model.machine import PATIENCE, many
from tests.model.runner_machine import RunnerMachine

pytestmark = pytest.mark.timeout(PATIENCE)
some_lock = st.sampled_from(["", "", "global", "ada"])


@pytest.fixture(autouse=True)
def _server(server: StoreServer, record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield from TaskMachine.on(server, record_property)


class TaskMachine(RunnerMachine):
    """Sessions, tasks of all kinds, and who asks for them."""

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

    @rule(
        data=st.data(), lock=some_lock, anew=st.booleans(), step=st.sampled_from(["dispose", "dispose", "tasks"]),
        taken_over=st.booleans(),
    )  # fmt: skip
    def submit_in_ending(self, data: st.DataObject, lock: str, anew: bool, step: str, taken_over: bool) -> None:
        """on_dispose submits a task: that of a new ending, or of one that may be another's by now."""
        name = self.any_session(data, "ending")
        if anew:
            name = self.begin_session("-")
            self.s.end(name, EndReason.ADMIN)
            self.s.claim_ending(name, self.slots[1])
            self.s.step(*self.s.claims[-1], step)
        self.tick()
        s = self.s.session(name)
        owner = data.draw(st.just(s.owner if s else "") | st.sampled_from(self.slots), "owner")
        self.t.submit(name, "ending", lock=lock, urgent=True, owner=owner)
        self.t.stop_all(name)
        if taken_over:
            self.tick()
            self.s.claim_ending(name, s.owner if s else self.slots[0])
            self.ask(data=data, claim="any", answer="")

    @rule(data=st.data(), over=st.sampled_from(["out", "expired", "forgotten"]), lock=some_lock)
    def work_after_the_end(self, data: st.DataObject, over: str, lock: str) -> None:
        """A user who is out asks for a task, in a page that asks for no active session; and that task for another."""
        name = self.begin_session("-")
        self.s.log_out(name)
        if over != "out":
            self.s.end(name, None)
            self.s.claim_ending(name, self.slots[1])
            self.s.finish(*self.s.claims[-1])
        if over == "forgotten":
            self.lab.forget_session(name)
        self.tick()
        self.t.submit(name, "request", lock=lock, urgent=True)
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            self.tick()
            self.t.ask(runner, self.slots[runner.slot], "any")
            task = self.t.task(runner.task)
            if task is not None:
                self.tick()
                self.t.submit(task.session, "task", parent=runner.task, owner=runner.owner)
                self.t.stop_all(task.session)
                self.t.ends(runner, "late")
                self.t.tell_end(runner)

    @rule(data=st.data(), lock=st.sampled_from(["global", "ada"]))
    def lock_of_the_dead(self, data: st.DataObject, lock: str) -> None:
        """A process dies with a unique task, and the next one is submitted before anybody has buried it."""
        self.tick()
        self.t.submit(self.any_session(data, "active"), "request", lock=lock, urgent=True)
        runner = self.a_runner(data, busy=False)
        if runner is not None:
            self.t.ask(runner, self.slots[runner.slot], "any")
            self.kill(runner.slot, stopped=False)
            self.wait_and_miss(GONE + TICK, [])
            self.tick()
            self.t.submit(self.begin_session("-"), "request", lock=lock)

    @precondition(lambda self: self.lab.may_set_back and self.lab.alive(self.slots[0]))
    @rule(sure=st.sampled_from([False, True]))
    def lose_a_lock(self, sure: bool) -> None:
        """A session was over, so another one's task got the lock of its task; then the clock was set back."""
        if sure:
            first = self.begin_session("-", timeout=20.0)
            self.t.submit(first, "request", lock="global")
            self.wait_and_miss(20.0, [])
            self.t.submit(self.begin_session("-"), "request", lock="global")
            self.lab.pass_time(-3.0)

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

    # -- what anybody does with tasks

    @precondition(lambda self: self.t.ids)
    @rule(
        data=st.data(), what=st.sampled_from(["read", "stop", "withdraw", "make_urgent"]),
        hangs=st.sampled_from([False, False, False, True]),
    )  # fmt: skip
    def do(self, data: st.DataObject, what: str, hangs: bool) -> None:
        self.tick()
        done = partial(getattr(self.t, what), self.a_task(data))
        self.lab.hung.append(done) if hangs else done()

    @precondition(lambda self: self.t.sent)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        """A submission that got no answer in time was sent twice, and the first one comes only now."""
        self.tick()
        self.t.submit_again(data.draw(st.sampled_from(self.t.sent[-4:]), "sent"))

    @rule(data=st.data())
    def read_all(self, data: st.DataObject) -> None:
        self.tick()
        self.t.read_all(self.any_session(data, "ending", "active"))

    @precondition(lambda self: self.t.begun)
    @rule(data=st.data(), stray=st.sampled_from([False, False, True]), given_up=st.booleans())
    def act_as_task(self, data: st.DataObject, stray: bool, given_up: bool) -> None:
        """A task changes its session's data and devices; it may be given up in the middle, or be lost, unknowingly."""
        busy = [one for one in [*self.runners, *self.left_behind] if one.task]
        by = data.draw(st.sampled_from(busy), "runner") if busy else None
        task = self.t.task(by.task) if by is not None else None
        if by is None or task is None:
            return
        asked = by.task, data.draw(st.sampled_from(self.slots), "owner") if stray else by.owner
        s = self.s.session(task.session)
        self.tick()
        self.s.take(task.session, s.owner if s else "", "", by_task=asked)
        if given_up:
            self.t.give_up(by)
        self.s.store_data(task.session, {"by": by.task}, by_task=asked)
        for _, bench, fence in [one for one in self.s.reservations if one[0] == task.session][-1:]:
            self.tick()
            self.d.call(bench, "console", fence, asked)
            self.s.release(task.session, bench, fence, by_task=asked)

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
        seen = self.seen()
        self.s.agree(seen)
        self.d.agree(seen)
        self.t.agree(seen)
        seen.is_all()

    @invariant()
    def nobody_forgets_a_task(self) -> None:
        """What a runner was given and has not begun it will be told of with its next question."""
        for name, task in self.lab.facts.tasks.items():
            runner = next((one for one in self.runners if one.id == task.runner), None)
            if task.status == "running" and runner is not None and task.owner == self.slots[runner.slot]:
                known = name in self.t.begun or name in self.t.astray or self.lab.facts.unread(name)
                assert known or runner.again, "a task was given to a runner that does not know of it"


TestTasks = TaskMachine.TestCase
TestTasks.settings = many(30, 40)
