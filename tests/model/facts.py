"""The model: what a lab's store should know, in plain Python. Every rule of the scripts is written once more, in the
simplest way; the machines compare it with what the real store has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

GONE = 4.0
SILENCE = 30.0
START_TIMEOUT = 120.0
DEVICES = ("console", "leds")
FEATURES = {"bench-1": (), "bench-2": ("camera",)}
USER = json.dumps({"username": "ada"})


TICK = 1 / 64
"""Every time of a machine is a multiple of this: exact in binary and with six digits, so the edges can be met."""


def stamp(seconds: float) -> str:
    """A time as the scripts write it."""
    return f"{seconds:.6f}"


@dataclass
class Session:
    """What there is of a session. A time is 0 where it has not come to that yet."""

    state: str
    owner: str
    start_until: float
    start_date: float
    max_date: float
    timeout: float
    last_poll: float
    created: float
    benches: dict[str, int]
    fence: int
    step: str = "reserved"
    exited: bool = False
    end_asked: str = ""
    reason: str = ""
    disposing: bool = False
    detail: str = ""
    ended: float = 0.0
    claim_until: float = 0.0
    claims: int = 0
    finished: float = 0.0
    end_seen: float = 0.0
    look_at: float = 0.0
    """When somebody has to look at it."""
    data: dict[str, str] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    events: list[dict[str, str]] = field(default_factory=list)
    last_words: int = 0
    """How many events there were when it expired."""

    @property
    def deadline(self) -> float:
        return min(self.max_date, self.last_poll + self.timeout) if self.timeout > 0 else self.max_date

    def over(self, now: float) -> str:
        """Why an active session is over, '' if it isn't."""
        if self.exited:
            return "logout"
        if now < self.deadline:
            return ""
        return "inactivity" if self.deadline < self.max_date else "time"

    def record(self) -> dict[str, str]:
        """All that the store should have of it."""
        found = {name: stamp(getattr(self, name)) for name in ("start_until", "start_date", "max_date", "last_poll")}
        found |= {name: getattr(self, name) for name in ("state", "owner", "reason", "step")}
        found |= {"created": stamp(self.created), "timeout": repr(self.timeout), "user": USER}
        found |= {"exited": str(int(self.exited)), "fence": str(self.fence or "")}
        found["benches"] = " ".join(f"{bench}={fence}" for bench, fence in self.benches.items())
        if self.end_asked:
            found["end_asked"] = self.end_asked
        if self.ended:
            found |= {"ended": stamp(self.ended), "detail": self.detail, "disposing": "1" if self.disposing else ""}
        if self.claims:
            found |= {"claims": str(self.claims), "claim_until": stamp(self.claim_until)}
        found |= {name: stamp(at) for name in ("finished", "end_seen") if (at := getattr(self, name))}
        return found


@dataclass
class Hold:
    """since, until: as they are written."""

    state: str
    fence: int
    session: str
    since: str
    until: str


@dataclass
class Condition:
    state: str
    since: str
    blame: str
    reason: str


UNKNOWN = Condition("offline", "", "", "not opened yet")


@dataclass
class Bench:
    devices: tuple[str, ...]
    process: str
    claim: int
    machine: str
    seen: float
    used: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)
    published_by: str = ""
    """Who has said last what others may know of it."""
    calls: list[str] = field(default_factory=list)
    """The calls that wait in the list of its present claim."""


@dataclass(frozen=True)
class Batch:
    """What a device gave in a session. first: where the session's part began, -1 where nobody knows."""

    epoch: int
    end: int
    first: int
    data: str

    @property
    def fields(self) -> dict[str, str]:
        return {"f": str(self.first), "d": self.data}


