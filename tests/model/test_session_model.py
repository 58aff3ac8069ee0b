"""Sessions as a state machine on the real store: whatever comes in whatever order, each ends once, with all its steps.

Endings are carried out as `labkit.sessions` does it, one script at a time, by processes that may pause between two of
them, be taken for dead, and wake up after another one took over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from labkit.sessions import EndStep
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.model.facts import GONE, START_TIMEOUT, TICK
from tests.model.machine import BENCHES, PATIENCE, SLOTS, LabMachine, many

STEPS = [step.value for step in EndStep]
some_features = st.sampled_from([(), (), ("camera",)])
some_reason = st.sampled_from([None, None, EndReason.DISPOSED, EndReason.ADMIN])
pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.fixture(autouse=True)
def _server(server: StoreServer, record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield from SessionMachine.on(server, record_property)


@dataclass
class Worker:
    """A thread that carries an ending out. next: the index of the step that it comes to."""

    session: str
    process: str
    fence: int
    next: int


class SessionMachine(LabMachine):
    """Sessions of a lab with two benches, whose hosts are well most of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[Worker] = []
        self.done: dict[str, set[str]] = {}
        self.begin_session("")

    # -- starts

    @rule(
        data=st.data(), wish=st.sampled_from(["", "", "-", *BENCHES]), length=st.sampled_from([5.0, 60.0, 600.0]),
        timeout=st.sampled_from([0.0, 20.0]), late=st.sampled_from([None, None, 30.0, 700.0, 100_000.0, -30.0]),
        features=some_features,
    )  # fmt: skip
    def start(
        self, data: st.DataObject, wish: str, length: float, timeout: float, late: float | None,
        features: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.tick()
        slot_start = None if late is None else self.lab.now - late
        self.s.start(self.any_process(data), wish, length, timeout, slot_start, features)

    @rule(wish=st.sampled_from(["", "-", *BENCHES]), timeout=st.sampled_from([0.0, 20.0]), polled=st.booleans())
    def begin(self, wish: str, timeout: float, polled: bool) -> None:
        name = self.begin_session(wish, timeout=timeout)
        if name and polled:
            self.tick()
            self.s.touch(name, poll=True)

    @rule(
        asked=st.booleans(), then=st.sampled_from(["activate", "give up", "take", "step"]),
        slot=st.sampled_from([1, 1, 2]),
    )  # fmt: skip
    def end_while_it_starts(self, asked: bool, then: str, slot: int) -> None:
        """Somebody asks for the end of a session that starts; its owner, or another process, goes on with the start."""
        name, process = self.begin_session("-", active=False), self.slots[slot]
        if asked:
            self.tick()
            self.s.end(name, EndReason.DISPOSED)
        self.tick()
        if then == "activate":
            self.s.activate(name, process)
        elif then == "give up":
            self.s.end(name, EndReason.START_FAILED, process)
        elif then == "take":
            self.s.take(name, process, "")
        else:
            self.s.step(name, process, None, "on-start")

    @rule(data=st.data(), step=st.sampled_from(["ready", "on-start", "activate"]))
    def step_of_start(self, data: st.DataObject, step: str) -> None:
        self.tick()
        name = self.any_session(data, "starting")
        self.s.step(name, self.owner(data, name), None, step)

    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        self.tick()
        name = self.any_session(data, "starting")
        self.s.activate(name, self.owner(data, name))

    @rule(off=st.sampled_from([-2, -1, 0]), what=st.sampled_from(["step", "activate", "take"]))
    def start_for_long(self, off: int, what: str) -> None:
        """A start takes just so long that it still counts, or does not any more."""
        owner, name = self.slots[1], self.begin_session("-", active=False)
        self.wait_and_miss(START_TIMEOUT + off * TICK, [])
        self.tick()
        if what == "step":
            self.s.step(name, owner, None, "activate")
        elif what == "activate":
            self.s.activate(name, owner)
        else:
            self.s.take(name, owner, "")

    @rule(data=st.data())
    def give_start_up(self, data: st.DataObject) -> None:
        self.tick()
        name = self.any_session(data, "starting")
        self.s.end(name, EndReason.START_FAILED, self.owner(data, name))

    def owner(self, data: st.DataObject, name: str) -> str:
        """Whose start it is, rather than anybody."""
        s = self.s.session(name)
        mine = st.just(s.owner) if s is not None and s.owner else st.nothing()
        return data.draw(mine | mine | st.sampled_from(self.lab.names[-8:]), "owner")

    # -- what users do, and what the RLMS asks

    @rule(data=st.data(), poll=st.booleans())
    def touch(self, data: st.DataObject, poll: bool) -> None:
        self.tick()
        self.s.touch(self.any_session(data, "active"), poll=poll)

    @rule(data=st.data())
    def log_out(self, data: st.DataObject) -> None:
        self.tick()
        self.s.log_out(self.any_session(data, "active"))

    @rule(data=st.data(), reason=some_reason)
    def end(self, data: st.DataObject, reason: EndReason | None) -> None:
        self.tick()
        self.s.end(self.any_session(data, "active", "starting"), reason)

    @rule(
        data=st.data(), keys=st.sets(st.sampled_from("abc")), dropped=st.sampled_from(["", "", "a", "bc"]),
        replace=st.sampled_from([False, False, True]),
    )  # fmt: skip
    def store_data(self, data: st.DataObject, keys: set[str], dropped: str, replace: bool) -> None:
        self.tick()
        changed = {key: str(self.lab.now) for key in keys - set(dropped)}
        self.s.store_data(self.any_session(data, "active", "ending"), changed, dropped, replace=replace)

    @rule(data=st.data())
    def see_end(self, data: st.DataObject) -> None:
        self.tick()
        self.s.see_end(self.any_session(data, "ending", "expired"))

    @rule()
    def look_what_is_due(self) -> None:
        self.s.look_what_is_due()

    @rule(data=st.data(), wish=st.sampled_from(["", *BENCHES]), features=some_features)
    def take(self, data: st.DataObject, wish: str, features: tuple[str, ...]) -> None:
        self.tick()
        name = self.any_session(data, "active", "starting")
        self.s.take(name, self.owner(data, name), wish, features=features)

    @precondition(lambda self: self.s.reservations)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Under the fence of any reservation that ever was, by somebody who may not know of the ending."""
        self.tick()
        self.s.release(*self.any_reservation(data))

    # -- endings

    @rule(data=st.data(), begin=st.booleans(), again=st.booleans())
    def claim_ending(self, data: st.DataObject, begin: bool, again: bool) -> None:
        """again: a thread of the process failed, so the process claims it once more."""
        self.tick()
        name, process = self.any_session(data, "active" if begin else "ending"), self.any_process(data)
        if begin:
            self.s.end(name, EndReason.DISPOSED)
        for _ in range(1 + again):
            self.claims(name, process)

    @precondition(lambda self: self.workers)
    @rule(slot=st.sampled_from(SLOTS), beats=st.booleans(), off=st.sampled_from([-TICK, 0.0]))
    def take_over(self, slot: int, beats: bool, off: float) -> None:
        """Whoever is at the last ending pauses, or is at it, for just so long that another one may take it over."""
        worker = self.workers[-1]
        s = self.s.session(worker.session)
        silent = [] if beats else [place for place in SLOTS if self.slots[place] == worker.process]
        seconds = s.claim_until - self.lab.now if s is not None and beats else GONE
        self.wait_and_miss(max(0.0, seconds + off), silent)
        self.claims(worker.session, self.slots[slot])

    def claims(self, name: str, process: str) -> None:
        self.tick()
        before = len(self.s.claims)
        self.s.claim_ending(name, process)
        if len(self.s.claims) > before:
            s = self.s.session(name)
            assert s is not None
            session, process, fence = self.s.claims[-1]
            self.workers.append(Worker(session=session, process=process, fence=fence, next=STEPS.index(s.step)))

    @precondition(lambda self: self.lab.may_set_back and self.lab.alive(self.slots[0]))
    @rule(slot=st.sampled_from(SLOTS), sure=st.sampled_from([False, True]))
    def take_over_though_the_clock_was_set_back(self, slot: int, sure: bool) -> None:
        """By the clock of now the claim of an ending would last for longer than any may."""
        if sure:
            name = self.begin_session("-")
            self.s.end(name, EndReason.ADMIN)
            self.claims(name, self.slots[0])
            self.lab.pass_time(-3.0)
            self.claims(name, self.slots[slot])

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), early=st.booleans())
    def finish_early(self, data: st.DataObject, early: bool) -> None:
        """A process that has forgotten steps: what the session still has is released, and nothing is lost."""
        worker = data.draw(st.sampled_from(self.workers[-3:]), "worker")
        if early:
            self.tick()
            self.s.finish(worker.session, worker.process, worker.fence)
            self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), steps=st.integers(1, 5), dies=st.sampled_from([False, False, False, True]))
    def work(self, data: st.DataObject, steps: int, dies: bool) -> None:
        """An ending goes on, by whoever is at it or still believes to be; it may die having only recorded a step."""
        worker = data.draw(st.sampled_from(self.workers[-4:]), "worker")
        for _ in range(steps):
            self.tick()
            if worker in self.workers and not self.advance(worker, dies):
                self.workers.remove(worker)

    def advance(self, worker: Worker, dies: bool) -> bool:
        """Returns whether the worker goes on."""
        step = STEPS[worker.next]
        mine = self.s.stands(worker.session, worker.process, worker.fence)
        self.s.step(worker.session, worker.process, worker.fence, step)
        if not mine or dies:
            return False
        self.tick()
        if step == "release":
            self.s.release(worker.session, "", worker.fence)
        elif step == "finish":
            self.finish(worker)
            return False
        self.done.setdefault(worker.session, set()).add(step)
        worker.next += 1
        return True

    def finish(self, worker: Worker) -> None:
        assert self.s.finish(worker.session, worker.process, worker.fence)
        assert self.done[worker.session] == set(STEPS[:-1]), "it was finished without all its steps"

    @precondition(lambda self: self.s.claims)
    @rule(data=st.data(), step=st.sampled_from(STEPS), by=st.sampled_from(["", "process", "fence"]))
    def act_late(self, data: st.DataObject, step: str, by: str) -> None:
        """Somebody acts under a claim that is not (or no more) the one that counts."""
        self.tick()
        name, process, fence = data.draw(st.sampled_from(self.s.claims[-6:]), "claim")
        process = self.any_process(data) if by == "process" else process
        fence = fence - 1 if by == "fence" else fence
        if not self.s.stands(name, process, fence):
            self.s.step(name, process, fence, step)
            assert not self.s.finish(name, process, fence)
            if not any(reservation == (name, bench, fence) for reservation in self.s.reservations for bench in BENCHES):
                self.s.release(name, "", fence)

    @precondition(lambda self: self.s.claims)
    @rule(data=st.data(), what=st.sampled_from(["activate", "step", "take", "give up"]))
    def go_on_with_start(self, data: st.DataObject, what: str) -> None:
        """Who carries out an ending was at the start of the session, too, and a thread of it still is."""
        self.tick()
        name, process, _ = data.draw(st.sampled_from(self.s.claims[-4:]), "claim")
        if what == "activate":
            self.s.activate(name, process)
        elif what == "step":
            self.s.step(name, process, None, "on-start")
        elif what == "take":
            self.s.take(name, process, "")
        else:
            self.s.end(name, EndReason.START_FAILED, process)

    @precondition(lambda self: any(s.state == "expired" for s in self.lab.facts.sessions.values()))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """An expired session has been kept for long enough."""
        expired = [name for name, s in self.lab.facts.sessions.items() if s.state == "expired"]
        self.lab.forget_session(data.draw(st.sampled_from(expired), "session"))

    # -- what hangs

    @rule(
        data=st.data(), what=st.sampled_from(["activate", "give up", "step", "end", "look", "log out", "touch", "take"])
    )
    def hang(self, data: st.DataObject, what: str) -> None:
        """What somebody may ask now comes to the store only later."""
        name = self.any_session(data, "starting", "active")
        owner = self.owner(data, name)
        asked = {
            "activate": partial(self.s.activate, name, owner),
            "give up": partial(self.s.end, name, EndReason.START_FAILED, owner),
            "step": partial(self.s.step, name, owner, None, "activate"),
            "end": partial(self.s.end, name, EndReason.DISPOSED),
            "look": partial(self.s.end, name, None),
            "log out": partial(self.s.log_out, name),
            "touch": partial(self.s.touch, name, poll=True),
            "take": partial(self.s.take, name, owner, ""),
        }
        self.lab.hung.append(asked[what])

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), what=st.sampled_from(["claim", "step", "release", "finish"]))
    def hang_in_ending(self, data: st.DataObject, what: str) -> None:
        """Who is at an ending hears nothing of what it asked, and begins anew or leaves it to others."""
        worker = data.draw(st.sampled_from(self.workers[-3:]), "worker")
        name, process, fence = worker.session, worker.process, worker.fence
        step = STEPS[worker.next]
        asked: dict[str, Callable[[], object]] = {
            "claim": partial(self.s.claim_ending, name, self.any_process(data), heard=False),
            "step": partial(self.s.step, name, process, fence, step),
            "release": partial(self.s.release, name, "", fence),
            "finish": partial(self.s.finish, name, process, fence),
        }
        if what != "finish" or step == "finish":
            self.lab.hung.append(asked[what])
        self.workers.remove(worker)

    # -- hosts

    @rule(bench=st.sampled_from(BENCHES))
    def make_safe(self, bench: str) -> None:
        self.tick()
        self.all_well(bench)

    @rule(bench=st.sampled_from(BENCHES), data=st.data())
    def rehost(self, bench: str, data: st.DataObject) -> None:
        """A new host on the same machine finds what is held as it was."""
        self.tick()
        self.host(bench, data.draw(st.sampled_from(self.slots), "process"))

    # -- what always holds

    @invariant()
    def store_and_model_agree(self) -> None:
        seen = self.seen()
        self.s.agree(seen)
        self.d.agree(seen)
        seen.is_all()


TestSessions = SessionMachine.TestCase
TestSessions.settings = many(30, 40)
