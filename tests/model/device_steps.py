"""What the scripts of benches and calls do, each as one step on the store and on the model."""

from __future__ import annotations

import json

from labkit.store.calls import Call, Submitted
from labkit.store.connection import text
from labkit.store.feeds import KEEP_BYTES, Cursor, FeedBatch
from labkit.store.frames import SentFrame
from labkit.store.reservations import Blame, Claim, Condition, Duty
from tests.model.facts import FEATURES, GONE, SILENCE, UNKNOWN, Batch, Bench, stamp
from tests.model.lab import Lab
from tests.model.seen import NEWEST, Seen

STOPPED = "its host was stopped"


class DeviceSteps:
    """The steps, and every claim of a bench that there ever was: bench, process, fence."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.claims: list[tuple[str, str, int]] = []
        self.submitted: list[tuple[Call, str, str]] = []
        """Every call that was submitted, with the fence of the claim and what was sent."""

    def claim(self, name: str, process: str, machine: str, devices: tuple[str, ...], *, heard: bool = True) -> bool:
        """heard: whether the process gets the answer."""
        lab, known = self.lab, self.lab.facts.benches.get(name)
        answer = lab.reservations.claim_bench(
            name, process, machine, devices=devices, features=FEATURES[name], info={"by": process}, silence=SILENCE
        )
        if known is not None and known.process != "-" and known.machine != machine:
            if lab.now - known.seen < SILENCE:
                assert answer == known.machine, "a bench was taken from another machine too early"
                known.seen = lab.now if known.seen > lab.now + GONE else known.seen
                return False
            assert lab.elapsed - lab.heard_of.get(name, 0.0) >= SILENCE, "its host may have it open on another machine"
        assert isinstance(answer, Claim)
        bench = Bench(
            devices=devices, process=process, claim=lab.new_fence(answer.fence), machine=machine, seen=lab.now,
            used=known.used if known else 0, published_by=process,
            conditions={d: found for d, found in known.conditions.items() if d in devices} if known else {},
            holds={d: hold for d, hold in known.holds.items() if d in devices} if known else {},
        )  # fmt: skip
        none = ("none", 0)
        held = {device: (hold.state, hold.fence) for device, hold in bench.holds.items()}
        assert answer.holds == {f"{name}/{device}": held.get(device, none) for device in devices}
        before = {device: bench.conditions.get(device, UNKNOWN) for device in devices}
        assert answer.before == {f"{name}/{device}": (was.state, was.reason) for device, was in before.items()}
        service = lab.facts.service.get(name, ("", "", ""))
        assert answer.maintenance == (service[2] if service[0] == "maintenance" else None)
        lab.facts.benches[name] = bench
        lab.heard_of[name] = lab.elapsed
        for device in devices:
            lab.facts.set_condition(name, device, "offline", "being opened", "", lab.now)
        if heard:
            self.claims.append((name, process, bench.claim))
        return heard

    def _hosted(self, name: str, claim: int) -> Bench | None:
        bench = self.lab.facts.benches.get(name)
        return bench if bench is not None and bench.claim == claim else None

    def report(
        self, name: str, claim: int, device: str, condition: Condition, dealt_with: int, reason: str = "why",
        blame: Blame = Blame.NOBODY,
    ) -> None:  # fmt: skip
        lab, bench, full = self.lab, self._hosted(name, claim), f"{name}/{device}"
        said = lab.reservations.report(name, claim, full, condition, reason, dealt_with, blame)
        assert said is (bench is not None), "an earlier host was listened to"
        if bench is None:
            return
        changed = lab.facts.set_condition(name, device, condition.value, reason, blame.value, lab.now)
        if changed:
            lab.news("condition")
        hold = bench.holds.get(device)
        if hold is None:
            return
        told = {"device": full, "condition": condition.value, "reason": reason, "blame": blame.value}
        if hold.state == "releasing" and 0 < hold.fence <= dealt_with:
            del bench.holds[device]
            lab.event(hold.session, hold="none", **told)
        elif changed:
            lab.event(hold.session, **told)

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
            for device in bench.devices:
                if not bench.conditions[device].reason.startswith(STOPPED):
                    lab.facts.set_condition(name, device, "offline", STOPPED, "", lab.now)

    def forget(self, name: str, machine: str) -> None:
        """A machine that does not declare a bench (any more) forgets it, by what it has read of it just before."""
        bench, lab = self.lab.facts.benches.get(name), self.lab
        kept = bench is None or bench.machine != machine or lab.alive(bench.process) or bool(bench.holds)
        kept = kept or (bench is not None and bench.process != "-" and abs(lab.now - bench.seen) <= GONE)
        assert text(lab.store.run("bench_forget", name, machine)) == ("kept" if kept else "forgotten")
        if not kept:
            del lab.facts.benches[name]

    def serve(self, name: str, duty: Duty, reason: str = "why") -> None:
        """The owner takes a bench out of service, or puts it back."""
        lab, reason = self.lab, reason if duty else ""
        was, _since, why = lab.facts.service.get(name, ("", "", ""))
        changed = lab.reservations.set_duty(name, duty, reason)
        if (was, why) == (duty.value, reason):
            assert changed is None
            return
        assert changed is Duty(was)
        lab.facts.service.pop(name, None)
        if duty.value:
            lab.facts.service[name] = duty.value, stamp(lab.now), reason
        before, after = was or "in service", duty.value or "in service"
        lab.facts.log_change(name, "", before, after, reason, "", lab.now)
        lab.news("service")

    def call(
        self, name: str, device: str, fence: int, by_task: tuple[str, str] = ("", ""), *, awaited: bool = False
    ) -> None:
        """awaited: somebody waits for the reply already."""
        lab, bench = self.lab, self.lab.facts.benches.get(name)
        call = Call(
            device=f"{name}/{device}", command="write", fence=fence, until=lab.now + 5, task=by_task[0],
            process=by_task[1],
        )  # fmt: skip
        answer = self._submit(call) if awaited else lab.calls.submit(call)
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

    def _submit(self, call: Call) -> Submitted | list[str]:
        """What is refused has an answer as well, or who waits for one would wait in vain."""
        store, payload = self.lab.store, call.dump()
        answer = store.run(
            "call_submit", call.bench, call.device, call.fence, payload, call.task, call.process, call.id
        )
        words, reply = [text(word) for word in answer], store.keys.of("reply", call.id)
        left = store.command("LRANGE", reply, 0, -1), store.command("TTL", reply) > 0
        if words[0] == "submitted":
            assert left == ([], False)
            return Submitted(payload=payload, claim=words[2])
        assert left == ([b""], True)
        store.command("DEL", reply)
        return words

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
        return ("", "") if condition.state == "ok" else (condition.state, condition.reason)

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

    # -- what a device gives

    def give(self, name: str, device: str, fence: int, epoch: int, end: int, first: int) -> None:
        """A host writes a batch that its device gave under a fence, perhaps once more, or late."""
        lab, full = self.lab, f"{name}/{device}"
        data = f"{epoch}-{end}"
        batch = FeedBatch(
            device=full, feed="received", fence=fence, first=first, end=Cursor(epoch=epoch, offset=end),
            data=data.encode(),
        )  # fmt: skip
        answer = lab.feeds.write(batch)
        session = self._seen_by(name, device, fence)
        if not session:
            assert answer == "dropped", "a session got what was given under another fence"
            return
        batches = lab.facts.feeds.setdefault(f"{session}/{full}/received", [])
        if batches and (epoch, end) <= (batches[-1].epoch, batches[-1].end):
            assert answer == "known"
            return
        assert answer == "kept"
        oldest = (0, 0)
        if batches and batches[-1].epoch == epoch:
            first = batches[-1].first
        elif batches:
            first, oldest = -1, (batches[-1].epoch, 0)
        if end > KEEP_BYTES:
            oldest = epoch, end - KEEP_BYTES
        batches[:] = [one for one in batches if (one.epoch, one.end) >= oldest]
        batches.append(Batch(epoch, end, first, data))

    def _seen_by(self, name: str, device: str, fence: int) -> str:
        """Which session may see what a device gives under a fence, '' none."""
        lab = self.lab
        hold = lab.facts.benches[name].holds.get(device) if name in lab.facts.benches else None
        if hold is None or (hold.state, hold.fence) != ("reserved", fence):
            return ""
        s = lab.facts.sessions.get(hold.session)
        live = s is not None and (s.state == "starting" or (s.state == "active" and not s.over(lab.now)))
        return hold.session if live else ""

    def show_frame(self, name: str, device: str, fence: int) -> None:
        """A host hands a frame to who looks (here nobody does), and counts who does."""
        frames, full = self.lab.feeds.frames, f"{name}/{device}"
        got = frames.write(full, "view", fence, SentFrame(captured=self.lab.now, width=1, height=1, data=b"jpeg"))
        assert got == (0 if self._seen_by(name, device, fence) else None), "a frame under another fence was shown"
        bench = self.lab.facts.benches.get(name)
        hold = bench.holds.get(device) if bench is not None else None
        counts = self.lab.store.run("frame_viewers", full, fence, "view")
        assert counts == ([0] if hold is not None and (hold.state, hold.fence) == ("reserved", fence) else [])

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of benches is what the model says: holds, conditions, hosts, calls, service."""
        facts = self.lab.facts
        assert seen.hash("holds") == {
            f"{name}/{device}": f"{hold.state} {hold.fence} {hold.session} {hold.since} {hold.until}"
            for name, bench in facts.benches.items()
            for device, hold in bench.holds.items()
        }
        assert seen.hash("conditions") == {
            f"{name}/{device}": f"{found.state} {found.since} {found.blame or '-'} {found.reason}"
            for name, bench in facts.benches.items()
            for device, found in bench.conditions.items()
        }
        assert seen.hash("bench_host") == {
            name: f"{bench.process} {bench.claim} {bench.machine} {stamp(bench.seen)}"
            for name, bench in facts.benches.items()
        }
        assert seen.hash("bench_service") == {name: " ".join(words) for name, words in facts.service.items()}
        assert seen.hash("bench_devices") == {name: " ".join(bench.devices) for name, bench in facts.benches.items()}
        assert seen.hash("bench_features") == {name: " ".join(FEATURES[name]) for name in facts.benches}
        assert {name: json.loads(info) for name, info in seen.hash("bench_info").items()} == {
            name: {"by": bench.published_by} for name, bench in facts.benches.items()
        }
        logs = {bench: seen.stream(key) for bench, key in seen.family("bench_log").items()}
        assert {bench: log.added for bench, log in logs.items()} == {b: len(lines) for b, lines in facts.log.items()}
        assert all(log.is_end_of(facts.log[bench]) for bench, log in logs.items())
        assert {name: int(fence) for name, fence in seen.hash("bench_used").items()} == {
            name: bench.used for name, bench in facts.benches.items() if bench.used
        }
        calls = {member: seen.list(key) for member, key in seen.family("calls").items()}
        assert calls == {f"{name}@{bench.claim}": bench.calls for name, bench in facts.benches.items() if bench.calls}
        self._nobody_shares()
        self._gave(seen)
        assert seen.scores("processes") == facts.beats
        assert seen.hash("roles") == facts.roles

    def _gave(self, seen: Seen) -> None:
        """What devices gave is with the session that had them, for a while."""
        kept = {member: seen.stream(key) for member, key in seen.family("feed").items()}
        assert {member: (feed.length, feed.ids, feed.newest) for member, feed in kept.items()} == {
            member: (
                len(batches),
                [f"{batch.epoch}-{batch.end}" for batch in batches[-NEWEST:]],
                [batch.fields for batch in batches[-NEWEST:]],
            )
            for member, batches in self.lab.facts.feeds.items()
        }
        relay = seen.stream("relay_wake:relay")
        assert (relay.added, relay.length) == (self.lab.facts.woken, min(1, self.lab.facts.woken))
        for key in (*seen.family("feed").values(), *seen.family("relay_wake").values()):
            assert seen.ttl(key) != -1, f"{key} is kept for ever"

    def _nobody_shares(self) -> None:
        """No bench is held by two sessions, and who has ended holds nothing."""
        for name, bench in self.lab.facts.benches.items():
            holders = {hold.session for hold in bench.holds.values() if hold.state == "reserved"}
            assert len(holders) <= 1, f"{name} is held by two"
            for session in holders:
                assert self.lab.facts.sessions[session].state != "expired"