@dataclass
class Task:
    session: str
    purpose: str
    lock: str
    urgent: bool
    arguments: str
    submitted: float
    late: bool = False
    under: int = 0
    status: str = "submitted"
    owner: str = ""
    runner: str | None = None
    """None: no runner was ever told of it, or not since it was given back."""
    started: float = 0.0
    ended: float = 0.0
    code: str = ""
    result: str = ""
    progress: str = ""
    data: str = "{}"
    stop: bool = False

    def record(self, name: str) -> dict[str, str]:
        """All that the store should have of it, but for the words of its error."""
        found = {
            "id": name, "name": "work", "session": self.session, "purpose": self.purpose, "keep": "3600.0",
            "status": self.status, "submitted": stamp(self.submitted), "data": self.data, "arguments": self.arguments,
        }  # fmt: skip
        more = {
            "lock": self.lock, "late": "1" if self.late else "", "under": str(self.under or ""),
            "urgent": "1" if self.urgent else "", "owner": self.owner, "progress": self.progress,
            "stop": "1" if self.stop else "", "started": stamp(self.started) if self.started else "",
        }  # fmt: skip
        found |= {field: value for field, value in more.items() if value}
        if self.runner is not None:
            found["runner"] = self.runner
        if self.ended:
            found |= {"ended": stamp(self.ended), "result": self.result}
        return found


