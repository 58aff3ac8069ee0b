"""Benches as a state machine on the real store: who hosts them, who has them, what is called, what is safe again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from labkit.store.reservations import Blame, Condition, Duty
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.model.device_steps import STOPPED
from tests.model.facts import DEVICES, SILENCE, TICK
from tests.model.machine import BENCHES, HERE, PATIENCE, SLOTS, THERE, LabMachine, many

hangs_at_times = st.sampled_from([False, False, False, True])
some_reason = st.sampled_from(["why", "why not", f"{STOPPED}: it is hot"])
some_bench = st.sampled_from(BENCHES)
pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.fixture(autouse=True)
def _server(server: StoreServer, record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield from DeviceMachine.on(server, record_property)


class DeviceMachine(LabMachine):
    """Two benches, of two machines; hosts come, die, wake up again; sessions come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.begin_session("")

    # -- hosts

    @rule(
        bench=some_bench, data=st.data(), machine=st.sampled_from([HERE, HERE, THERE]),
        devices=st.sampled_from([DEVICES, DEVICES, ("console",), ("leds", "camera")]),
        hangs=hangs_at_times, called=st.booleans(),
    )  # fmt: skip
    def claim(
        self, bench: str, data: st.DataObject, machine: str, devices: tuple[str, ...], hangs: bool, called: bool
    ) -> None:  # fmt: skip
        """A process hosts a bench; where the store hangs, it becomes the host later, unknowingly. called:
        a call was submitted just before, which the last host has not taken."""
        if called:
            self.use(bench)
        self.tick()
        process = self.any_process(data)
        if hangs:
            self.lab.hung.append(partial(self.d.claim, bench, process, machine, devices, heard=False))
        else:
            self.d.claim(bench, process, machine, devices)
            for number in range(max(0, len(self.d.submitted) - 2), len(self.d.submitted)):
                self.d.watch_call(number, withdraw=False)

    @rule(
        bench=some_bench, waits=st.sampled_from([0.0, SILENCE - 2 * TICK, SILENCE - TICK, SILENCE]),
        back=st.sampled_from([0.0, 0.0, 9.0]),
    )  # fmt: skip
    def claim_elsewhere(self, bench: str, waits: float, back: float) -> None:
        """A host falls silent, and another machine waits for its bench; the store's clock may be set back meanwhile."""
        self.d.claim(bench, self.slots[0], HERE, DEVICES)
        if back and self.lab.may_set_back and self.lab.alive(self.slots[0]):
            self.beat(0)
            self.lab.pass_time(-back)
            self.d.claim(bench, self.slots[1], THERE, DEVICES)
        self.lab.pass_time(waits)
        self.tick()
        self.d.claim(bench, self.slots[1], THERE, DEVICES)

    @rule(data=st.data(), slot=st.sampled_from(SLOTS), waits=st.sampled_from([TICK, SILENCE - 2 * TICK]))
    def beat_keeping(self, data: st.DataObject, slot: int, waits: float) -> None:
        """A process says that a device hangs in it; another machine waits for the bench."""
        self.tick()
        name, claim = self.any_claim(data)
        process = self.slots[slot]
        if not self.lab.beat(process, roles=self.roles, fence=self.knows(process), kept={name: claim}):
            self.renamed(slot)
        self.lab.pass_time(waits)
        self.d.claim(name, self.any_process(data), THERE, DEVICES)

    @rule(
        data=st.data(), condition=st.sampled_from([Condition.OK, Condition.OK, *Condition]),
        dealt=st.sampled_from(["none", "its own", "before", "all"]), reason=some_reason,
        blame=st.sampled_from([Blame.NOBODY, Blame.NOBODY, Blame.LAB]), hangs=hangs_at_times,
    )  # fmt: skip
    def report(
        self, data: st.DataObject, condition: Condition, dealt: str, reason: str, blame: Blame, hangs: bool
    ) -> None:  # fmt: skip
        """A host says how a device is, and up to which fence it was made safe; the host may have lost the bench."""
        self.tick()
        name, claim = self.any_claim(data)
        bench = self.lab.facts.benches.get(name)
        device = data.draw(st.sampled_from(bench.devices if bench else DEVICES), "device")
        hold = bench.holds.get(device) if bench else None
        fence = hold.fence if hold else 1
        fences = {"none": 0, "its own": fence, "before": fence - 1, "all": self.lab.highest_fence}
        said = partial(self.d.report, name, claim, device, condition, fences[dealt], reason, blame)
        self.lab.hung.append(said) if hangs else said()

    @rule(bench=some_bench)
    def make_all_safe(self, bench: str) -> None:
        self.tick()
        if bench in self.lab.facts.benches:
            self.all_well(bench)

    def any_claim(self, data: st.DataObject) -> tuple[str, int]:
        """A claim of a bench: one that stands, or any of the last ones."""
        standing = [(name, bench.claim) for name, bench in self.lab.facts.benches.items() if bench.claim]
        earlier = st.sampled_from([(name, fence) for name, _, fence in self.d.claims[-6:]])
        return data.draw(st.sampled_from(standing) | earlier if standing else earlier, "claim")

    @rule(data=st.data(), idle=st.booleans(), hangs=hangs_at_times, then=st.sampled_from(["", HERE, THERE]))
    def leave_bench(self, data: st.DataObject, idle: bool, hangs: bool, then: str) -> None:
        """A host gives a bench up, and another one takes it at once, perhaps on another machine."""
        name, claim = self.any_claim(data)
        self.use(name)
        self.tick()
        left = partial(self.d.leave, name, claim, idle=idle)
        if hangs:
            self.lab.hung.append(left)
            return
        left()
        self.hosts_beat()
        if then:
            self.tick()
            self.d.claim(name, self.any_process(data), then, DEVICES)

    @rule(bench=some_bench, machine=st.sampled_from([HERE, THERE]))
    def forget_bench(self, bench: str, machine: str) -> None:
        self.tick()
        self.d.forget(bench, machine)

    @rule(
        bench=some_bench, duty=st.sampled_from([Duty.IN_SERVICE, Duty.IN_SERVICE, *Duty]),
        reasons=st.lists(st.sampled_from(["why", "why not", ""]), min_size=1, max_size=2),
    )  # fmt: skip
    def serve(self, bench: str, duty: Duty, reasons: list[str]) -> None:
        """The owner says something of a bench, perhaps once more in other words."""
        for reason in reasons:
            self.tick()
            self.d.serve(bench, duty, reason)
        self.hosts_beat()

    def hosts_beat(self) -> None:
        """Hosts hear of what was just done."""
        for slot in SLOTS:
            if self.hosted_by(self.slots[slot]):
                self.beat(slot)

    @rule(bench=some_bench, reasons=st.integers(1, 3), slowly=st.booleans())
    def waver(self, bench: str, reasons: int, slowly: bool) -> None:
        """A device says again and again something else of the same condition."""
        found = self.lab.facts.benches.get(bench)
        if found is not None and found.claim:
            for number in range(reasons):
                self.wait_and_miss(31.0 if slowly else 1.0, [])
                self.tick()
                self.d.report(bench, found.claim, found.devices[0], Condition.OFFLINE, 0, f"for {number} s")

    # -- sessions

    @rule(wish=st.sampled_from(["", "", *BENCHES]), length=st.sampled_from([20.0, 600.0]), active=st.booleans())
    def begin(self, wish: str, length: float, active: bool) -> None:
        if self.begin_session(wish, length=length, active=active):
            self.use(self.s.reservations[-1][1])

    def use(self, bench: str) -> None:
        """Who has a bench now calls its devices, asks what came of it, and sees what they give."""
        found = self.lab.facts.benches.get(bench)
        for device, hold in found.holds.items() if found else []:
            self.tick()
            before = len(self.d.submitted)
            self.d.call(bench, device, hold.fence)
            if len(self.d.submitted) > before:
                self.d.watch_call(before, withdraw=False)
            self.d.show_frame(bench, device, hold.fence)
            self.d.give(bench, device, hold.fence, 4, int(self.lab.elapsed * 64), 0)

    @rule(data=st.data(), wish=st.sampled_from(["", *BENCHES]), leave_out=st.booleans())
    def take(self, data: st.DataObject, wish: str, leave_out: bool) -> None:
        """One more bench; in a start, instead of the one that could not be made ready."""
        self.tick()
        excluded = ("bench-1",) if leave_out else ()
        self.s.take(self.any_session(data, "active", "starting"), self.slots[1], wish, excluded)

    @rule(data=st.data(), whole=st.booleans())
    def give_back(self, data: st.DataObject, whole: bool) -> None:
        self.tick()
        name, bench, fence = self.any_reservation(data)
        self.s.release(name, "" if whole else bench, fence)

    @rule(data=st.data(), log_out=st.booleans())
    def end(self, data: st.DataObject, log_out: bool) -> None:
        """The user is out; the ending may be left to lie for long."""
        self.tick()
        name = self.any_session(data, "active", "starting")
        self.s.log_out(name) if log_out else self.s.end(name, EndReason.DISPOSED, self.slots[1])
        for _, bench, fence in [one for one in self.s.reservations if one[0] == name][-1:]:
            self.use(bench)
            self.tick()
            self.s.release(name, bench, fence)

    @rule(data=st.data(), finish=st.booleans())
    def carry_out(self, data: st.DataObject, finish: bool) -> None:
        """Somebody claims an ending, and may come to its end."""
        self.tick()
        name, process = self.any_session(data, "ending", "active"), self.slots[2]
        self.s.end(name, None)
        self.s.claim_ending(name, process)
        if self.s.claims and self.s.stands(*self.s.claims[-1]):
            name, process, fence = self.s.claims[-1]
            self.tick()
            self.s.release(name, "", fence)
            if finish:
                self.s.finish(name, process, fence)

    @rule(data=st.data())
    def look_what_is_left(self, data: st.DataObject) -> None:
        self.tick()
        name = self.any_session(data, "ending", "expired")
        s = self.s.session(name)
        left = self.lab.reservations.left(name)
        assert left == {
            f"{bench}/{device}": self.lab.alive(self.lab.facts.benches[bench].process)
            for bench in (s.benches if s else {})
            if bench in self.lab.facts.benches
            for device, hold in self.lab.facts.benches[bench].holds.items()
            if hold.session == name
        }

    # -- calls

    @rule(data=st.data(), hangs=hangs_at_times, awaited=st.booleans())
    def call(self, data: st.DataObject, hangs: bool, awaited: bool) -> None:
        self.tick()
        called = partial(self.d.call, *self.any_fence(data), awaited=awaited)
        self.lab.hung.append(called) if hangs else called()

    def any_fence(self, data: st.DataObject) -> tuple[str, str, int]:
        """A device, and the fence of any reservation, or that of whoever has it now, or one that nobody ever had."""
        off, newest = data.draw(st.sampled_from([0, 0, 0, -1]), "off"), data.draw(st.booleans(), "newest")
        _, bench, fence = self.any_reservation(data)
        device = data.draw(st.sampled_from(DEVICES), "device")
        found = self.lab.facts.benches.get(bench)
        hold = found.holds.get(device) if found else None
        return bench, device, hold.fence if hold and newest else fence + off

    @rule(
        data=st.data(), epoch=st.integers(1, 3), end=st.sampled_from([10, 20, 1000, 262_144, 262_145, 262_164]),
        first=st.sampled_from([0, 5]), times=st.integers(1, 2),
    )  # fmt: skip
    def give(self, data: st.DataObject, epoch: int, end: int, first: int, times: int) -> None:
        """A device has given something; its host writes it once, or once more because no answer came."""
        self.tick()
        place = self.any_fence(data)
        for _ in range(times):
            self.d.give(*place, epoch, end, first)

    @rule(data=st.data())
    def show_frame(self, data: st.DataObject) -> None:
        self.tick()
        self.d.show_frame(*self.any_fence(data))

    @rule()
    def wake_relay(self) -> None:
        self.lab.wake_relay()

    @rule()
    def look_at_frames(self) -> None:
        self.tick()
        self.lab.watch_frames()

    @rule(app=st.sampled_from(["lab", "other"]))
    def claim_app(self, app: str) -> None:
        self.lab.claim_app(app)

    @rule(data=st.data())
    def fetch_call(self, data: st.DataObject) -> None:
        self.tick()
        self.d.fetch_call(*self.any_claim(data))

    @precondition(lambda self: self.d.submitted)
    @rule(data=st.data(), withdraw=st.booleans())
    def watch_call(self, data: st.DataObject, withdraw: bool) -> None:
        self.tick()
        number = data.draw(st.integers(max(0, len(self.d.submitted) - 4), len(self.d.submitted) - 1), "call")
        self.d.watch_call(number, withdraw=withdraw)

    # -- what always holds

    @invariant()
    def store_and_model_agree(self) -> None:
        seen = self.seen()
        self.s.agree(seen)
        self.d.agree(seen)
        seen.is_all()


TestDevices = DeviceMachine.TestCase
TestDevices.settings = many(30, 40)
