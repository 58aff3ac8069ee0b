"""Benches as a state machine on the real store: who hosts them, who has them, what is called, what is safe again."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from labkit.store.reservations import Condition, Duty
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.model.facts import DEVICES
from tests.model.machine import BENCHES, HERE, PATIENCE, THERE, LabMachine, many

some_bench = st.sampled_from(BENCHES)
pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.fixture(autouse=True)
def _server(server: StoreServer) -> None:
    DeviceMachine.url = server.url


class DeviceMachine(LabMachine):
    """Two benches, of two machines; hosts come, die, wake up again; sessions come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.begin_session("")

    # -- hosts

    @rule(
        bench=some_bench, data=st.data(), machine=st.sampled_from([HERE, HERE, THERE]),
        devices=st.sampled_from([DEVICES, DEVICES, ("console",), ("leds", "camera")]),
    )  # fmt: skip
    def claim(self, bench: str, data: st.DataObject, machine: str, devices: tuple[str, ...]) -> None:
        self.tick()
        self.d.claim(bench, self.any_process(data), machine, devices)

    @rule(
        data=st.data(), condition=st.sampled_from([Condition.OK, Condition.OK, *Condition]),
        dealt=st.sampled_from(["none", "its own", "before", "all"]),
    )  # fmt: skip
    def report(self, data: st.DataObject, condition: Condition, dealt: str) -> None:
        """A host says how a device is, and up to which fence it was made safe; the host may have lost the bench."""
        self.tick()
        name, claim = self.any_claim(data)
        bench = self.lab.facts.benches.get(name)
        device = data.draw(st.sampled_from(bench.devices if bench else DEVICES), "device")
        hold = bench.holds.get(device) if bench else None
        fence = hold.fence if hold else 1
        fences = {"none": 0, "its own": fence, "before": fence - 1, "all": self.lab.highest_fence}
        self.d.report(name, claim, device, condition, fences[dealt])

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

    @rule(data=st.data(), idle=st.booleans())
    def leave_bench(self, data: st.DataObject, idle: bool) -> None:
        self.tick()
        name, claim = self.any_claim(data)
        self.d.leave(name, claim, idle=idle)

    @rule(bench=some_bench, machine=st.sampled_from([HERE, THERE]))
    def forget_bench(self, bench: str, machine: str) -> None:
        self.tick()
        self.d.forget(bench, machine)

    @rule(bench=some_bench, duty=st.sampled_from([Duty.IN_SERVICE, Duty.IN_SERVICE, *Duty]))
    def serve(self, bench: str, duty: Duty) -> None:
        self.tick()
        self.d.serve(bench, duty)

    # -- sessions

    @rule(wish=st.sampled_from(["", "", *BENCHES]), length=st.sampled_from([20.0, 600.0]), active=st.booleans())
    def begin(self, wish: str, length: float, active: bool) -> None:
        self.begin_session(wish, length=length, active=active)

    @rule(data=st.data(), wish=st.sampled_from(["", *BENCHES]), leave_out=st.booleans())
    def take(self, data: st.DataObject, wish: str, leave_out: bool) -> None:
        """One more bench; in a start, instead of the one that could not be made ready."""
        self.tick()
        excluded = ("bench-1",) if leave_out else ()
        self.s.take(self.any_session(data, "active", "starting"), self.slots[1], wish, excluded)

    @rule(data=st.data(), whole=st.booleans())
    def give_back(self, data: st.DataObject, whole: bool) -> None:
        self.tick()
        name, bench, fence = data.draw(st.sampled_from(self.s.reservations[-6:]), "reservation")
        self.s.release(name, "" if whole else bench, fence)

    @rule(data=st.data(), log_out=st.booleans())
    def end(self, data: st.DataObject, log_out: bool) -> None:
        """The user is out; the ending may be left to lie for long."""
        self.tick()
        name = self.any_session(data, "active", "starting")
        self.s.log_out(name) if log_out else self.s.end(name, EndReason.DISPOSED, self.slots[1])

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

    @rule(data=st.data(), off=st.sampled_from([0, 0, 0, -1]), newest=st.booleans())
    def call(self, data: st.DataObject, off: int, newest: bool) -> None:
        """Under the fence of any reservation, or under that of whoever has the device now."""
        self.tick()
        _, bench, fence = data.draw(st.sampled_from(self.s.reservations[-4:]), "reservation")
        device = data.draw(st.sampled_from(DEVICES), "device")
        found = self.lab.facts.benches.get(bench)
        hold = found.holds.get(device) if found else None
        self.d.call(bench, device, hold.fence if hold and newest else fence + off)

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
        seen = self.lab.seen()
        self.s.agree(seen)
        self.d.agree(seen)


TestDevices = DeviceMachine.TestCase
TestDevices.settings = many(30, 40)
