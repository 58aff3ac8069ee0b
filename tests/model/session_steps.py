"""What the session scripts do, each a step on the store and on the model: start, activate, end, claim, step, finish."""

from __future__ import annotations

from labkit.store.sessions import EndReason, NewSession, SessionRecord, SessionState, Started
from tests.model.facts import GONE, START_TIMEOUT, Session
from tests.model.lab import Lab
from tests.model.seen import Seen

CLAIM = 60.0
"""Seconds that the claim of an ending may last."""


class SessionSteps:
    """The steps, and what is remembered of them by processes that may come back late: `claims`, `reservations`."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.claims: list[tuple[str, str, int]] = []
        """Every claim of an ending: session, process, fence."""
        self.reservations: list[tuple[str, str, int]] = []
        """Every reservation: session, bench, fence."""
        self.ids: list[str] = []

    def session(self, name: str) -> Session | None:
        return self.lab.facts.sessions.get(name)

    def start(self, owner: str, wish: str, length: float, timeout: float, slot_start: float | None = None) -> str:
        """Returns the session's id, '' where nothing was free."""
        lab, facts, name = self.lab, self.lab.facts, f"session-{len(self.ids)}"
        self.ids.append(name)
        new = NewSession(
            session_id=name, user={"username": "ada"}, slot_start=slot_start, slot_length=length, timeout=timeout,
            start_timeout=START_TIMEOUT, bench=wish,
        )  # fmt: skip
        bench, refused = ("", {}) if wish == "-" else facts.pick(wish, (), name, lab.now)
        answer = lab.sessions.start(new, owner)
        if not isinstance(answer, Started):
            assert wish != "-"
            assert not bench, f"{bench} is free, and was refused"
            assert {refusal.bench: refusal.state for refusal in answer} == refused
            return ""
        assert answer.bench == bench, "the wrong bench was given out"
        max_date = min(lab.now, lab.now if slot_start is None else slot_start) + length
        assert answer.max_date == max_date
        facts.sessions[name] = Session(
            state="starting", owner=owner, start_until=lab.now + START_TIMEOUT, max_date=max_date, timeout=timeout,
            last_poll=lab.now, benches={}, fence=0,
        )  # fmt: skip
        if bench:
            self._reserved(name, bench, answer.fence)
            facts.sessions[name].fence = answer.fence
        return name

    def _reserved(self, name: str, bench: str, fence: int) -> None:
        self.lab.new_fence(fence)
        self.lab.facts.reserve(bench, name, fence)
        self.lab.facts.sessions[name].benches.pop(bench, None)
        self.lab.facts.sessions[name].benches[bench] = fence
        self.reservations.append((name, bench, fence))

    def _starts(self, name: str, owner: str) -> bool:
        """Is a start still this process's?"""
        s = self.session(name)
        return s is not None and (s.state, s.owner) == ("starting", owner) and self.lab.now < s.start_until

    def activate(self, name: str, owner: str) -> None:
        s, expected = self.session(name), "lost"
        if s is not None and self._starts(name, owner):
            expected = "asked" if s.end_asked else "active"
        assert self.lab.sessions.activate(name, owner) == expected
        if s is not None and expected == "active":
            s.state, s.owner, s.step, s.last_poll = "active", "", "", self.lab.now

    def touch(self, name: str, *, poll: bool) -> None:
        s, answer = self.session(name), self.lab.sessions.touch(name, poll=poll)
        if s is None:
            assert answer.state is SessionState.UNKNOWN
            return
        over = s.over(self.lab.now) if s.state == "active" else ""
        assert answer.state == ("over" if over else s.state)
        assert answer.reason == (over or s.reason)
        if poll and s.state == "active" and not over:
            s.last_poll = self.lab.now

    def log_out(self, name: str) -> None:
        s = self.session(name)
        live = s is not None and s.state == "active" and not s.over(self.lab.now)
        assert self.lab.sessions.exit(name) is live
        if s is not None and live:
            s.exited = True

    def end(self, name: str, reason: EndReason | None, owner: str = "") -> None:
        s, lab = self.session(name), self.lab
        asked = reason.value if reason else ""
        word, why = lab.sessions.end(name, reason, owner=owner)
        if s is None or s.state == "expired":
            assert word == ("unknown" if s is None else "expired")
        elif s.state == "ending":
            assert (word, why) == ("ending", s.reason)
            s.disposing = s.disposing or asked == "disposed"
        elif s.state == "starting" and (not owner or s.owner != owner):
            failed = not lab.alive(s.owner) or lab.now >= s.start_until
            if failed:
                self._begun(s, name, word, why, "start-failed", (s.end_asked or asked) == "disposed")
            else:
                assert word == ("starting" if asked else "not-due")
                s.end_asked = asked or s.end_asked
        else:
            over = s.over(lab.now) if s.state == "active" else s.end_asked
            if over or asked:
                self._begun(s, name, word, why, over or asked, (s.end_asked or asked) == "disposed")
            else:
                assert word == "not-due"

    def _begun(self, s: Session, name: str, word: str, why: str, expected: str, disposing: bool) -> None:
        assert (word, why) == ("begun", expected)
        s.state, s.reason, s.step, s.owner, s.disposing = "ending", why, "tasks", "", disposing
        s.fence = self.lab.hidden_fence()
        self.lab.facts.move(name, list(s.benches), "reserved", s.fence)

    def claim_ending(self, name: str, process: str) -> None:
        s, lab = self.session(name), self.lab
        answer = lab.sessions.claim_ending(name, process, CLAIM)
        if s is None or s.state != "ending":
            assert answer == ("unknown" if s is None else s.state)
            return
        others = s.owner not in ("", process) and lab.alive(s.owner)
        if others and lab.now <= s.claim_until <= lab.now + CLAIM:
            assert answer == "held"
            return
        assert isinstance(answer, SessionRecord), "nobody can go on with an ending that nobody is at"
        assert (answer.step, answer.reason, answer.fences) == (s.step, s.reason, s.benches)
        s.owner, s.fence = process, lab.new_fence(int(answer.fields["fence"]))
        s.claim_until = lab.now + CLAIM
        lab.facts.move(name, list(s.benches), "reserved", s.fence)
        self.claims.append((name, process, s.fence))

    def stands(self, name: str, process: str, fence: int) -> bool:
        """Is an ending still who claimed it under this fence?"""
        s = self.session(name)
        return s is not None and (s.state, s.owner, s.fence) == ("ending", process, fence)

    def step(self, name: str, process: str, fence: int | None, step: str) -> None:
        s = self.session(name)
        mine = self._starts(name, process) if fence is None else self.stands(name, process, fence)
        assert self.lab.sessions.step(name, process, fence, step) is mine, "a step was recorded under an older fence"
        if s is not None and mine:
            s.step = step

    def finish(self, name: str, process: str, fence: int) -> bool:
        s, mine = self.session(name), self.stands(name, process, fence)
        assert self.lab.sessions.finish(name, process, fence, 3600) is mine
        if s is not None and mine:
            s.state, s.owner, s.step = "expired", "", "done"
            self.lab.facts.move(name, list(s.benches), "releasing", self.lab.hidden_fence())
        return mine

    def store_data(self, name: str, key: str, value: str) -> None:
        s = self.session(name)
        goes_on = s is not None and s.state != "expired"
        assert self.lab.sessions.store_data(name, {key: value}, []) is goes_on
        if s is not None and goes_on:
            s.data[key] = value

    # -- reservations

    def take(self, name: str, owner: str, wish: str, excluded: tuple[str, ...] = ()) -> None:
        s, lab = self.session(name), self.lab
        live = s is not None and s.state == "active" and not s.over(lab.now)
        bench, refused = lab.facts.pick(wish, excluded, name, lab.now)
        answer = lab.reservations.take(name, owner, bench=wish, excluded=excluded)
        if not live and not self._starts(name, owner):
            assert answer is None
        elif isinstance(answer, tuple):
            assert answer[0] == bench, "the wrong bench was given out"
            self._reserved(name, bench, answer[1])
        else:
            assert answer is not None
            assert not bench
            assert {refusal.bench: refusal.state for refusal in answer} == refused

    def release(self, name: str, bench: str, fence: int) -> None:
        s, lab = self.session(name), self.lab
        names = [bench] if bench or s is None else list(s.benches)
        held = [hold for one in names for hold in lab.facts.reserved(name, one).values()]
        answer = lab.reservations.release(name, bench, fence)
        if s is None or any(hold.fence != fence for hold in held):
            assert answer is None, "what is held under another fence was released"
            return
        if bench:
            s.benches.pop(bench, None)
        moved = lab.facts.move(name, names, "releasing", lab.hidden_fence())
        assert sorted(answer or []) == sorted(moved)

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of sessions is what the model says, and whatever has to be done is looked at in time."""
        lab = self.lab
        deadlines, kept = seen.scores("deadlines"), seen.family("session")
        assert set(kept) == set(lab.facts.sessions)
        for name, s in lab.facts.sessions.items():
            record = seen.hash(kept[name])
            assert record["state"] == s.state
            assert (record["owner"], record["reason"], record["step"]) == (s.owner, s.reason, s.step)
            assert int(record["fence"] or 0) == s.fence
            assert record["benches"] == " ".join(f"{bench}={fence}" for bench, fence in s.benches.items())
            assert (record["exited"] == "1", record.get("disposing") == "1") == (s.exited, s.disposing)
            assert set(seen.hash(f"data:{name}")) == set(s.data)
            over = s.state == "expired"
            for key in (f"session:{name}", f"data:{name}", f"session_tasks:{name}"):
                assert seen.ttl(key) is None or (seen.ttl(key) != -1) is over, f"{key} has {seen.ttl(key)} s"
            assert seen.ttl(f"events:{name}") != -1 or not over
            assert (name in deadlines) is not over, "nobody looks at it" if not over else "it is looked at for ever"
            if not over:
                assert deadlines[name] <= self._looked_at(s), "it is looked at too late"

        assert set(deadlines) <= set(lab.facts.sessions)
        for family in ("data", "session_tasks", "events"):
            assert set(seen.family(family)) <= set(kept)

    def _looked_at(self, s: Session) -> float:
        """When somebody has to look at a session that is not over, at the latest."""
        if s.state != "active":
            return self.lab.latest + GONE
        return self.lab.latest if s.exited else s.deadline
