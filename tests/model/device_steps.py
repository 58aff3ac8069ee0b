"""What the scripts of benches and calls do, each as one step on the store and on the model."""

from __future__ import annotations

from labkit.store.calls import Call, Submitted
from labkit.store.reservations import Claim, Condition, Duty
from tests.model.facts import GONE, SILENCE, Bench
from tests.model.lab import Lab
from tests.model.seen import Seen


class DeviceSteps:
    """The steps, and every claim of a bench that there ever was: bench, process, fence."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.claims: list[tuple[str, str, int]] = []
        self.submitted: list[tuple[Call, str, str]] = []
        """Every call that was submitted, with the fence of the claim and what was sent."""

    def claim(self, name: str, process: str, machine: str, devices: tuple[str, ...]) -> bool:
        lab, known = self.lab, self.lab.facts.benches.get(name)
        answer = lab.reservations.claim_bench(
            name, process, machine, devices=devices, features=(), info={}, silence=SILENCE
        )
        if known is not None and known.process != "-" and known.machine != machine:
            silent = lab.now - known.seen >= SILENCE or known.seen > lab.now + GONE
            if not silent:
                assert answer == known.machine, "a bench was taken from another machine too early"
                return False
        assert isinstance(answer, Claim)
        bench = Bench(
            devices=devices, process=process, claim=lab.new_fence(answer.fence), machine=machine, seen=lab.now,
            used=known.used if known else 0, conditions=dict.fromkeys(devices, "offline"),
            holds={d: hold for d, hold in known.holds.items() if d in devices} if known else {},
        )  # fmt: skip
        before = known.conditions if known else {}
        none = ("none", 0)
        held = {device: (hold.state, hold.fence) for device, hold in bench.holds.items()}
        assert answer.holds == {f"{name}/{device}": held.get(device, none) for device in devices}
        assert {device.split("/")[1]: was for device, (was, _) in answer.before.items()} == {
            device: before.get(device, "offline") for device in devices
        }
        assert (answer.maintenance is not None) is (lab.facts.service.get(name) == "maintenance")
        lab.facts.benches[name] = bench
        self.claims.append((name, process, bench.claim))
        return True

    def _hosted(self, name: str, claim: int) -> Bench | None:
        bench = self.lab.facts.benches.get(name)
        return bench if bench is not None and bench.claim == claim else None

    def report(self, name: str, claim: int, device: str, condition: Condition, dealt_with: int) -> None:
        bench = self._hosted(name, claim)
        said = self.lab.reservations.report(name, claim, f"{name}/{device}", condition, "why", dealt_with)
        assert said is (bench is not None), "an earlier host was listened to"
        if bench is None:
            return
        bench.conditions[device] = condition.value
        hold = bench.holds.get(device)
        if hold is not None and hold.state == "releasing" and 0 < hold.fence <= dealt_with:
            del bench.holds[device]

    def leave(self, name: str, claim: int, *, idle: bool) -> None:
        bench, lab = self._hosted(name, claim), self.lab
        if not idle:
            lab.reservations.leave_bench(name, claim)
        else:
            held = bench is not None and bool(bench.holds)
            assert lab.reservations.leave_idle_bench(name, claim) is not held
            if held:
                return
        if bench is not None:
            bench.process, bench.seen, bench.calls = ("closing" if idle else "-"), lab.now, []
            bench.claim = claim if idle else 0
            bench.conditions = dict.fromkeys(bench.devices, "offline")

    def forget(self, name: str, machine: str) -> None:
        bench, lab = self.lab.facts.benches.get(name), self.lab
        views = {view.name for view in lab.reservations.benches()}
        declared = views - {name}
        kept = bench is None or bench.machine != machine or lab.alive(bench.process) or bool(bench.holds)
        assert lab.reservations.forget_undeclared(machine, declared) == ([] if kept else [name])
        if not kept:
            del lab.facts.benches[name]

    def serve(self, name: str, duty: Duty) -> None:
        """The owner takes a bench out of service, or puts it back."""
        was = self.lab.facts.service.get(name, "")
        changed = self.lab.reservations.set_duty(name, duty, "why" if duty else "")
        assert changed == (None if was == duty.value else Duty(was))
        self.lab.facts.service.pop(name, None)
        if duty.value:
            self.lab.facts.service[name] = duty.value

    def call(self, name: str, device: str, fence: int, by_task: tuple[str, str] = ("", "")) -> None:
        lab, bench = self.lab, self.lab.facts.benches.get(name)
        call = Call(
            device=f"{name}/{device}", command="write", fence=fence, until=lab.now + 5, task=by_task[0],
            process=by_task[1],
        )  # fmt: skip
        answer = lab.calls.submit(call)
        expected = self._refusal(bench, name, device, fence, by_task)
        if isinstance(answer, list):
            assert answer[0] == expected[0]
            assert not expected[1] or expected[1] == answer[1]
            return
        assert not expected[0], f"a call went through, though it is {expected}"
        assert bench is not None
        assert answer.claim == str(bench.claim)
        bench.calls.append(answer.payload)
        self.submitted.append((call, answer.claim, answer.payload))

    def _refusal(
        self, bench: Bench | None, name: str, device: str, fence: int, by_task: tuple[str, str]
    ) -> tuple[str, str]:
        lab = self.lab
        hold = bench.holds.get(device) if bench is not None else None
        if bench is None or hold is None:
            return "lost", "none"
        s = lab.facts.sessions.get(hold.session)
        if hold.state != "reserved" or hold.fence != fence:
            own = s is not None and s.benches.get(name) == fence and hold.state == "reserved"
            return "lost", "over" if own else hold.state
        if s is None or (s.state == "active" and s.over(lab.now)):
            return "lost", "over"
        task = lab.facts.tasks.get(by_task[0])
        if by_task[0] and not (task and (task.status, task.owner) == ("running", by_task[1])):
            return "task-lost", ""
        if not lab.alive(bench.process):
            return "no-host", ""
        condition = bench.conditions[device]
        return ("", "") if condition == "ok" else (condition, "")

    def fetch_call(self, name: str, claim: int) -> None:
        """A host takes the next call of a claim, which may be an old one."""
        bench = self._hosted(name, claim)
        sent = self.lab.store.command("LPOP", self.lab.store.keys.of("calls", f"{name}@{claim}"))
        if bench is None or not bench.calls:
            assert sent is None, "a call was left behind for a host that has lost its bench"
        else:
            assert sent.decode() == bench.calls.pop(0)

    def watch_call(self, number: int, *, withdraw: bool) -> None:
        call, claim, payload = self.submitted[number]
        bench = self._hosted(call.bench, int(claim))
        beating = bench is not None and self.lab.alive(bench.process)
        there = bench is not None and payload in bench.calls
        answer = self.lab.calls.watch(call, Submitted(payload=payload, claim=claim), withdraw=withdraw)
        assert answer == (beating, there and (withdraw or not beating))
        if bench is not None and answer[1]:
            bench.calls.remove(payload)

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of benches is what the model says: holds, conditions, hosts, calls, service."""
        facts = self.lab.facts
        assert {name: words.split()[:3] for name, words in seen.hash("holds").items()} == {
            f"{name}/{device}": [hold.state, str(hold.fence), hold.session]
            for name, bench in facts.benches.items()
            for device, hold in bench.holds.items()
        }
        assert {name: words.split()[0] for name, words in seen.hash("conditions").items()} == {
            f"{name}/{device}": condition
            for name, bench in facts.benches.items()
            for device, condition in bench.conditions.items()
        }
        assert {name: words.split()[:3] for name, words in seen.hash("bench_host").items()} == {
            name: [bench.process, str(bench.claim), bench.machine] for name, bench in facts.benches.items()
        }
        assert {name: words.split()[0] for name, words in seen.hash("bench_service").items()} == facts.service
        for name in ("bench_devices", "bench_features", "bench_info"):
            assert set(seen.hash(name)) == set(facts.benches)
        assert {name: int(fence) for name, fence in seen.hash("bench_used").items()} == {
            name: bench.used for name, bench in facts.benches.items() if bench.used
        }
        calls = {member: seen.list(key) for member, key in seen.family("calls").items()}
        assert calls == {f"{name}@{bench.claim}": bench.calls for name, bench in facts.benches.items() if bench.calls}
        self._nobody_shares()
        assert set(seen.hash("processes")) == set(facts.beats)
        assert seen.hash("roles") == facts.roles

    def _nobody_shares(self) -> None:
        """No bench is held by two sessions, and who has ended holds nothing."""
        for name, bench in self.lab.facts.benches.items():
            holders = {hold.session for hold in bench.holds.values() if hold.state == "reserved"}
            assert len(holders) <= 1, f"{name} is held by two"
            for session in holders:
                assert self.lab.facts.sessions[session].state != "expired"
