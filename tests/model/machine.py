"""What the machines have in common: a lab whose processes beat, pause, die and come back; a store that is not perfect.

A rule is one script as one process would call it, or what happens to a process, to the time, to the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from labkit.store.reservations import Condition
from labkit.testing.store import StoreServer
from tests.model.device_steps import DeviceSteps
from tests.model.facts import DEVICES, GONE, TICK
from tests.model.lab import TRIED, Lab
from tests.model.seen import Seen
from tests.model.session_steps import SessionSteps

BENCHES = ("bench-1", "bench-2")
HERE, THERE = "here", "there"
SLOTS = (0, 1, 2)
"""Three places where a process of the lab runs; who dies in one is followed by another."""


SEARCHING = not settings().derandomize
TIMES = int(os.environ.get("MODEL_TIMES", "20"))
PATIENCE = 900 + (120 * TIMES if SEARCHING else 0)
"""Seconds that one machine may take, however busy the computer is."""


def many(most: int, steps: int) -> settings:
    """How much a machine tries: so much in each run of the tests, TIMES as much where inputs are searched. What fails
    in a search is printed step by step, and tried first by the next search."""
    return settings(
        max_examples=most * TIMES if SEARCHING else most,
        stateful_step_count=steps,
        deadline=None,
        print_blob=SEARCHING,
        suppress_health_check=list(HealthCheck),
    )


class LabMachine(RuleBasedStateMachine):
    """A lab with two benches and three processes."""

    url = ""
    examples = steps = 0
    """How many were tried."""
    roles = "endings host tasks"

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.lab = Lab(self.url)
        self.s = SessionSteps(self.lab)
        self.d = DeviceSteps(self.lab)
        self.slots = [self.lab.new_process(self.roles) for _ in SLOTS]
        for bench in BENCHES:
            self.host(bench, self.slots[0])

    @classmethod
    def on(cls, server: StoreServer, record_property: Callable[[str, object], None]) -> Iterator[None]:
        """A module's fixture: the labs of a machine are on this server, and what it has tried is said in the end."""
        cls.url = server.url
        yield
        record_property(TRIED, f"{cls.__name__} tried {cls.examples} examples of {cls.steps} steps in all.")

    def seen(self) -> Seen:
        """All that there is after a step."""
        type(self).steps += 1
        return self.lab.seen()

    def teardown(self) -> None:
        self.lab.close()

    def host(self, bench: str, process: str) -> None:
        """Have a process host a bench that nobody else hosts, with all devices ok and released."""
        if self.d.claim(bench, process, HERE, DEVICES):
            self.all_well(bench)

    def all_well(self, bench: str) -> None:
        """The host of a bench has made all that is being released safe."""
        found = self.lab.facts.benches[bench]
        for device in found.devices:
            hold = found.holds.get(device)
            self.d.report(bench, found.claim, device, Condition.OK, hold.fence if hold else 0)

    def begin_session(self, wish: str, *, length: float = 600.0, timeout: float = 0.0, active: bool = True) -> str:
        """Start a session, where a bench is free, and go on until it is active. Returns its id, or ''."""
        self.tick()
        name = self.s.start(self.slots[1], wish, length, timeout)
        if name and active:
            self.tick()
            self.s.activate(name, self.slots[1])
        return name

    def tick(self) -> None:
        """Each script comes a little later than the one before."""
        self.lab.pass_time(TICK)

    def hosted_by(self, process: str) -> dict[str, int]:
        """The benches of which a process believes that it hosts them."""
        return {bench: claim for bench, owner, claim in self.d.claims if owner == process}

    def any_process(self, data: st.DataObject) -> str:
        """One of those that run now, rather than one that ever ran."""
        return data.draw(st.sampled_from(self.slots) | st.sampled_from(self.lab.names[-8:]), "process")

    def any_session(self, data: st.DataObject, *states: str) -> str:
        """One in such a state, rather than any that ever was."""
        fitting = [name for name in self.s.ids if (s := self.s.session(name)) is not None and s.state in states]
        anyone = st.sampled_from(self.s.ids[-6:])
        return data.draw(st.sampled_from(fitting) | anyone if fitting else anyone, "session")

    def any_reservation(self, data: st.DataObject) -> tuple[str, str, int]:
        """A session, a bench that it got, and the fence: one that still has it, rather than any."""
        held = [one for one in self.s.reservations if self.lab.facts.reserved(one[0], one[1])]
        anyone = st.sampled_from(self.s.reservations[-6:])
        return data.draw(st.sampled_from(held) | anyone if held else anyone, "reservation")

    # -- processes and time

    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """All beat meanwhile."""
        self.wait_and_miss(seconds, [])

    @rule(
        seconds=st.sampled_from([2.0, GONE - TICK, GONE, 10.0, 31.0, 130.0]),
        silent=st.lists(st.sampled_from(SLOTS), unique=True),
    )
    def wait_and_miss(self, seconds: float, silent: list[int]) -> None:
        """Time passes; some processes do not beat meanwhile, because they were stopped, or have died."""
        beating = [slot for slot in SLOTS if slot not in silent and self.lab.alive(self.slots[slot])]
        self.lab.pass_time(seconds)
        for slot in beating:
            self.lab.has_beaten(self.slots[slot])
        for slot in beating:
            self.beat(slot)

    @precondition(lambda self: self.s.ids)
    @rule(data=st.data(), off=st.sampled_from([-2, -1, 0]), silent=st.lists(st.sampled_from(SLOTS), unique=True))
    def wait_for_the_edge(self, data: st.DataObject, off: int, silent: list[int]) -> None:
        """The next script comes just before, at or after a moment that decides something of a session."""
        s = self.s.session(self.any_session(data, "starting", "active", "ending"))
        if s is not None:
            moments = {"starting": s.start_until, "active": s.deadline, "ending": s.claim_until}
            seconds = moments.get(s.state, 0.0) + off * TICK - self.lab.now
            if seconds > 0:
                self.wait_and_miss(seconds, silent)

    @rule(slot=st.sampled_from(SLOTS))
    def beat(self, slot: int) -> None:
        """One beat; a process that was silent for too long has to take a new name."""
        self.tick()
        name = self.slots[slot]
        if not self.lab.beat(name, roles=self.roles, fence=self.knows(name), benches=self.hosted_by(name)):
            self.renamed(slot)

    def knows(self, process: str) -> int:
        """The highest fence of which a host knows."""
        return max(self.lab.told.get(process, 0), *self.hosted_by(process).values(), 0)

    def renamed(self, slot: int) -> None:
        self.slots[slot] = self.lab.new_process(self.roles)

    @rule(data=st.data())
    def beat_late(self, data: st.DataObject) -> None:
        """A process of which nobody has heard for long, or one that has left."""
        self.tick()
        name = data.draw(st.sampled_from(self.lab.names), "process")
        if name not in self.slots:
            self.lab.beat(name, roles=self.roles, benches=self.hosted_by(name))

    @rule(slot=st.sampled_from(SLOTS))
    def leave(self, slot: int) -> None:
        """A process ends in order, and another one starts in its place."""
        self.tick()
        self.lab.leave(self.slots[slot])
        self.renamed(slot)

    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        self.tick()
        gone = self.lab.gone
        names = st.sampled_from(self.lab.names)
        self.lab.bury(data.draw(st.sampled_from(gone) | names if gone else names, "process"))

    @rule(data=st.data(), role=st.sampled_from(["endings", "tasks"]))
    def look_who_is_there(self, data: st.DataObject, role: str) -> None:
        self.lab.find_role(role, data.draw(st.sampled_from(["", *self.slots]), "but"))

    # -- the store

    @precondition(lambda self: self.lab.hung)
    @rule(data=st.data())
    def carry_out_late(self, data: st.DataObject) -> None:
        """A store that hung, or a slow network: what was asked for long ago comes now, perhaps in another order."""
        self.tick()
        place = data.draw(st.integers(0, len(self.lab.hung) - 1), "which")
        self.lab.hung.pop(place)()

    @rule()
    def replicate(self) -> None:
        self.lab.keep_copy()

    @rule()
    def restart_store(self) -> None:
        self.lab.restart()

    @precondition(lambda self: self.lab.may_go_back)
    @rule(sure=st.sampled_from([False, False, True]))
    def lose_a_moment(self, sure: bool) -> None:
        """A replica that lags takes over, or a store starts again without its last moments."""
        if sure:
            self.tick()
            self.lab.go_back()

    @precondition(lambda self: self.lab.alive(self.slots[0]))
    @rule(seconds=st.sampled_from([1.0, 5.0, 9.0, 3600.0]), sure=st.sampled_from([False, False, True]))
    def set_clock_back(self, seconds: float, sure: bool) -> None:
        """The clock of the store's machine is set back just after a beat."""
        if sure and self.lab.may_set_back:
            self.beat(0)
            self.lab.pass_time(-seconds)
