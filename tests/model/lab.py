"""A lab on the real store together with its model, at a time of its own; processes that beat, pause, die, come back.

Each step does to the model what it does to the store, and asserts that both answer the same. `agrees()` compares all
that is there. The machines choose which steps come, in which order, with which arguments.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable

from labkit.errors import WrongAppError
from labkit.store.calls import Calls
from labkit.store.connection import Store, text
from labkit.store.feeds import FeedStore
from labkit.store.processes import BeatNews, Processes
from labkit.store.reservations import Reservations
from labkit.store.sessions import Sessions
from labkit.store.tasks import TaskStore
from tests.model.facts import GONE, TICK, Facts, stamp
from tests.model.seen import Copy, Seen

START = 1_800_000_000.0
TRIED = "tried"
"""The property of a test that says what its machine has tried."""


class Lab:
    """The lab, its model `facts`, and all that anybody ever knew: names of processes, fences, claims."""

    def __init__(self, url: str):
        self.store = Store(url, f"model-{secrets.token_hex(4)}", now=START)
        self.store.command("FLUSHALL")
        self.sessions = Sessions(self.store)
        self.reservations = Reservations(self.store)
        self.processes = Processes(self.store)
        self.tasks = TaskStore(self.store)
        self.calls = Calls(self.store)
        self.feeds = FeedStore(self.store)
        self.facts = Facts()
        self.names: list[str] = []
        self.highest_fence = 0
        self.told: dict[str, int] = {}
        """What each process knows of the highest fence, from its claims and from the answers to its beats."""
        self.hung: list[Callable[[], object]] = []
        """What somebody has asked a store that hung: it is carried out later, and nobody gets the answer."""
        self.times_back = 0
        self.elapsed = 0.0
        """Seconds that have passed, however the store's clock was set."""
        self.heard_of: dict[str, float] = {}
        """A bench -> when its host was last heard of, by that time; not known where the store has lost it."""
        self._latest = self._ever = START
        self._copy: tuple[Copy, Facts, float] | None = None

    def close(self) -> None:
        self.store.close()

    # -- time

    @property
    def now(self) -> float:
        assert self.store.now is not None
        return self.store.now

    def pass_time(self, seconds: float) -> None:
        """Time moves on, or with a negative number of seconds the store's clock is set back."""
        self._latest = max(self._latest, self.now)
        self._ever = max(self._ever, self.now)
        self.elapsed += max(0.0, seconds)
        self.store.now = self.now + round(seconds / TICK) * TICK

    @property
    def latest(self) -> float:
        """The latest time from which anything in the store may still be."""
        return max(self._latest, self.now)

    @property
    def may_go_back(self) -> bool:
        """Not while the clock is behind one of its earlier times: a store that loses both has nothing to go by."""
        return self.now >= self._ever

    @property
    def may_set_back(self) -> bool:
        """Not while the store knows less than the highest fence: the next beat of a host tells it."""
        return int(self.store.command("HGET", self.store.keys["lab"], "fence")) >= self.highest_fence

    def new_fence(self, fence: int) -> int:
        """A fence that was given out: higher than any other that ever was."""
        assert fence > self.highest_fence, "a fence was given out twice, or fell"
        self.highest_fence = self.facts.fence = fence
        return fence

    def hidden_fence(self) -> int:
        """A fence that a script has taken and did not tell."""
        return self.new_fence(int(self.store.command("HGET", self.store.keys["lab"], "fence")))

    def event(self, session: str, **told: str) -> None:
        self.facts.event(session, self.now, **told)

    def news(self, word: str) -> None:
        self.facts.news.append(word)

    def claim_app(self, app: str) -> None:
        """The first app that comes has the prefix."""
        self.facts.app = self.facts.app or app
        try:
            self.processes.claim_app(app)
        except WrongAppError:
            assert self.facts.app != app
        else:
            assert self.facts.app == app, "two apps have one prefix"

    def wake_relay(self) -> None:
        self.store.run("relay_wake", "relay")
        self.facts.woken += 1

    def watch_frames(self) -> None:
        """A page begins to look at a feed of frames."""
        self.store.run("frames_watched")
        self.facts.watched = stamp(self.now)
        self.news("watched")

    # -- processes

    def new_process(self, roles: str = "") -> str:
        name = f"here:{len(self.names)}:aa"
        self.names.append(name)
        assert self.beat(name, first=True, roles=roles)
        return name

    def alive(self, process: str) -> bool:
        return self.facts.alive(process, self.now)

    def beat(
        self,
        process: str,
        *,
        first: bool = False,
        roles: str = "",
        fence: int = 0,
        benches: dict[str, int] | None = None,
        kept: dict[str, int] | None = None,
    ) -> bool:
        """One beat, on time or late. Returns False where the process counts as gone."""
        facts, benches = self.facts, benches or {}
        seen = Seen(self.store)
        known = int(seen.hash("lab").get("fence", "0"))
        back = fence > known
        news = self.processes.beat(
            process, first=first, roles=roles, highest_fence=fence, benches=benches, kept=kept
        )  # fmt: skip
        if not first and not self.alive(process):
            assert news is None, "a process that was taken for dead goes on under its name"
            return False
        assert news is not None
        assert (news.went_back, news.watched) == (back, facts.watched)
        assert (news.queued_tasks, news.urgent_tasks) == (len(facts.queue) + len(facts.urgent), len(facts.urgent))
        self._hears_what_is_due(process, news)
        self._hears_of_its_benches(process, news, benches)
        for name, claim in (kept or {}).items():
            if name in facts.benches and facts.benches[name].claim == claim:
                facts.benches[name].seen, self.heard_of[name] = self.now, self.elapsed
        facts.fence = max(facts.fence, fence)
        facts.beats[process] = self.now
        facts.roles[process] = roles
        if self._was_set_back:
            facts.beaten = self._latest = self.now  # this beat has seen it: all is due
        facts.beaten = max(facts.beaten, self.now)
        return True

    @property
    def _was_set_back(self) -> bool:
        """Was the clock set back since the latest beat, by so much that somebody has to look at all that is open?"""
        return self.facts.beaten > self.now + GONE

    def _hears_what_is_due(self, process: str, news: BeatNews) -> None:
        facts = self.facts
        early = self._was_set_back
        open_ones = {name: s for name, s in facts.sessions.items() if s.state != "expired"}
        due = {name for name, s in open_ones.items() if early or s.look_at <= self.now}
        assert set(news.due) <= due
        assert len(news.due) == min(50, len(due)), "nobody is told who is due"
        for s in open_ones.values() if early else []:
            s.look_at = min(s.look_at, self.now)
        gone = {name for name in facts.beats if name != process and not self.alive(name)}
        assert set(news.gone) <= gone
        assert len(news.gone) >= min(20, len(gone)), "nobody is told who is to be buried"

    def _hears_of_its_benches(self, process: str, news: BeatNews, benches: dict[str, int]) -> None:
        facts = self.facts
        stood = {name: (found.process, found.claim) for name, found in facts.benches.items()}
        assert news.benches == {name: stood.get(name) == (process, claim) for name, claim in benches.items()}
        mine = {name: facts.benches[name] for name, stands in news.benches.items() if stands}
        assert {device: (hold.state, hold.fence, hold.session) for device, hold in news.holds.items()} == {
            f"{name}/{device}": (hold.state, hold.fence, hold.session)
            for name, bench in mine.items()
            for device, hold in bench.holds.items()
        }
        assert news.conditions == {
            f"{name}/{device}": bench.conditions[device].state
            for name, bench in mine.items()
            for device in bench.devices
        }
        served = {name: facts.service.get(name, ("", "", "")) for name in mine}
        assert news.maintained == {name: why for name, (word, _, why) in served.items() if word == "maintenance"}
        for hold in news.holds.values():
            self.told[process] = max(self.told.get(process, 0), hold.fence)
            s = facts.sessions.get(hold.session)
            live = s is not None and s.state == "active" and not s.over(self.now)
            assert hold.until == (s.deadline if s and live and hold.state == "reserved" else 0)
        for name, bench in mine.items():
            bench.seen, self.heard_of[name] = self.now, self.elapsed

    def has_beaten(self, process: str) -> None:
        """A process has beaten all the while: what its next beat finds."""
        self.store.command("ZADD", self.store.keys["processes"], "XX", self.now, process)
        if process in self.facts.beats:
            self.facts.beats[process] = self.now

    def find_role(self, role: str, but: str) -> None:
        """Somebody looks for a live process that does something."""
        found = self.processes.with_role(role, but=but)
        fitting = [name for name, roles in self.facts.roles.items() if role in roles.split() and self.alive(name)]
        assert found in ([name for name in fitting if name != but] or [""])

    def leave(self, process: str) -> None:
        """A process ends in order: it counts as gone at once."""
        self.processes.leave(process)
        self.news("due")
        if process in self.facts.beats:
            self.facts.beats[process] = 0.0
        self.facts.roles.pop(process, None)

    def bury(self, process: str) -> None:
        """Bury a process, which may be alive, or buried long ago."""
        facts = self.facts
        found = self.tasks.bury(process)
        if self.alive(process):
            assert found is None
            return
        assert found is not None
        owned = [name for name, task in facts.tasks.items() if (task.status, task.owner) == ("running", process)]
        assert set(found) == {name for name in owned if not facts.unread(name)}
        for name in owned:
            facts.settle(name, self.now)
        self._any_order(owned)
        for name, bench in facts.benches.items():
            for device, hold in bench.holds.items() if bench.process == process else []:
                self.event(
                    hold.session, device=f"{name}/{device}", condition="offline", reason="its host is gone"
                )  # fmt: skip
        facts.sleeping = [(runner, owner) for runner, owner in facts.sleeping if owner != process]
        facts.beats.pop(process, None)
        facts.roles.pop(process, None)

    def _any_order(self, owned: list[str]) -> None:
        """Tasks that are queued again together are so in any order."""
        for name, queue in (("queue", self.facts.queue), ("urgent", self.facts.urgent)):
            again = [task for task in queue if task in owned]
            if len(again) > 1:
                first = [text(task) for task in self.store.command("LRANGE", self.store.keys[name], 0, len(again) - 1)]
                assert set(first) == set(again) == set(queue[: len(again)])
                queue[: len(again)] = first

    # -- the store

    def keep_copy(self) -> None:
        """A replica has all that there is by now."""
        self._copy = Copy(self.store), copy.deepcopy(self.facts), self.latest

    def restart(self) -> None:
        """The store starts again with its file: it has everything but the scripts."""
        self.store.command("SCRIPT", "FLUSH")

    def go_back(self) -> None:
        """The replica takes over: what came after its copy was made is gone. What processes know they still know."""
        if self._copy is not None:
            self._copy[0].bring_back()
            self.facts = copy.deepcopy(self._copy[1])
            self.facts.feeds, self.facts.woken = {}, 0
            self.heard_of = {}
            self.times_back += 1
            self._latest = max(self._latest, self._copy[2])
            self.store.command("SCRIPT", "FLUSH")

    def seen(self) -> Seen:
        return Seen(self.store)

    def forget_session(self, name: str) -> None:
        """The time is over for which an expired session is kept, and so it is for its tasks that have ended."""
        keys = self.store.keys
        ended = [
            task for task in self.facts.sessions.pop(name).tasks if self.facts.tasks[task].status in ("done", "failed")
        ]
        families = [keys.of(family, name) for family in ("session", "data", "events", "session_tasks")]
        self.store.command("DEL", *families, *(keys.of("task", task) for task in ended))
        for task in ended:
            del self.facts.tasks[task]

    @property
    def gone(self) -> list[str]:
        """Processes that are listed and count as gone."""
        return [name for name in self.facts.beats if not self.alive(name)]
