"""What the session scripts do, each a step on the store and on the model: start, activate, end, claim, step, finish."""

from __future__ import annotations

import json
from collections.abc import Sequence

from labkit.errors import SessionLostError
from labkit.store.connection import NO_TASK
from labkit.store.sessions import EndReason, NewSession, SessionRecord, SessionState, Started
from tests.model.facts import GONE, START_TIMEOUT, Session, stamp
from tests.model.lab import Lab
from tests.model.seen import NEWEST, Seen

KEPT = 3600
"""Seconds that an expired session is kept."""
DAY = 86400
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

    def start(
        self, owner: str, wish: str, length: float, timeout: float, slot_start: float | None = None,
        features: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Returns the session's id, '' where nothing was free."""
        lab, facts, name = self.lab, self.lab.facts, f"session-{len(self.ids)}"
        self.ids.append(name)
        new = NewSession(
            session_id=name, user={"username": "ada"}, slot_start=slot_start, slot_length=length, timeout=timeout,
            start_timeout=START_TIMEOUT, bench=wish, features=features,
        )  # fmt: skip
        bench, refused = ("", {}) if wish == "-" else facts.pick(wish, features, (), name, lab.now)
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
            state="starting", owner=owner, start_until=lab.now + START_TIMEOUT, start_date=max_date - length,
            max_date=max_date, timeout=timeout, last_poll=lab.now, created=lab.now, benches={}, fence=0,
            look_at=lab.now + GONE,
        )  # fmt: skip
        lab.event(name, state="starting")
        if bench:
            self._reserved(name, bench, answer.fence)
            facts.sessions[name].fence = answer.fence
        return name

    def _reserved(self, name: str, bench: str, fence: int) -> None:
        s = self.lab.facts.sessions[name]
        self.lab.new_fence(fence)
        self.lab.facts.reserve(bench, name, fence, self.lab.now, s.max_date)
        s.benches.pop(bench, None)
        s.benches[bench] = fence
        self.lab.news("reserved")
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
            s.look_at = s.deadline
            self.lab.event(name, state="active", max_date=stamp(s.max_date))

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
            s.look_at = s.deadline
        assert answer.fields == s.record() | ({"reason": over} if over else {})
        assert answer.now == self.lab.now

    def log_out(self, name: str) -> None:
        s = self.session(name)
        live = s is not None and s.state == "active" and not s.over(self.lab.now)
        assert self.lab.sessions.exit(name) is live
        if s is not None and live:
            s.exited, s.look_at = True, self.lab.now
            self.lab.event(name, state="exited")
            self.lab.news("due")

    def see_end(self, name: str) -> None:
        s = self.session(name)
        first = s is not None and not s.end_seen
        assert self.lab.sessions.first_to_see_end(name) is first
        if s is not None and first:
            s.end_seen = self.lab.now

    def look_what_is_due(self) -> None:
        deadlines = self.lab.seen().scores("deadlines")
        assert set(self.lab.sessions.due()) == {name for name, at in deadlines.items() if at <= self.lab.now}

    def end(self, name: str, reason: EndReason | None, owner: str = "") -> None:
        s, lab = self.session(name), self.lab
        asked = reason.value if reason else ""
        word, why = lab.sessions.end(name, reason, owner=owner, detail=f"by\0{owner}")
        if s is None or s.state == "expired":
            assert word == ("unknown" if s is None else "expired")
        elif s.state == "ending":
            assert (word, why) == ("ending", s.reason)
            s.disposing = s.disposing or asked == "disposed"
        elif s.state == "starting" and (not owner or s.owner != owner):
            failed = not lab.alive(s.owner) or lab.now >= s.start_until
            if failed:
                self._begun(s, name, word, why, "start-failed", asked, owner)
            else:
                assert word == ("starting" if asked else "not-due")
                s.look_at = s.look_at if asked else min(lab.now + GONE, s.start_until)
                s.end_asked = asked or s.end_asked
        else:
            over = s.over(lab.now) if s.state == "active" else s.end_asked
            if over or asked:
                self._begun(s, name, word, why, over or asked, asked, owner)
            else:
                assert word == "not-due"
                s.look_at = s.deadline

    def _begun(self, s: Session, name: str, word: str, why: str, expected: str, asked: str, by: str) -> None:
        assert (word, why) == ("begun", expected)
        s.disposing = (s.end_asked or asked) == "disposed"
        s.state, s.reason, s.step, s.owner, s.detail = "ending", why, "tasks", "", f"by {by}"
        s.fence, s.ended, s.look_at = self.lab.hidden_fence(), self.lab.now, self.lab.now
        self.lab.facts.move(name, list(s.benches), "reserved", s.fence, self.lab.now)
        self.lab.event(name, state="ending", reason=why)
        self.lab.news("due")

    def claim_ending(self, name: str, process: str, *, heard: bool = True) -> None:
        """heard: whether the process gets the answer."""
        s, lab = self.session(name), self.lab
        answer = lab.sessions.claim_ending(name, process, CLAIM)
        if s is None or s.state != "ending":
            assert answer == ("unknown" if s is None else s.state)
            return
        others = s.owner not in ("", process) and lab.alive(s.owner)
        if others and lab.now <= s.claim_until <= lab.now + CLAIM:
            assert answer == "held"
            s.look_at = min(lab.now + GONE, s.claim_until)
            return
        assert isinstance(answer, SessionRecord), "nobody can go on with an ending that nobody is at"
        before = s.record()
        s.owner, s.fence = process, lab.new_fence(int(answer.fields["fence"]))
        assert answer.fields == before | {"owner": process, "fence": str(s.fence)}
        s.claim_until, s.claims, s.look_at = lab.now + CLAIM, s.claims + 1, lab.now + GONE
        lab.facts.move(name, list(s.benches), "reserved", s.fence, lab.now)
        lab.news("fence")
        if heard:
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
        assert self.lab.sessions.finish(name, process, fence, KEPT) is mine
        if s is not None and mine:
            s.state, s.owner, s.step, s.finished = "expired", "", "done", self.lab.now
            if self.lab.facts.move(name, list(s.benches), "releasing", self.lab.hidden_fence(), self.lab.now):
                self.lab.news("release")
            self.lab.event(name, state="expired", reason=s.reason)
            s.last_words = len(s.events)
        return mine

    def store_data(
        self, name: str, changed: dict[str, str], dropped: Sequence[str] = (), *, replace: bool = False,
        by_task: tuple[str, str] = NO_TASK,
    ) -> None:  # fmt: skip
        s = self.session(name)
        goes_on = s is not None and s.state != "expired"
        try:
            stored = self.lab.sessions.store_data(name, changed, dropped, replace=replace, by_task=by_task)
        except SessionLostError:
            assert goes_on
            assert not self.runs(by_task), "a task was refused that runs"
            return
        assert stored is goes_on
        if s is not None and goes_on:
            assert self.runs(by_task), "a task that was given up has changed something"
            kept = {} if replace else s.data
            s.data = {key: value for key, value in {**kept, **changed}.items() if key not in dropped}

    def runs(self, by_task: tuple[str, str]) -> bool:
        """Does the task that asks still run in its process? ('', '') is none."""
        task = self.lab.facts.tasks.get(by_task[0])
        return not by_task[0] or (task is not None and (task.status, task.owner) == ("running", by_task[1]))

    # -- reservations

    def take(
        self, name: str, owner: str, wish: str, excluded: Sequence[str] = (), features: Sequence[str] = (),
        by_task: tuple[str, str] = NO_TASK,
    ) -> None:  # fmt: skip
        s, lab = self.session(name), self.lab
        live = s is not None and s.state == "active" and not s.over(lab.now)
        bench, refused = lab.facts.pick(wish, features, excluded, name, lab.now)
        answer = lab.reservations.take(
            name, owner, bench=wish, features=features, excluded=excluded, by_task=by_task
        )  # fmt: skip
        if (not live and not self._starts(name, owner)) or not self.runs(by_task):
            assert answer is None
        elif isinstance(answer, tuple):
            assert answer[0] == bench, "the wrong bench was given out"
            self._reserved(name, bench, answer[1])
        else:
            assert answer is not None
            assert not bench
            assert {refusal.bench: refusal.state for refusal in answer} == refused

    def release(self, name: str, bench: str, fence: int, by_task: tuple[str, str] = NO_TASK) -> None:
        s, lab = self.session(name), self.lab
        names = [bench] if bench or s is None else list(s.benches)
        held = [hold for one in names for hold in lab.facts.reserved(name, one).values()]
        answer = lab.reservations.release(name, bench, fence, by_task)
        if s is None or any(hold.fence != fence for hold in held) or not self.runs(by_task):
            assert answer is None, "what is held under another fence was released"
            return
        if bench:
            s.benches.pop(bench, None)
        moved = lab.facts.move(name, names, "releasing", lab.hidden_fence(), lab.now)
        lab.news("release")
        assert sorted(answer or []) == sorted(moved)

    # -- what always holds

    def agree(self, seen: Seen) -> None:
        """What the store has of sessions is what the model says, and whatever has to be done is looked at in time."""
        self._lab_agrees(seen)
        deadlines, kept = seen.scores("deadlines"), seen.family("session")
        assert set(kept) == set(self.lab.facts.sessions)
        assert set(deadlines) <= set(kept)
        for name, s in self.lab.facts.sessions.items():
            assert seen.hash(kept[name]) == s.record()
            assert {key: json.loads(value) for key, value in seen.hash(f"data:{name}").items()} == s.data
            assert seen.list(f"session_tasks:{name}") == s.tasks
            events = seen.stream(f"events:{name}")
            assert events.added == len(s.events)
            assert events.is_end_of(s.events), "a page is shown something else"
            self._kept(name, s, seen)
            over = s.state == "expired"
            assert (name in deadlines) is not over, "nobody looks at it" if not over else "it is looked at for ever"
            if not over:
                assert deadlines[name] == s.look_at, "it is looked at too early, or too late"
                assert s.look_at <= self._looked_at(s)

    def _lab_agrees(self, seen: Seen) -> None:
        facts, changes = self.lab.facts, seen.stream("changes")
        assert changes.added == len(facts.news)
        assert [entry["news"] for entry in changes.newest] == facts.news[-min(NEWEST, changes.length) :]
        known = {"beaten": stamp(facts.beaten), "fence": str(facts.fence)}
        known |= {name: said for name, said in (("app", facts.app), ("watched", facts.watched)) if said}
        assert seen.hash("lab") == known

    def _kept(self, name: str, s: Session, seen: Seen) -> None:
        """What goes on is kept; what is over, for as long as its session, and what it told later for a day."""
        over = s.state == "expired"
        for key in (f"session:{name}", f"data:{name}", f"session_tasks:{name}"):
            left = seen.ttl(key)
            assert left is None or (1 < left <= KEPT if over else left == -1), f"{key} has {left} s"
        left = seen.ttl(f"events:{name}") or 0
        quiet = over and len(s.events) == s.last_words
        assert 1 < left <= KEPT if quiet else left > DAY / 2, f"events have {left} s"

    def _looked_at(self, s: Session) -> float:
        """When somebody has to look at a session that is not over, at the latest."""
        if s.state != "active":
            return self.lab.latest + GONE
        return self.lab.latest if s.exited else s.deadline
