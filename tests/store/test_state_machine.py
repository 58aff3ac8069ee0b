"""Sessions, holds and conditions as one state machine: whatever happens in whatever order, the rules hold.

The rules are written down once more here, in the plainest way, and compared with what the real store has.
"""

from __future__ import annotations

import secrets

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from labkit.store.connection import Store
from labkit.store.reservations import Condition, Duty
from labkit.store.sessions import EndReason, SessionRecord, SessionState, Started
from labkit.testing.store import StoreServer
from tests.store.table import LOOP, OTHER, WEB, Table

BENCHES = ("bench-1", "bench-2")
DEVICES = ("console", "leds")
PROCESSES = (LOOP, OTHER)
NEXT = {
    SessionState.STARTING: {SessionState.STARTING, SessionState.ACTIVE, SessionState.OVER, SessionState.ENDING},
    SessionState.ACTIVE: {SessionState.ACTIVE, SessionState.OVER, SessionState.ENDING},
    SessionState.OVER: {SessionState.OVER, SessionState.ENDING},
    SessionState.ENDING: {SessionState.ENDING, SessionState.EXPIRED},
    SessionState.EXPIRED: {SessionState.EXPIRED},
}
some_bench = st.sampled_from(BENCHES)
some_process = st.sampled_from(PROCESSES)
some_condition = st.sampled_from([Condition.OK, Condition.OK, *Condition])
some_reason = st.sampled_from([None, EndReason.DISPOSED, EndReason.ADMIN])


@pytest.fixture(autouse=True)
def _server(store_server: StoreServer) -> None:
    LabMachine.url = store_server.url