@dataclass
class Facts:
    """All that the store should know at one moment. A store that goes back gets an earlier one back, too."""

    beats: dict[str, float] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    benches: dict[str, Bench] = field(default_factory=dict)
    service: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """A bench that is not in service -> word, since when, why."""
    log: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """A bench -> every change of it."""
    news: list[str] = field(default_factory=list)
    app: str = ""
    fence: int = 0
    beaten: float = 0.0
    """When the last beat came, of any process."""
    watched: str = ""
    woken: int = 0
    """How often the relay of a web process was woken."""
    feeds: dict[str, list[Batch]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)
    urgent: list[str] = field(default_factory=list)
    sleeping: list[tuple[str, str]] = field(default_factory=list)
    handed: dict[str, list[str]] = field(default_factory=dict)
    unique: dict[str, str] = field(default_factory=dict)
    kicks: dict[str, int] = field(default_factory=dict)
    just_ended: list[str] = field(default_factory=list)

    def event(self, session: str, now: float, **told: str) -> None:
        """Something is shown to the page of a session, where there is that session."""
        if session in self.sessions:
            self.sessions[session].events.append({"at": stamp(now), **told})

    def alive(self, process: str, now: float) -> bool:
        beat = self.beats.get(process)
        return beat is not None and now - beat <= GONE and beat <= now + GONE

    # -- benches

    def refusal(self, name: str, session: str, now: float) -> str:
        """Why a bench can't be given out, '' if it can."""
        bench = self.benches[name]
        if name in self.service:
            return self.service[name][0]
        for device in bench.devices:
            hold = bench.holds.get(device)
            if hold is not None:
                return ("own-" if hold.session == session else "") + hold.state
        if not self.alive(bench.process, now):
            return "no-host"
        return next((found.state for device in bench.devices if (found := bench.conditions[device]).state != "ok"), "")

    def pick(
        self, wish: str, features: Sequence[str], excluded: Sequence[str], session: str, now: float
    ) -> tuple[str, dict[str, str]]:
        """The free bench that was used least recently, '' none; and why the others were refused."""
        fitting = [name for name in sorted(self.benches) if set(features) <= set(FEATURES[name])]
        asked = [name for name in fitting if wish in ("", name) and name not in excluded]
        rows = {name: self.refusal(name, session, now) for name in asked}
        free = [name for name in asked if not rows[name]]
        best = min(free, key=lambda name: self.benches[name].used) if free else ""
        return best, {name: why for name, why in rows.items() if why}

    def reserve(self, name: str, session: str, fence: int, now: float, until: float) -> None:
        bench = self.benches[name]
        bench.used = fence
        for device in bench.devices:
            bench.holds[device] = Hold("reserved", fence, session, stamp(now), stamp(until))

    def set_condition(self, name: str, device: str, state: str, reason: str, blame: str, now: float) -> bool:
        """A host says how a device is. Returns whether that is news."""
        conditions = self.benches[name].conditions
        was = conditions.get(device, UNKNOWN)
        if (was.state, was.reason) == (state, reason):
            return False
        since = was.since if was.state == state and was.since else stamp(now)
        conditions[device] = Condition(state, since, blame, reason)
        full = f"{name}/{device}"
        if was.state != state or was.blame != blame or not self._logged_lately(name, full, now):
            self.log_change(name, full, was.state, state, reason, blame, now)
        return True

    def _logged_lately(self, name: str, device: str, now: float) -> bool:
        lines = [line for line in self.log.get(name, [])[-100:] if line["device"] == device]
        return bool(lines) and 0 <= now - float(lines[-1]["at"]) < 60

    def log_change(
        self, name: str, device: str, before: str, after: str, reason: str, blame: str, now: float
    ) -> None:  # fmt: skip
        line = {"at": stamp(now), "device": device, "before": before, "after": after, "reason": reason, "blame": blame}
        self.log.setdefault(name, []).append(line)

    def reserved(self, session: str, name: str) -> dict[str, Hold]:
        """What a session has reserved of a bench."""
        bench = self.benches.get(name)
        holds = {} if bench is None else {device: bench.holds.get(device) for device in bench.devices}
        return {
            device: hold
            for device, hold in holds.items()
            if hold and (hold.session, hold.state) == (session, "reserved")
        }

    def move(self, session: str, names: list[str], state: str, fence: int, now: float) -> list[str]:
        """Give all that a session has reserved of these benches a new state and fence; returns the devices."""
        moved = []
        for name in names:
            for device, hold in self.reserved(session, name).items():
                hold.state, hold.fence = state, fence
                if state == "releasing":
                    hold.since = stamp(now)
                moved.append(f"{name}/{device}")
        return moved

    # -- tasks

    def may_start(self, task: Task, now: float) -> bool:
        session = self.sessions.get(task.session)
        if session is None:
            return False
        if task.purpose == "ending":
            return session.state == "ending" and session.step == "dispose" and session.fence == task.under
        live = session.state == "starting" or (session.state == "active" and not session.over(now))
        return task.late or live

    def unread(self, name: str) -> bool:
        """Was a task handed to a runner that has surely not read it?"""
        return name in self.handed.get(self.tasks[name].runner or "", [])

    def show(self, name: str, now: float, **told: str) -> None:
        """Something of a task is shown to the page of its session."""
        self.event(
            self.tasks[name].session, now, task=name, name="work", **(told or {"status": self.tasks[name].status})
        )

    def orphan(self, name: str, now: float) -> bool:
        task = self.tasks[name]
        return task.status == "running" and not self.alive(task.owner, now)

    def own(self, name: str, process: str, runner: str, now: float) -> None:
        task = self.tasks[name]
        task.status, task.owner, task.runner, task.started = "running", process, runner, now
        self.show(name, now)

    def hand_over(self, name: str, now: float) -> bool:
        """Give a task to the runner that fell asleep last in a live process; who sleeps in a dead one is forgotten."""
        while self.sleeping:
            runner, process = self.sleeping.pop()
            if self.alive(process, now):
                self.own(name, process, runner, now)
                self.handed.setdefault(runner, []).append(name)
                return True
        return False

    def give_back(self, name: str, now: float) -> None:
        task = self.tasks[name]
        self.read_by(task.runner or "", name)
        task.status, task.owner, task.runner, task.started = "submitted", "", None, 0.0
        (self.urgent if task.urgent else self.queue).insert(0, name)
        self.show(name, now)

    def read_by(self, runner: str, name: str) -> None:
        if name in self.handed.get(runner, []):
            self.handed[runner].remove(name)

    def end(self, name: str, now: float, status: str, code: str = "", result: str = "", runner: str = "") -> None:
        task = self.tasks[name]
        task.status, task.code, task.result, task.runner, task.ended = status, code, result, runner, now
        self.just_ended.append(name)
        self.show(name, now)
        if self.unique.get(task.lock) == name:
            del self.unique[task.lock]
        for waiting in (self.queue, self.urgent):
            if name in waiting:
                waiting.remove(name)

    def settle(self, name: str, now: float) -> None:
        """Whoever finds a running task whose owner is gone sees to it."""
        if not self.orphan(name, now):
            return
        if self.unread(name):
            self.give_back(name, now)
        else:
            self.end(name, now, "failed", "lost")

    def holder(self, lock: str, now: float) -> str:
        """Which task rightly holds a unique lock, '' none."""
        name = self.unique.get(lock, "")
        task = self.tasks.get(name)
        if task is None:
            return ""
        if task.status == "submitted":
            return name if self.may_start(task, now) else ""
        lost = self.orphan(name, now) and not self.unread(name)
        return "" if lost else name