class LabMachine(RuleBasedStateMachine):
    """A lab with two benches; sessions come and go, hosts and web processes die, time passes.

    Rules prefer sessions to which something can happen, and every one can be chosen.
    """

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.url, f"test-{secrets.token_hex(6)}")
        self.table = Table(self.store)
        self.table.beat(WEB)
        self.table.host(*BENCHES, devices=DEVICES)
        self.states: dict[str, SessionState] = {}
        self.claims: list[tuple[str, str, int]] = []
        self.finished: set[str] = set()
        self.duties: dict[str, Duty] = {}
        self.fences: list[int] = list(self.table.claims.values())

    def teardown(self) -> None:
        self.store.close()

    def new_fence(self, fence: int) -> None:
        assert fence > self.fences[-1], "a fence was given out twice, or fell"
        self.fences.append(fence)

    def a_session(self, data: st.DataObject, *states: SessionState) -> str:
        fitting = [session for session in self.states if self.table.state(session) in states]
        anyone = st.sampled_from(list(self.states))
        return data.draw(st.sampled_from(fitting) | anyone if fitting else anyone)

    def a_claim(self, data: st.DataObject) -> tuple[str, str, int]:
        return data.draw(st.sampled_from(self.claims[-4:]))

    # -- what may happen

    @rule(bench=st.sampled_from(["", "", "-", *BENCHES]), length=st.sampled_from([30.0, 300.0]))
    def start(self, bench: str, length: float) -> None:
        free = {name for name in BENCHES if self.is_free(name)}
        session_id, answer = self.table.try_start(bench, length=length, timeout=20.0, name=f"s{len(self.states)}")
        if not isinstance(answer, Started):
            assert bench != "-"
            assert not (free & ({bench} if bench else set(BENCHES)))
            return
        if bench != "-":
            assert answer.bench in free
            self.new_fence(answer.fence)
        self.states[session_id] = SessionState.STARTING

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        session = self.a_session(data, SessionState.STARTING)
        before = self.table.read(session)
        in_time = self.table.now < before.number("start_until")
        answer = self.table.sessions.activate(session, WEB)
        asked = "end_asked" in before.fields
        lost = before.state is not SessionState.STARTING or not in_time
        assert answer == ("lost" if lost else "asked" if asked else "active")

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def poll(self, data: st.DataObject) -> None:
        session = self.a_session(data, SessionState.ACTIVE)
        before = self.table.read(session).state
        assert self.table.sessions.touch(session, poll=True).state is before

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def log_out(self, data: st.DataObject) -> None:
        session = self.a_session(data, SessionState.ACTIVE)
        was = self.table.state(session)
        assert self.table.sessions.exit(session) is (was is SessionState.ACTIVE)

    @precondition(lambda self: self.states)
    @rule(data=st.data(), bench=st.sampled_from(["", *BENCHES]))
    def take(self, data: st.DataObject, bench: str) -> None:
        session = self.a_session(data, SessionState.ACTIVE, SessionState.STARTING)
        before = self.table.state(session)
        free = {name for name in BENCHES if self.is_free(name)}
        taken = self.table.reservations.take(session, WEB, bench=bench)
        if isinstance(taken, tuple):
            assert taken[0] in free
            assert before in (SessionState.STARTING, SessionState.ACTIVE)
            self.new_fence(taken[1])
        elif taken is None:
            assert before is not SessionState.ACTIVE

    @precondition(lambda self: self.states)
    @rule(data=st.data(), bench=some_bench, old=st.booleans())
    def give_back(self, data: st.DataObject, bench: str, old: bool) -> None:
        session = self.a_session(data, SessionState.ACTIVE, SessionState.ENDING)
        fence = self.table.read(session).fences.get(bench, 0) - old
        mine = {d: h for d, h in self.holds().items() if h[2] == session and d.startswith(bench) and h[0] == "reserved"}
        moved = self.table.reservations.release(session, bench, fence)
        if mine and any(h[1] != fence for h in mine.values()):
            assert moved is None
        else:
            assert set(moved or []) == set(mine)

    @precondition(lambda self: self.states)
    @rule(data=st.data(), reason=some_reason)
    def end(self, data: st.DataObject, reason: EndReason | None) -> None:
        session = self.a_session(data, SessionState.ACTIVE, SessionState.OVER)
        before = self.table.read(session)
        word, why = self.table.sessions.end(session, reason)
        if word == "begun":
            assert before.state in (SessionState.STARTING, SessionState.ACTIVE, SessionState.OVER)
            assert why
            self.new_fence(int(self.table.read(session).fields["fence"]))
        elif word == "not-due":
            assert reason is None
            assert before.state in (SessionState.STARTING, SessionState.ACTIVE)
        elif word == "starting":
            assert before.state is SessionState.STARTING
        else:
            assert word == before.state

    @precondition(lambda self: self.states)
    @rule(data=st.data(), process=some_process)
    def claim(self, data: st.DataObject, process: str) -> None:
        session = self.a_session(data, SessionState.ENDING)
        before = self.table.read(session)
        claimed = self.table.sessions.claim_ending(session, process, 30.0)
        if not isinstance(claimed, SessionRecord):
            assert claimed == ("held" if before.state is SessionState.ENDING else self.recorded(before))
            return
        assert before.state is SessionState.ENDING
        fence = int(claimed.fields["fence"])
        self.new_fence(fence)
        self.claims.append((session, process, fence))

    def recorded(self, record: SessionRecord) -> str:
        return record.fields["state"]

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), step=st.sampled_from(["tasks", "dispose", "release", "finish"]))
    def step(self, data: st.DataObject, step: str) -> None:
        session, process, fence = self.a_claim(data)
        assert self.table.sessions.step(session, process, fence, step) is self.stands(session, fence)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release_all(self, data: st.DataObject) -> None:
        session, _, fence = self.a_claim(data)
        stands = self.stands(session, fence)
        before = {device for device, hold in self.holds().items() if hold[0] == "reserved" and hold[2] == session}
        moved = self.table.reservations.release(session, "", fence)
        assert set(moved or []) == (before if stands else set()), "an old claim released something"

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        session, process, fence = self.a_claim(data)
        stands = self.stands(session, fence)
        if stands:  # as the step before it does
            assert self.table.reservations.release(session, "", fence) is not None
        assert self.table.sessions.finish(session, process, fence, 3600) is stands
        if stands:
            assert session not in self.finished, "finished twice"
            self.finished.add(session)

    def stands(self, session: str, fence: int) -> bool:
        record = self.table.read(session)
        return record.state is SessionState.ENDING and record.fields["fence"] == str(fence)

    @rule(bench=some_bench, condition=some_condition, dealt=st.booleans())
    def report(self, bench: str, condition: Condition, dealt: bool) -> None:
        for device in DEVICES:
            name = f"{bench}/{device}"
            state, fence, _ = self.holds().get(name, ("none", 0, ""))
            assert self.table.report(name, condition, "why", dealt_with=fence if dealt else 0)
            expected = "none" if state == "none" or (state == "releasing" and dealt) else state
            assert self.holds().get(name, ("none", 0, ""))[0] == expected

    @rule(bench=some_bench, process=some_process)
    def claim_bench(self, bench: str, process: str) -> None:
        """A new host on the same machine; what it finds held stays held."""
        before, old = self.holds(), self.table.claims[bench]
        self.table.host(bench, process=process, devices=DEVICES)
        self.new_fence(self.table.claims[bench])
        assert self.holds() == before
        assert not self.table.reservations.report(bench, old, f"{bench}/console", Condition.OK, "", 10**18)

    @rule(bench=some_bench, duty=st.sampled_from([Duty.IN_SERVICE, Duty.IN_SERVICE, *Duty]))
    def say(self, bench: str, duty: Duty) -> None:
        """The owner takes a bench out of service or puts it back; who has it keeps it."""
        before = self.holds()
        self.table.reservations.set_duty(bench, duty, "why")
        self.duties[bench] = duty
        assert self.holds() == before

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 3.9]))
    def wait_alive(self, seconds: float) -> None:
        self.table.wait(seconds, *PROCESSES, WEB)

    @rule(seconds=st.sampled_from([5.0, 21.0, 130.0]), beating=st.sets(st.sampled_from([*PROCESSES, WEB])))
    def wait(self, seconds: float, beating: set[str]) -> None:
        self.table.wait(seconds, *sorted(beating))

    @precondition(lambda self: self.states)
    @rule(data=st.data(), bench=some_bench, off=st.sampled_from([0, 0, -1]))
    def call(self, data: st.DataObject, bench: str, off: int) -> None:
        session = self.a_session(data, SessionState.ACTIVE, SessionState.OVER, SessionState.ENDING)
        record = self.table.read(session)
        fence = record.fences.get(bench, 0) + off
        held = self.holds().get(f"{bench}/console")
        if self.table.call(fence, f"{bench}/console") == "submitted":
            assert held == ("reserved", fence, session)
            assert record.state in (SessionState.STARTING, SessionState.ACTIVE)

    # -- what always holds

    def holds(self) -> dict[str, tuple[str, int, str]]:
        flat = self.store.command("HGETALL", self.store.keys["holds"])
        pairs = zip(flat[::2], flat[1::2], strict=True) if isinstance(flat, list) else flat.items()
        found = {}
        for device, raw in pairs:
            state, fence, session, *_ = raw.decode().split()
            found[device.decode()] = (state, int(fence), session)
        return found

    def is_free(self, bench: str) -> bool:
        view = self.table.view(bench)
        alive = self.store.command("ZSCORE", self.store.keys["processes"], self.host_of(bench))
        beating = alive is not None and self.table.now - float(alive) <= 4
        served = self.duties.get(bench, Duty.IN_SERVICE) is Duty.IN_SERVICE
        return served and beating and all(device.hold == "none" and device.condition == "ok" for device in view.devices)

    def host_of(self, bench: str) -> str:
        return self.store.command("HGET", self.store.keys["bench_host"], bench).split()[0].decode()

    @invariant()
    def states_go_one_way(self) -> None:
        for session, before in self.states.items():
            after = self.table.state(session)
            assert after in NEXT[before], f"{before} -> {after}"
            self.states[session] = after

    @invariant()
    def devices_of_a_bench_belong_together(self) -> None:
        for bench in BENCHES:
            holders = {h[2] for d, h in self.holds().items() if d.startswith(bench) and h[0] == "reserved"}
            assert len(holders) <= 1

    @invariant()
    def reserved_devices_belong_to_a_session_that_goes_on(self) -> None:
        for device, (state, fence, session) in self.holds().items():
            if state == "reserved":
                record = self.table.read(session)
                assert fence <= self.fences[-1]
                assert record.fences.get(device.partition("/")[0]), f"{device} is held by a session that knows it not"

    @invariant()
    def who_has_ended_holds_nothing(self) -> None:
        holders = {session for state, _, session in self.holds().values() if state == "reserved"}
        assert not [session for session in holders if self.states[session] is SessionState.EXPIRED]

    @invariant()
    def whatever_has_to_be_done_is_looked_at(self) -> None:
        for session, state in self.states.items():
            deadline = self.table.deadline(session)
            if state is SessionState.EXPIRED:
                assert deadline is None
            else:
                assert deadline is not None, "nobody will ever look at it"
                assert deadline <= self.table.now + 125

    @precondition(lambda self: self.fences)
    @invariant()
    def counter_knows_the_highest_fence(self) -> None:
        assert int(self.store.command("HGET", self.store.keys["lab"], "fence")) >= max(
            self.fences[-1], max((fence for _, fence, _ in self.holds().values()), default=0)
        )


LabMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLab = LabMachine.TestCase
